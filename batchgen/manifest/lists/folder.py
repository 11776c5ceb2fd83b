"""Folders and globs of images: each image is a row.  A doer: it reads folders, no image."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ...files.opening import reason
from ..filenames import control
from .errors import BadList, Remark, Report
from .results import is_sidecar

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
#: Images that no provider takes.
_OTHERS = frozenset({".heic", ".heif", ".avif", ".gif", ".bmp", ".tif", ".tiff", ".jfif", ".jxl"})
MAX_IMAGES = 1_000_000
MAX_ENTRIES = 10 * MAX_IMAGES

_ANY = "**"


class Pictures:
    """The images of a folder and all folders in it, or those that a glob matches, sorted.

    Hidden files and folders and the output folder are left out, and among other images also results of batches: those
    with a sidecar beside them.  Links to folders are not followed, links to images are.
    """

    columns: tuple[str, ...] | None = ("images", "id", "path", "name", "stem", "folder", "suffix")

    def __init__(self, name: str, folder: Path, file: str, leave_out: Path | None) -> None:
        """Find the images of *name*, relative to *folder*; raise BadList where there is none, or a folder is shut."""
        is_folder = os.path.isdir(folder / name) or not glob.has_magic(name)  # noqa: PTH112 - False for a NUL
        base, pattern = (name, (_ANY,)) if is_folder else _parted(name)
        self._top = os.path.abspath(folder / base)  # noqa: PTH100 - resolve() would follow links; the name counts
        self._folder = os.path.abspath(folder)  # noqa: PTH100
        self._file = file
        self._left_out = None
        if leave_out is not None and "\0" not in name:
            top, out = Path(self._top).resolve(), leave_out.resolve()
            self._left_out = out.relative_to(top).as_posix() if out.is_relative_to(top) else None
            if top.is_relative_to(out):
                raise BadList(
                    f"{file} lies in the output folder, and results never become sources: name another folder"
                )
        self._others: list[str] = []
        self._beside: set[str] = set()  #: files that may be sidecars
        self._results: list[str] = []
        self._found = self._sources(sorted(self._images(pattern)))
        if not self._found:
            others = f"; {len(self._others):,} of other kinds, such as {self._others[0]}" if self._others else ""
            raise BadList(f"{file}: there is no image (png, jpg, webp){others}")

    def rows(self, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield each image's number, counted from 1, and its names."""
        top, within = _as_start(self._top), _as_start(self._folder)
        for number, path in enumerate(self._found, 1):
            flaw = control(path) or (None if _is_text(path) else "bytes that are not UTF-8")
            if flaw:
                report(0, 0, "bad_name", f"the name of the image {path!a} holds {flaw}", "rename the file")
                continue
            folder, _, name = path.rpartition("/")
            stem, _, suffix = name.rpartition(".")
            yield (
                number,
                {
                    "images": (top + path).removeprefix(within),
                    "id": f"{folder}/{stem}" if folder else stem,
                    "path": path,
                    "name": name,
                    "stem": stem,
                    "folder": folder,
                    "suffix": suffix.lower(),
                },
            )

    def place(self, line: int, column: str | None) -> tuple[int, int]:  # noqa: ARG002 - an image has no lines
        """Return (0, 0): no line applies."""
        return 0, 0

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """Return what was left out, as warnings."""
        reason: list[Remark] = []
        if self._others:
            what = "no provider takes their kind: save them as png, jpg or webp"
            reason.append(("other_kind", _left_out(self._others, "of other kinds"), what))
        if self._results:
            what = "to edit results, name a folder that holds nothing else"
            reason.append(("results", _left_out(self._results, "results of a batch, with a sidecar beside them"), what))
        return tuple(reason)

    def _sources(self, found: list[str]) -> list[str]:
        """Return *found* without results of batches, unless it is nothing else."""
        marked = [path for path in found if f"{path}.json" in self._beside]
        results = {path for path in marked if is_sidecar(os.path.join(self._top, f"{path}.json"))}  # noqa: PTH118
        if not results or len(results) == len(found):
            return found
        self._results = sorted(results)
        return [path for path in found if path not in results]

    def _images(self, pattern: tuple[str, ...]) -> Iterator[str]:
        """Yield the paths below the top that fit *pattern*, as far as their folders can."""
        images = entries = 0
        waiting = [("", _reached(pattern, {0}))]
        while waiting:
            folder, steps = waiting.pop()
            for entry in self._entries(folder):
                entries += 1
                path = f"{folder}/{entry.name}" if folder else entry.name
                after = _step(pattern, steps, entry.name)
                if entry.name.endswith(".json"):
                    self._beside.add(path)
                if not after or entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if path != self._left_out:
                        waiting.append((path, after))
                elif len(pattern) in after and _is_image(entry):
                    images += 1
                    yield path
                elif len(pattern) in after and _suffix(entry) in _OTHERS:
                    self._others.append(path)
                if images > MAX_IMAGES or entries > MAX_ENTRIES:
                    raise BadList(f"{self._file}: more than {MAX_IMAGES:,} images or {MAX_ENTRIES:,} files")

    def _entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(os.path.join(self._top, folder)) as found:  # noqa: PTH118
                yield from found
        except (OSError, ValueError) as error:
            where = f" (the folder {folder!r} in it)" if folder else ""
            missing = isinstance(error, FileNotFoundError)
            what = "there is no such folder" if missing else reason(error)
            raise BadList(f"{self._file}: {what}{where}") from None


def _parted(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the part of a glob without magic, and the rest by folder."""
    parts = name.split("/")
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    base = "/".join(parts[:first])
    return base or "/" * name.startswith("/"), tuple(part for part in parts[first:] if part not in ("", "."))


def _as_start(folder: str) -> str:
    return folder if folder.endswith("/") else f"{folder}/"


def _reached(pattern: tuple[str, ...], steps: set[int]) -> set[int]:
    """Return *steps* with those that follow them at once, since ** may stand for no folder."""
    for step in sorted(steps):
        while step < len(pattern) and pattern[step] == _ANY:
            step += 1  # noqa: PLW2901
            steps.add(step)
    return steps


def _step(pattern: tuple[str, ...], steps: set[int], name: str) -> set[int]:
    """Return how far into *pattern* the entry *name* gets from *steps*."""
    after = set()
    for step in steps:
        if step < len(pattern):
            if pattern[step] == _ANY:
                after.add(step)
            elif fnmatchcase(name, pattern[step]):
                after.add(step + 1)
    return _reached(pattern, after)


def _suffix(entry: os.DirEntry[str]) -> str:
    return os.path.splitext(entry.name)[1].lower()  # noqa: PTH122


def _is_image(entry: os.DirEntry[str]) -> bool:
    if _suffix(entry) not in SUFFIXES:
        return False
    try:
        return entry.is_file()
    except OSError:  # a link that leads back to itself
        return False


def _left_out(paths: list[str], what: str) -> str:
    number = "one image is" if len(paths) == 1 else f"{len(paths):,} images are"
    return f"{number} left out: {what} (such as {paths[0]})"


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
