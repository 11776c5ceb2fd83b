"""The way in: what a name in ``from:`` stands for.  A doer: it looks at what kind of file it is."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from .csv_rows import Delimited
from .errors import BadList, Remark, Report
from .filter import Pick, picked, unknown
from .folder import SUFFIXES, Pictures
from .jsonl import Objects
from .prompts import Prompts
from .rows import aliases
from .text import ListFile

_FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "txt"}
_ADVICE = {
    ".json": "write one object on each line and name it .jsonl",
    ".yaml": "`include` takes other manifests",
    ".yml": "`include` takes other manifests",
    ".xlsx": "save it as CSV UTF-8",
    ".xls": "save it as CSV UTF-8",
    ".ods": "save it as CSV in UTF-8",
    ".gz": "unpack it first",
    ".zip": "unpack it first",
    **dict.fromkeys(SUFFIXES, "name a single image under `images`, or the folder it lies in here"),
}


class Reader(Protocol):
    """One kind of list; methods as those of Listing."""

    @property
    def columns(self) -> tuple[str, ...] | None: ...  # noqa: D102

    def rows(self, report: Report) -> Iterator[tuple[int, dict[str, Any]]]: ...  # noqa: D102

    def place(self, line: int, column: str | None) -> tuple[int, int]: ...  # noqa: D102


class Listing:
    """The rows that are picked of one list; they may be gone through again and again, and are read anew each time."""

    def __init__(self, file: str, reader: Reader, pick: Pick) -> None:
        self.file = file  #: as the user would type it
        self.columns = reader.columns  #: None where rows may differ
        self._reader = reader
        self._pick = pick
        self._idle: set[tuple[str, str]] = set()
        if self.columns is not None:
            known = {*self.columns, *dict(aliases(self.columns))}
            for column in pick.where:
                if column not in known:
                    raise unknown(column, self.columns, file)

    def rows(self, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the line where each row begins, and its values; *report* is told of each bad row.

        Raise BadList where reading on makes no sense, and where the file is no more what it was.
        """
        self._idle.clear()
        return picked(self._reader.rows(report), self._pick, self.file, self._idle)

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """Return what to warn of, once its rows were gone through."""
        left_out = self._reader.remarks if isinstance(self._reader, Pictures) else ()
        idle = (
            ("no_row", f"where matches nothing: no {column!r} is like {glob!r}", "upper and lower case count")
            for column, glob in sorted(self._idle)
        )
        return (*left_out, *idle)

    def place(self, line: int, column: str | None) -> tuple[int, int]:
        """Return where the value of a column stands in the row that begins at *line*: line and column, from 1.

        (0, 0) for images.  The file is read again, from a little before that line.
        """
        return self._reader.place(line, column)


def listing(
    name: str, folder: Path, *, format: str | None = None, pick: Pick | None = None, leave_out: Path | None = None  # noqa: A002
) -> Listing:  # fmt: skip
    """Return the list that *name* stands for, relative to *folder*; raise BadList where it cannot be used.

    *format* is csv, tsv, jsonl, txt or folder; by default the name tells it.  Nothing below *leave_out* becomes
    a row of a folder.
    """
    file = str(folder / name)
    return Listing(file, _reader(name, folder, file, format, leave_out), Pick() if pick is None else pick)


def _reader(name: str, folder: Path, file: str, format: str | None, leave_out: Path | None) -> Reader:  # noqa: A002
    match format or _format(name, file):
        case "folder":
            if os.path.isfile(file):  # noqa: PTH113 - says False, and does not raise, where there is none
                raise BadList(f"{file} is a file, not a folder")
            return Pictures(name, folder, file, leave_out)
        case "jsonl":
            return Objects(ListFile(file, file))
        case "txt":
            return Prompts(ListFile(file, file))
        case "tsv":
            return Delimited(ListFile(file, file), "\t")
        case _:
            return Delimited(ListFile(file, file))


def _format(name: str, file: str) -> str:
    """Tell the format by what the name stands for, then by its suffix."""
    if not name:
        raise BadList("the name of the list is empty")
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
    if os.path.isdir(file):  # noqa: PTH112
        return "folder"
    there = os.path.lexists(file)
    if glob.has_magic(name) and not there:
        if suffix in _FORMATS:
            raise BadList(f"{file}: a pattern takes images only; name each {suffix} file")
        return "folder"
    if suffix in _FORMATS:
        return _FORMATS[suffix]
    if not there or not os.path.isfile(file):  # noqa: PTH113
        ListFile(file, file).probe()
    hint = _ADVICE.get(suffix, "say `format: csv` or whatever it is")
    raise BadList(f"{file} is no csv, tsv, jsonl or txt file ({hint})")
