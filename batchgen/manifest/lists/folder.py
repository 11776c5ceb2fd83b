"""Folders and globs of images: each image is a row. Only names are read, not the images."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...files import naming
from ...files.opening import OpenError, open_file
from ...object_url import Folder
from ..filenames import control, portable
from .folder_walk import FolderWalk
from .globs import ANY, Exclusion, split
from .image_names import ImageNames
from .left_out import LeftOut
from .rows import BadList, Remark, Report

#: Bytes; a sidecar holds a prompt and little else.
_MAX_SIDECAR = 4_000_000
#: Keys that sidecars of every version have.
_SIDECAR_KEYS = frozenset({"batch", "id", "attempt", "fingerprint", "file"})


class ImageFolder:
    """The images of a folder and its subfolders, or those that a glob matches, in sorted order.

    Hidden files and folders and the output folder are skipped. Results of batches, which have a sidecar, are skipped
    if there are other images.
    """

    columns: tuple[str, ...] | None = ("images", "id", "path", "name", "stem", "folder", "suffix")

    def __init__(
        self, name: str, folder: Path, file: str, leave_out: Folder | None, exclude: Exclusion,
        *, convert: bool = False,
    ) -> None:  # fmt: skip
        """Find the images of *name*, relative to *folder*; raise BadList if there are none.

        *exclude* are globs of files and folders that are left out; with *convert*, images that have to be converted
        are taken as well.
        """
        is_folder = os.path.isdir(folder / name) or not glob.has_magic(name)  # noqa: PTH112 - False for a NUL
        base, pattern = (name, (ANY,)) if is_folder else split(name, naming.fixed_parts(folder, name))
        self._top = os.path.abspath(folder / base)  # noqa: PTH100 - resolve() would follow links; the name counts
        self._shown_top = naming.joined(folder, base)
        self._folder = os.path.abspath(folder)  # noqa: PTH100
        output = leave_out if isinstance(leave_out, Path) else None
        if output is not None and "\0" not in name and Path(self._top).resolve().is_relative_to(output.resolve()):
            raise BadList(f"{file} is in the output folder, and results never become sources: name another folder")
        self._exclude = exclude
        names = ImageNames(pattern, base=base, exclude=exclude, convert=convert)
        walk = FolderWalk(self._top, names, file)
        walk.run(output)
        self._keep(walk.images, walk.json_files, names.left_out, file)

    def _keep(self, images: list[str], json_files: set[str], left_out: LeftOut, file: str) -> None:
        """Keep the *images* that are not results; raise BadList if there are none."""
        self._left_out = left_out
        self._images = self._without_results(sorted(images), json_files)
        if not self._images:
            others = f"; {left_out}" if left_out else ""
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
                    "id": portable(f"{folder}/{stem}" if folder else stem),
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

    def file_of(self, number: int) -> str:
        """Return the path of the image with this number, as the user would type it."""
        return os.path.join(self._shown_top, self._images[number - 1])  # noqa: PTH118 - keeps ./ as written

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """Return warnings about what was left out."""
        remarks = [("left_out", str(self._left_out), "")] if self._left_out else []
        remarks += [
            (
                "no_match",
                f"exclude matches nothing: no file or folder matches {pattern!r}",
                "upper and lower case count",
            )
            for pattern in sorted(self._exclude.idle)
        ]
        return tuple(remarks)

    def _without_results(self, paths: list[str], json_files: set[str]) -> list[str]:
        """Return *paths* without results of batches, unless there is nothing else."""
        candidates = [path for path in paths if f"{path}.json" in json_files]
        results = {path for path in candidates if self._is_result(path)}
        if not results or len(results) == len(paths):
            return paths
        for path in results:
            advice = "to edit results, name a folder that contains nothing else"
            self._left_out.add(path, "result with a sidecar", "results with a sidecar", advice)
        return [path for path in paths if path not in results]

    def _is_result(self, path: str) -> bool:
        """Return whether an image with a JSON file beside it was made by batchgen."""
        try:
            with open_file(os.path.join(self._top, f"{path}.json")) as file:  # noqa: PTH118
                return is_sidecar(file.read(_MAX_SIDECAR))
        except (OpenError, OSError):
            return False


def _with_slash(folder: str) -> str:
    return folder if folder.endswith("/") else f"{folder}/"


def is_sidecar(content: bytes) -> bool:
    """Return whether *content* is a sidecar of batchgen and not some other JSON."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.keys() >= _SIDECAR_KEYS


def _not_utf8(path: str) -> str | None:
    try:
        path.encode()
    except UnicodeEncodeError:
        return "bytes that are not UTF-8"
    return None
