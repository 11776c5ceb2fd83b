"""Superseded files: where an earlier form of a delivered image is now."""

from __future__ import annotations

from contextlib import suppress
from pathlib import PurePosixPath

from ..object_url import Folder
from .listing import FileSizes
from .output import SUPERSEDED, names_aside
from .output_tree import file_at


class SupersededFiles:
    """Finds the superseded files of one output folder; an object store is listed once, when it is asked first."""

    def __init__(self, folder: Folder, sizes: FileSizes | None = None) -> None:
        self._folder = folder
        self._sizes = sizes or FileSizes(folder, SUPERSEDED)

    def find(self, name: str, sha256: str, size_bytes: int) -> Folder | None:
        """Return the file *name* in the form that had this hash; None if it is gone.

        It is in ``.superseded/``, where its name has a part of its hash, or still in its place where nothing else was
        delivered under its name.
        """
        path = PurePosixPath(name)
        for each in names_aside(path, sha256):
            aside = self._folder / str(PurePosixPath(SUPERSEDED, path.parent, each))
            if self._sizes.size(aside) == size_bytes:
                return aside
        file = file_at(self._folder / name)
        with suppress(OSError):
            if file.size() == size_bytes and (file.recorded_digest() or file.digest()) == sha256:
                return file.path
        return None
