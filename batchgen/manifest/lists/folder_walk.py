"""The walk through a folder of images: which files are taken, and what is left out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ...files.opening import reason
from .globs import ANY, Exclusion, Parts, matches, may_contain, parts_of
from .kinds import CONVERTIBLE, SUFFIXES, advice_on, is_hidden, is_picture, is_system, kind_of, suffix_of
from .left_out import LeftOut
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

    def __init__(self, top: str, pattern: Parts, file: str, *, base: str, exclude: Exclusion, convert: bool) -> None:
        self.images: list[str] = []
        self.json_files: set[str] = set()
        self.left_out = LeftOut()
        self._top = top
        self._pattern = pattern
        self._file = file
        self._base = base
        self._base_parts = parts_of(base)
        self._exclude = exclude
        self._suffixes = SUFFIXES | CONVERTIBLE.keys() if convert else SUFFIXES
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
        elif not matches(parts, self._pattern):
            self._note_case(parts)
        else:
            self._take_file(entry, parts)
        if len(self.images) > MAX_IMAGES or self._entered > MAX_ENTRIES:
            raise BadList(f"{self._file}: more than {MAX_IMAGES:,} images or {MAX_ENTRIES:,} files")

    def _take_folder(self, entry: os.DirEntry[str], parts: Parts, folders: list[Parts]) -> None:
        path = "/".join(parts)
        wanted = may_contain(parts, self._pattern)
        if not wanted:
            if matches(parts, self._pattern):
                self.left_out.add(path, "folder", "folders", f"write {self._below(ANY)}")
        elif is_hidden(entry.name):
            self.left_out.add(path, "hidden folder", "hidden folders")
        elif self._exclude.matches(self._base_parts, parts):
            return  # the user's own word, which needs no reminder
        elif entry.is_symlink() and _leads_back(os.path.join(self._top, path), self._top):  # noqa: PTH118
            self.left_out.add(path, "link that leads back", "links that lead back")
        else:
            folders.append(parts)

    def _take_file(self, entry: os.DirEntry[str], parts: Parts) -> None:
        path, suffix = "/".join(parts), suffix_of(entry.name)
        picture = is_picture(suffix)
        if is_hidden(entry.name):
            if picture:
                self.left_out.add(path, "hidden file", "hidden files")
        elif self._exclude.matches(self._base_parts, parts):
            return
        elif suffix not in self._suffixes:
            if (kind := kind_of(entry.name)) is not None:
                self.left_out.add(path, kind, kind, advice_on(kind))
        elif _is_file(entry):
            self.images.append(path)
        elif entry.is_symlink():
            self.left_out.add(path, "broken link", "broken links")
        else:
            self.left_out.add(path, "device or pipe", "devices or pipes")

    def _note_case(self, parts: Parts) -> None:
        """Note an image that a glob misses only because of upper and lower case in its suffix."""
        name, pattern = parts[-1], self._pattern[-1]
        stem, suffix = os.path.splitext(name)  # noqa: PTH122
        wanted = os.path.splitext(pattern)[1]  # noqa: PTH122
        if suffix == wanted or suffix.lower() != wanted.lower() or suffix.lower() not in self._suffixes:
            return
        if matches((*parts[:-1], f"{stem}{wanted}"), self._pattern):
            either = "".join(f"[{letter.lower()}{letter.upper()}]" if letter.isalpha() else letter for letter in suffix)
            glob = "/".join((*self._pattern[:-1], f"{pattern.removesuffix(wanted)}{either}"))
            self.left_out.add("/".join(parts), f"in {suffix}", f"in {suffix}", f"write {self._below(glob)}")

    def _below(self, glob: str) -> str:
        return glob if self._base in ("", ".") else f"{self._base.rstrip('/')}/{glob}"

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
