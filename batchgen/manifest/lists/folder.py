"""Folders and globs of images: each image is a row. Only names are read, not the images."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ...files.opening import OpenError, open_file, reason
from ..filenames import control
from .rows import BadList, Remark, Report

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
#: Images that no provider accepts.
_OTHER_SUFFIXES = frozenset({".heic", ".heif", ".avif", ".gif", ".bmp", ".tif", ".tiff", ".jfif", ".jxl"})
MAX_IMAGES = 1_000_000
MAX_ENTRIES = 10 * MAX_IMAGES

_ANY = "**"
#: Bytes; a sidecar holds a prompt and little else.
_MAX_SIDECAR = 4_000_000
#: Keys that sidecars of every version have.
_SIDECAR_KEYS = frozenset({"batch", "id", "attempt", "fingerprint", "file"})


class ImageFolder:
    """The images of a folder and its subfolders, or those that a glob matches, in sorted order.

    Hidden files and folders and the output folder are skipped. Results of batches, which have a sidecar, are skipped
    if there are other images. Links to images are followed, links to folders are not.
    """

    columns: tuple[str, ...] | None = ("images", "id", "path", "name", "stem", "folder", "suffix")

    def __init__(self, name: str, folder: Path, file: str, leave_out: Path | None) -> None:
        """Find the images of *name*, relative to *folder*; raise BadList if there are none."""
        is_folder = os.path.isdir(folder / name) or not glob.has_magic(name)  # noqa: PTH112 - False for a NUL
        base, pattern = (name, (_ANY,)) if is_folder else _split(name)
        self._top = os.path.abspath(folder / base)  # noqa: PTH100 - resolve() would follow links; the name counts
        self._folder = os.path.abspath(folder)  # noqa: PTH100
        self._file = file
        self._output = None
        if leave_out is not None and "\0" not in name:
            top, output = Path(self._top).resolve(), leave_out.resolve()
            self._output = output.relative_to(top).as_posix() if output.is_relative_to(top) else None
            if top.is_relative_to(output):
                raise BadList(f"{file} is in the output folder, and results never become sources: name another folder")
        self._others: list[str] = []
        self._json_files: set[str] = set()
        self._results: list[str] = []
        self._images = self._without_results(sorted(self._search(pattern)))
        if not self._images:
            others = f"; {len(self._others):,} of other kinds, such as {self._others[0]}" if self._others else ""
            raise BadList(f"{file}: there is no image (png, jpg, webp){others}")

    def rows(self, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield each image's number, counted from 1, and its names."""
        top, parent = _with_slash(self._top), _with_slash(self._folder)
        for number, path in enumerate(self._images, 1):
            flaw = control(path) or _not_utf8(path)
            if flaw:
                report(0, 0, "bad_name", f"the name of the image {path!a} contains {flaw}", "rename the file")
                continue
            folder, _, name = path.rpartition("/")
            stem, _, suffix = name.rpartition(".")
            yield (
                number,
                {
                    "images": (top + path).removeprefix(parent),
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
        """Return warnings about images that were skipped."""
        remarks: list[Remark] = []
        if self._others:
            hint = "no provider accepts their kind: save them as png, jpg or webp"
            remarks.append(("other_kind", _skipped(self._others, "of other kinds"), hint))
        if self._results:
            hint = "to edit results, name a folder that contains nothing else"
            remarks.append(("results", _skipped(self._results, "results of a batch, which have a sidecar"), hint))
        return tuple(remarks)

    def _without_results(self, paths: list[str]) -> list[str]:
        """Return *paths* without results of batches, unless there is nothing else."""
        candidates = [path for path in paths if f"{path}.json" in self._json_files]
        results = {path for path in candidates if _is_sidecar(os.path.join(self._top, f"{path}.json"))}  # noqa: PTH118
        if not results or len(results) == len(paths):
            return paths
        self._results = sorted(results)
        return [path for path in paths if path not in results]

    def _search(self, pattern: tuple[str, ...]) -> Iterator[str]:
        """Yield the paths of images below the top folder that match *pattern*."""
        images = entries = 0
        folders: list[tuple[str, ...]] = [()]
        while folders:
            folder = folders.pop()
            for entry in self._entries("/".join(folder)):
                entries += 1
                parts = (*folder, entry.name)
                path = "/".join(parts)
                if entry.name.endswith(".json"):
                    self._json_files.add(path)
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if path != self._output and _may_contain(parts, pattern):
                        folders.append(parts)
                elif _matches(parts, pattern) and self._is_image(entry, path):
                    images += 1
                    yield path
                if images > MAX_IMAGES or entries > MAX_ENTRIES:
                    raise BadList(f"{self._file}: more than {MAX_IMAGES:,} images or {MAX_ENTRIES:,} files")

    def _is_image(self, entry: os.DirEntry[str], path: str) -> bool:
        suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122
        if suffix in _OTHER_SUFFIXES:
            self._others.append(path)
        try:
            return suffix in SUFFIXES and entry.is_file()
        except OSError:  # a link that leads back to itself
            return False

    def _entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(os.path.join(self._top, folder)) as entries:  # noqa: PTH118
                yield from entries
        except (OSError, ValueError) as error:
            where = f" (the folder {folder!r} in it)" if folder else ""
            missing = isinstance(error, FileNotFoundError)
            what = "there is no such folder" if missing else reason(error)
            raise BadList(f"{self._file}: {what}{where}") from None


def _split(name: str) -> tuple[str, tuple[str, ...]]:
    """Split a glob into its leading folder without wildcards and the rest, part by part."""
    parts = name.split("/")
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    base = "/".join(parts[:first])
    return base or "/" * name.startswith("/"), tuple(part for part in parts[first:] if part not in ("", "."))


def _matches(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Return whether a path matches a glob; ``**`` matches any number of folders, even none."""
    if not pattern:
        return not parts
    if pattern[0] == _ANY:
        return _matches(parts, pattern[1:]) or (bool(parts) and _matches(parts[1:], pattern))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _may_contain(folder: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Return whether files below *folder* can match, so that other folders need not be read."""
    fixed = pattern[: pattern.index(_ANY)] if _ANY in pattern else pattern[:-1]
    deep_enough = _ANY in pattern or len(folder) <= len(fixed)
    return deep_enough and all(map(fnmatchcase, folder, fixed))


def _with_slash(folder: str) -> str:
    return folder if folder.endswith("/") else f"{folder}/"


def _is_sidecar(path: str) -> bool:
    """Return whether the file at *path* is a sidecar of batchgen and not some other JSON."""
    try:
        with open_file(path) as file:
            document = json.loads(file.read(_MAX_SIDECAR))
    except (OpenError, OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.keys() >= _SIDECAR_KEYS


def _skipped(paths: list[str], what: str) -> str:
    count = "one image is" if len(paths) == 1 else f"{len(paths):,} images are"
    return f"{count} left out: {what} (such as {paths[0]})"


def _not_utf8(path: str) -> str | None:
    try:
        path.encode()
    except UnicodeEncodeError:
        return "bytes that are not UTF-8"
    return None
