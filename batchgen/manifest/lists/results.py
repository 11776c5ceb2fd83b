"""Which files are sidecars: what batchgen writes beside an image that it made.  A doer: it reads small files."""

from __future__ import annotations

import json

from ...files.opening import OpenError, open_file

#: Bytes; a sidecar holds a prompt and little else.
_MOST = 4_000_000
#: What every sidecar says, of whatever version.
_SAID = frozenset({"batch", "id", "attempt", "fingerprint", "file"})


def is_sidecar(path: str) -> bool:
    """Tell whether the file at *path* is a sidecar, and not somebody else's JSON."""
    try:
        with open_file(path) as file:
            said = json.loads(file.read(_MOST))
    except (OpenError, OSError, ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.keys() >= _SAID
