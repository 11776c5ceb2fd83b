"""Source images of edits: their files on this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..files.source_names import fetched_file
from ..files.thumbnails import PictureFile
from ..task import Source
from .project import Project


def source_file(project: Project, source: Source) -> PictureFile | None:
    """Return the file of a source image as it was sent or fetched; None if there is none."""
    if source.path is not None and source.sha256 is not None:
        return PictureFile(path=Path(source.path), sha256=source.sha256)
    fetched = fetched_file(project.state / "inputs", source)
    if fetched is None or fetched.path is None:
        return None
    path = Path(fetched.path)
    try:
        return PictureFile(path=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    except OSError:
        return None
