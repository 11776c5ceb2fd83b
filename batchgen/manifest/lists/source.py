"""Listings: opens the list that a name in ``from:`` refers to."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from ...files.object_catalog import ObjectCatalog
from ...object_url import Folder
from .csv_rows import CsvList
from .filter import Pick, picked, unknown
from .folder import ImageFolder
from .globs import Exclusion
from .jsonl import JsonlList
from .mapping import ColumnMap
from .place import Place, store_errors
from .rows import BadList, Content, Remark, Report, aliases, ignore
from .text import ListFile, TextList


class Reader(Protocol):
    """A list of one format; see Listing for its methods."""

    @property
    def columns(self) -> tuple[str, ...] | None: ...  # noqa: D102

    @property
    def remarks(self) -> tuple[Remark, ...]: ...  # noqa: D102

    def rows(self, report: Report) -> Iterator[tuple[int, dict[str, Any]]]: ...  # noqa: D102

    def place(self, line: int, column: str | None) -> tuple[int, int]: ...  # noqa: D102


#: Rows at the beginning of a list that show what its columns hold.
HEAD = 100


class Listing:
    """The selected rows of one list; they can be read repeatedly and are read from disk each time."""

    def __init__(  # noqa: PLR0917 - what a list is, and how it is read
        self, name: str, file: str, reader: Reader, pick: Pick, mapping: ColumnMap, objects: ObjectCatalog | None = None
    ) -> None:
        self.name = name  #: as the manifest names it
        self.file = file  #: as the user would type it
        self.columns = reader.columns  #: None if rows may differ
        self.mapping = mapping
        self._reader = reader
        self._objects = objects  #: has the copy of a list in a store, and removes it at its own end
        self.pick = pick
        self._idle: set[tuple[str, str]] = set()
        if self.columns is not None:
            names = {*self.columns, *dict(aliases(self.columns)), *mapping.sources}
            for column in pick.where:
                if column not in names:
                    raise unknown(column, self.columns, file)

    @property
    def is_table(self) -> bool:
        """Return whether the list has columns of the user's own, unlike a txt file or a folder."""
        return not isinstance(self._reader, (ImageFolder, TextList))

    @property
    def sheet(self) -> str | None:
        """Return the sheet of a workbook, where the manifest names it."""
        sheet: str | None = getattr(self._reader, "sheet", None)
        return sheet

    @property
    def unclear_quotes(self) -> bool:
        """Return whether earlier versions removed quotes from the cells that are text now."""
        return bool(getattr(self._reader, "unclear_quotes", False))

    @property
    def separation(self) -> str:
        """Return how the cells are separated, for messages; empty where that is not in question."""
        return self._reader.separation if isinstance(self._reader, CsvList) else ""

    @property
    def names(self) -> frozenset[str] | None:
        """Return the variables of every row; None if rows may differ."""
        if self.columns is None:
            return None
        return frozenset((*self.columns, *dict(aliases(self.columns)), *self.mapping.sources))

    def known_columns(self) -> tuple[str, ...]:
        """Return the columns; where each row has its own, those of the first rows."""
        if self.columns is not None:
            return self.columns
        rows = [values for _, values in self.head()]
        keys = tuple(dict.fromkeys(key for values in rows for key in values))
        seconds = {
            alias
            for alias, column in aliases(tuple(key for key in keys if not key.isidentifier()))
            if all(row.get(alias) is row.get(column) for row in rows)
        }
        return tuple(key for key in keys if key not in seconds)

    def mapped(self, mapping: ColumnMap) -> Listing:
        """Return the same list with another mapping of its columns."""
        return Listing(self.name, self.file, self._reader, self.pick, mapping, self._objects)

    def head(self) -> list[tuple[int, dict[str, Any]]]:
        """Return the first rows, whatever is picked, with their line numbers; none if they cannot be read."""
        try:
            return list(itertools.islice(self._reader.rows(ignore), HEAD))
        except BadList:
            return []

    def header_place(self, column: str) -> tuple[int, int]:
        """Return line and column of a column's name; where each row names its own, of its first value."""
        header_line: int | None = getattr(self._reader, "header_line", None)
        if header_line is not None:
            return self._reader.place(header_line, column)
        return next((self.place(line, column) for line, values in self.head() if column in values), (1, 1))

    def rows(self, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the line where each row begins, and its values; *report* receives each bad row.

        Raise BadList if the rest cannot be read or the file has changed.
        """
        self._idle.clear()
        rows = self._reader.rows(report)
        if self.mapping.sources:
            rows = self.mapping.applied(rows, self.columns, self.file)
        return picked(rows, self.pick, self.file, self._idle)

    def content(self) -> Content | None:
        """Return the content of a text file; None for lists that also depend on other files, and for workbooks."""
        return self._reader.content() if isinstance(self._reader, (CsvList, JsonlList, TextList)) else None

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
        return self._reader.place(line, self.mapping.sources.get(column, column) if column else None)

    def file_of(self, line: int) -> str:
        """Return the file that the row at *line* comes from: the image itself in a folder of images."""
        return self._reader.file_of(line) if isinstance(self._reader, ImageFolder) else self.file


def listing(
    name: str,
    folder: Path,
    *,
    format: str | None = None,  # noqa: A002
    pick: Pick | None = None,
    leave_out: Folder | None = None,
    exclude: Exclusion | None = None,
    convert: bool = False,
    objects: ObjectCatalog | None = None,
    delimiter: str | None = None,
    quoting: str | None = None,
    columns: Mapping[str, str | None] | None = None,
    sheet: str | None = None,
) -> Listing:
    """Return the list that *name* refers to, relative to *folder*; raise BadList if it cannot be used.

    *format* is csv, tsv, xlsx, jsonl, txt or folder; by default it is derived from the name, and *delimiter*,
    *quoting* and *sheet* from the content. *columns* are the columns that set parameters and variables, by their
    names. Nothing below *leave_out* becomes a row of a folder, nor what *exclude* matches; with *convert*, images that
    have to be converted do as well. *objects* knows the object stores.
    """
    objects = objects or ObjectCatalog()
    place = Place.of(name, folder, format, objects)
    _check_options(place.file, place.format, exclude=bool(exclude), sheet=sheet, cells=delimiter or quoting)
    file, reader = place.file, _images(place, folder, leave_out, exclude or Exclusion(), objects, convert=convert)
    if reader is None:
        reader = _rows(place, delimiter=delimiter, quoting=quoting, sheet=sheet)
        file = place.file if sheet is None else f"{place.file}!{sheet}"
    mapping = ColumnMap.of(columns or {}, reader.columns, file)
    return Listing(place.name, file, reader, Pick() if pick is None else pick, mapping, objects)


def _images(
    place: Place, folder: Path, leave_out: Folder | None, exclude: Exclusion, objects: ObjectCatalog, *, convert: bool
) -> Reader | None:
    """Return the images of a folder or of a prefix; None for a list of another format."""
    if place.format != "folder":
        return None
    if place.url is not None:
        from .object_folder import ObjectFolder

        with store_errors():
            return ObjectFolder(place.url, leave_out, exclude, objects, convert=convert)
    if os.path.isfile(place.file):  # noqa: PTH113 - does not raise for an unusable name
        raise BadList(f"{place.file} is a file, not a folder")
    return ImageFolder(place.name, folder, place.file, leave_out, exclude, convert=convert)


def _rows(place: Place, *, delimiter: str | None, quoting: str | None, sheet: str | None) -> Reader:
    """Return the reader of a list that is a file."""
    source = ListFile(place.file, place.path)
    match place.format:
        case "jsonl":
            return JsonlList(source)
        case "txt":
            return TextList(source)
        case "xlsx":
            from .excel import ExcelList  # few lists are workbooks

            return ExcelList(place.name, place.file, sheet, place.path)
        case _:
            return CsvList(source, tsv=place.format == "tsv", delimiter=delimiter, quoting=quoting)


def _check_options(file: str, chosen: str, *, exclude: bool, sheet: str | None, cells: str | None) -> None:
    """Raise BadList where an option is for lists of another format; *cells* is one of cells of text files."""
    if exclude and chosen != "folder":
        raise BadList(f"{file}: exclude leaves images of a folder out; rows of a list are chosen with where")
    if sheet is not None and chosen != "xlsx":
        raise BadList(f"{file}: sheet names the sheet of an Excel workbook, and this is a {chosen} list")
    if cells and chosen not in {"csv", "tsv"}:
        raise BadList(f"{file}: delimiter and quoting are for csv and tsv files, and this is a {chosen} list")
