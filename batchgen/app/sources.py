"""Source images of edits: their files on this machine."""

from __future__ import annotations

import hashlib

from ..files.images.formats import EXTENSIONS, SOURCE_TYPES
from ..files.thumbnails import PictureFile
from ..object_url import parse_folder
from ..task import Source
from .project import Project


def source_file(project: Project, source: Source) -> PictureFile | None:
    """Return the file of a source image as it was sent or fetched; None if there is none."""
    if source.path is not None and source.sha256 is not None:
        return PictureFile(path=parse_folder(source.path), sha256=source.sha256)
    stem = hashlib.sha256((source.url or "").encode()).hexdigest()[:32]
    for mime in SOURCE_TYPES:
        path = project.state / "inputs" / f"{stem}.{EXTENSIONS[mime]}"
        try:
            return PictureFile(path=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        except OSError:
            continue
    return None
