"""Names of the copies of source images in the folder ``inputs`` of the state folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..task import Source
from .images.formats import EXTENSIONS, SOURCE_TYPES


def copy_name(source: Source) -> str:
    """Return the file name of the copy that is sent in place of a source image."""
    return f"{(source.sha256 or '')[:32]}-{source.copy}.{EXTENSIONS[source.mime or 'image/png']}"


def fetched_stem(source: Source) -> str:
    """Return the file name, without its suffix, of a source image that was fetched from its URL."""
    version = "" if source.etag is None else f"@{source.etag}+{source.preparation}"
    return hashlib.sha256(f"{source.url}{version}".encode()).hexdigest()[:32]


def fetched_file(folder: Path, source: Source) -> Source | None:
    """Return the file of a source image that was fetched; None if it was not."""
    for mime in SOURCE_TYPES:
        path = folder / f"{fetched_stem(source)}.{EXTENSIONS[mime]}"
        if path.exists():
            return Source(path=str(path), mime=mime, size_bytes=path.stat().st_size)
    return None
