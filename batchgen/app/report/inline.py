"""Thumbnails inside the page: a report in a single file."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...files.thumbnails import thumbnail_path


def inline_thumbnails(document: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Return the thumbnails that *document* shows as data URLs by the beginning of their hashes."""
    urls = {}
    for sha in dict.fromkeys(hashes(document)):
        try:
            data = thumbnail_path(folder, sha).read_bytes()
        except OSError:
            continue  # of a picture that cannot be read
        urls[sha] = f"data:image/webp;base64,{base64.b64encode(data).decode('ascii')}"
    return urls


def hashes(document: Mapping[str, Any]) -> Iterable[str]:
    """Yield the beginnings of the hashes of all pictures that *document* shows."""
    tiles = document["tiles"]
    yield from filter(None, tiles["sha"])
    yield from (form["sha"] for forms in tiles["earlier"].values() for form in forms)
    yield from filter(None, (source["sha"] for source in document["words"]["source"]))
