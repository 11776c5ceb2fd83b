"""Listings: opens the list that a name in ``from:`` refers to."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from .csv_rows import CsvList
from .filter import Pick, picked, unknown
from .folder import ImageFolder
from .jsonl import JsonlList
from .kinds import CONVERTIBLE, SUFFIXES
from .rows import BadList, Remark, Report, aliases
from .text import ListFile, TextList

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
    **dict.fromkeys(SUFFIXES | CONVERTIBLE.keys(), "name a single image under `images`, or its folder here"),
}


class Reader(Protocol):
    """A list of one format; see Listing for its methods."""

    @property
    def columns(self) -> tuple[str, ...] | None: ...  # noqa: D102

    @property
    def remarks(self) -> tuple[Remark, ...]: ...  # noqa: D102

    def rows(self, report: Report) -> Iterator[tuple[int, dict[str, Any]]]: ...  # noqa: D102

    def place(self, line: int, column: str | None) -> tuple[int, int]: ...  # noqa: D102


class Listing:
    """The selected rows of one list; they can be read repeatedly and are read from disk each time."""

    def __init__(self, file: str, reader: Reader, pick: Pick) -> None:
        self.file = file  #: as the user would type it
        self.columns = reader.columns  #: None if rows may differ
        self._reader = reader
        self._pick = pick
        self._idle: set[tuple[str, str]] = set()
        if self.columns is not None:
            names = {*self.columns, *dict(aliases(self.columns))}
            for column in pick.where:
                if column not in names:
                    raise unknown(column, self.columns, file)

    def rows(self, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the line where each row begins, and its values; *report* receives each bad row.

        Raise BadList if the rest cannot be read or the file has changed.
        """
        self._idle.clear()
        return picked(self._reader.rows(report), self._pick, self.file, self._idle)

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """Return warnings; call this after all rows were read."""
        idle = (
            ("no_row", f"where matches nothing: no {column!r} matches {glob!r}", "upper and lower case count")
            for column, glob in sorted(self._idle)
        )
        return (*self._reader.remarks, *idle)

    def place(self, line: int, column: str | None) -> tuple[int, int]:
        """Return line and column, from 1, of a column's value in the row that begins at *line*; (0, 0) for images.

        Reads the file again, from shortly before that line.
        """
        return self._reader.place(line, column)

    def file_of(self, line: int) -> str:
        """Return the file that the row at *line* comes from: the image itself in a folder of images."""
        return self._reader.file_of(line) if isinstance(self._reader, ImageFolder) else self.file


def listing(
    name: str,
    folder: Path,
    *,
    format: str | None = None,  # noqa: A002
    pick: Pick | None = None,
    leave_out: Path | None = None,
    exclude: tuple[str, ...] = (),
    convert: bool = False,
    delimiter: str | None = None,
    quoting: str | None = None,
) -> Listing:
    """Return the list that *name* refers to, relative to *folder*; raise BadList if it cannot be used.

    *format* is csv, tsv, jsonl, txt or folder; by default it is derived from the name, and *delimiter* and *quoting*
    from the content. Nothing below *leave_out* becomes a row of a folder, nor what *exclude* matches; with *convert*,
    images that have to be converted do as well.
    """
    file = str(folder / name)
    chosen = format or _format(name, file)
    if exclude and chosen != "folder":
        raise BadList(f"{file}: exclude leaves images of a folder out; rows of a list are chosen with where")
    reader: Reader
    match chosen:
        case "folder":
            if os.path.isfile(file):  # noqa: PTH113 - does not raise for an unusable name
                raise BadList(f"{file} is a file, not a folder")
            reader = ImageFolder(name, folder, file, leave_out, exclude, convert=convert)
        case "jsonl":
            reader = JsonlList(ListFile(file))
        case "txt":
            reader = TextList(ListFile(file))
        case _:
            reader = CsvList(ListFile(file), tsv=chosen == "tsv", delimiter=delimiter, quoting=quoting)
    return Listing(file, reader, Pick() if pick is None else pick)


def _format(name: str, file: str) -> str:
    """Derive the format from what *name* refers to, then from its suffix."""
    if not name:
        raise BadList("the name of the list is empty")
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
    if os.path.isdir(file):  # noqa: PTH112
        return "folder"
    exists = os.path.lexists(file)
    if glob.has_magic(name) and not exists:
        if suffix in _FORMATS:
            raise BadList(f"{file}: a pattern matches only images; name each {suffix} file")
        return "folder"
    if suffix in _FORMATS:
        return _FORMATS[suffix]
    if not exists or not os.path.isfile(file):  # noqa: PTH113
        ListFile(file).probe()
    hint = _ADVICE.get(suffix, "set `format: csv` or whatever it is")
    raise BadList(f"{file} is not a csv, tsv, jsonl or txt file ({hint})")
