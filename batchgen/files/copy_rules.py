"""Rules of derived copies that are the same on a disk and in an object store."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from ..errors import StoreError


class ForeignFileError(StoreError):
    """The name of a copy is taken by a file that batchgen did not write, or that was changed since."""


def sidecar_of(data: bytes | None, sha256: str) -> dict[str, Any] | None:
    """Return the document of a sidecar; None unless it names this hash."""
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        document = json.loads(data or b"")
        if isinstance(document, dict) and document["file"]["sha256"] == sha256:
            return document
    return None
