"""The walk through a folder of images on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ...files.opening import reason
from .globs import Parts
from .image_names import ImageNames
from .kinds import is_system
from .rows import BadList

MAX_IMAGES = 1_000_000
MAX_ENTRIES = 10 * MAX_IMAGES

#: Device and inode: the same folder by whatever path it is reached.
_Identity = tuple[int, int]


class FolderWalk:
    """One walk below *top*; ``images`` and ``json_files`` are paths relative to it.

    Links to images are followed, and links to folders once: a folder that is read anyway, or that leads back to
    *top*, is not read by its link as well.
    """

    def __init__(self, top: str, names: ImageNames, file: str) -> None:
        self.images: list[str] = []
        self.json_files: set[str] = set()
        self._top = top
        self._names = names
        self._file = file
        self._seen: set[_Identity] = set()
        self._entered = 0

    def run(self, output: Path | None) -> None:
        """Walk; the folder *output* is skipped. Raise BadList where a folder cannot be read or has too many files."""
        if output is not None and (identity := _identity(str(output))) is not None:
            self._seen.add(identity)
        folders: list[Parts] = [()]
        links: list[Parts] = []
        while folders or links:
            if not folders:  # Links come last, so that a folder is named by its own path where it has one.
                links.sort(reverse=True)
                folders.append(links.pop())
            folder = folders.pop()
            identity = _identity(os.path.join(self._top, *folder))  # noqa: PTH118
            if identity in self._seen:
                continue
            if identity is not None:
                self._seen.add(identity)
            for entry in self._entries("/".join(folder)):
                self._take(entry, (*folder, entry.name), folders, links)

    def _take(self, entry: os.DirEntry[str], parts: Parts, folders: list[Parts], links: list[Parts]) -> None:
        self._entered += 1
        path = "/".join(parts)
        if entry.name.endswith(".json"):
            self.json_files.add(path)
        if is_system(entry.name):
            return
        if _is_folder(entry):
            self._take_folder(entry, parts, links if entry.is_symlink() else folders)
        elif self._names.takes(parts):
            self._take_file(entry, path)
        if len(self.images) > MAX_IMAGES or self._entered > MAX_ENTRIES:
            raise BadList(f"{self._file}: more than {MAX_IMAGES:,} images or {MAX_ENTRIES:,} files")

    def _take_folder(self, entry: os.DirEntry[str], parts: Parts, folders: list[Parts]) -> None:
        path = "/".join(parts)
        if not self._names.enters(parts):
            return
        if entry.is_symlink() and _leads_back(os.path.join(self._top, path), self._top):  # noqa: PTH118
            self._names.left_out.add(path, "link that leads back", "links that lead back")
        else:
            folders.append(parts)

    def _take_file(self, entry: os.DirEntry[str], path: str) -> None:
        if _is_file(entry):
            self.images.append(path)
        elif entry.is_symlink():
            self._names.left_out.add(path, "broken link", "broken links")
        else:
            self._names.left_out.add(path, "device or pipe", "devices or pipes")

    def _entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(os.path.join(self._top, folder)) as entries:  # noqa: PTH118
                yield from entries
        except (OSError, ValueError) as error:
            where = f" (the folder {folder!r} in it)" if folder else ""
            missing = isinstance(error, FileNotFoundError)
            what = "there is no such folder" if missing else reason(error)
            raise BadList(f"{self._file}: {what}{where}") from None


def _identity(path: str) -> _Identity | None:
    try:
        facts = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return facts.st_dev, facts.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _leads_back(link: str, top: str) -> bool:
    """Return whether *link* leads to *top* or to a folder that contains it."""
    return Path(top).resolve().is_relative_to(Path(link).resolve())
