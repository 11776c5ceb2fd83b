"""Excel workbooks: one sheet is a list, with the checks of a csv file. The only module that imports openpyxl."""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any, NamedTuple
from unicodedata import normalize

from ...errors import suggest
from ...files.opening import OpenError, open_file
from ..filenames import control
from .header import clean, column_names
from .rows import BadList, Remark, Report, aliases, column_of, flow_text

#: Bytes of all parts of a workbook, unpacked: openpyxl holds its texts in memory.
MAX_UNPACKED = 1_000_000_000
#: Rows that a sheet of Excel has at most.
MAX_ROWS = 1_048_576
#: Cells, with the empty ones before others in their row: a few kilobytes can unpack to billions.
MAX_CELLS = 50_000_000
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
#: Excel keeps so many digits of a number.
_DIGITS = 15
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell [^>]*?ref="([A-Z]+[0-9]+:[A-Z]+[0-9]+)"')
_FORMULA = re.compile(rb"<(?:\w+:)?f[ >/]")
_CHUNK = 1 << 20
_INSTALL = "pip install 'batchgen[excel]'"


class _Scan(NamedTuple):
    """What the XML of a sheet shows that openpyxl does not, when it reads row by row."""

    formulas: bool
    merged: tuple[str, ...]  #: the first of the merged ranges


class ExcelList:
    """One sheet of a workbook: rows of text by the column names of its first row."""

    def __init__(self, name: str, file: str, sheet: str | None = None, path: str | None = None) -> None:
        """Choose the sheet and read its header; raise BadList where there is none to use.

        *path* is read, which messages call *file*.
        """
        self.path = file
        self.sheet = sheet
        self.file = file if sheet is None else f"{file}!{sheet}"
        self._opened = file if path is None else path
        self._identity = _identity(self._opened, file)
        self._remarks: list[Remark] = []
        with self._workbook() as book:
            self._sheet = _chosen(book, name, file, sheet)
            scan = self._scan(book[self._sheet])
            self.header_line, self.columns = self._header(book[self._sheet])
        if scan.formulas:
            self._check_formulas()
        if scan.merged:
            message = (
                f"cells of sheet {self._sheet} are merged ({', '.join(scan.merged)}): only the first has the value"
            )
            self._remarks.append(("merged_cells", message, "unmerge them and fill each row"))

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """Return warnings about the sheet."""
        return tuple(self._remarks)

    def rows(self, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the number of each row that is not empty, and its values as text."""
        pairs = aliases(self.columns)
        with self._workbook() as book, closing(_rows(book[self._sheet])) as numbered:
            for line, row in numbered:
                if line <= self.header_line:
                    continue
                values = self._values(row, line, report)
                if values is not None:
                    yield line, values | {alias: values[column] for alias, column in pairs}
        self._check_unchanged()

    def place(self, line: int, column: str | None) -> tuple[int, int]:
        """Return row and column of a cell, both counted from 1."""
        column = None if column is None else column_of(column, self.columns)
        return line, self.columns.index(column) + 1 if column in self.columns else 1

    def _values(self, row: tuple[Any, ...], line: int, report: Report) -> dict[str, str] | None:
        """Return the values of a row; None where it is empty, or bad, which is reported."""
        width = len(self.columns)
        texts = [""] * width
        for index, cell in enumerate(row):
            text = _text(cell)
            if index >= width:
                if text.strip():
                    message = f"the cell {_name(index, line)} is outside of the {width} named columns"
                    report(line, index + 1, "bad_row", message, "give its column a name, or empty it")
                    return None
                continue
            if cell.data_type == "e":
                message = f"the cell {_name(index, line)} of column {self.columns[index]!r} is an error: {text}"
                report(line, index + 1, "bad_cell", message, "correct its formula, or empty it")
                return None
            char = control(text, allow="\t\n\r")
            if char:
                message = f"the cell of column {self.columns[index]!r} contains the control character {char}"
                report(line, index + 1, "control_character", message, "remove it")
                return None
            texts[index] = clean(text)
        return dict(zip(self.columns, texts, strict=True)) if any(map(str.strip, texts)) else None

    def _header(self, sheet: Any) -> tuple[int, tuple[str, ...]]:  # noqa: ANN401 - openpyxl has no types
        """Return number and names of the first row that is not empty."""
        with closing(_rows(sheet)) as numbered:
            rows = ((line, [_text(cell) for cell in row]) for line, row in numbered)
            filled = ((line, texts) for line, texts in rows if any(map(str.strip, texts)))
            line, header = next(filled, (1, []))
            _, following = next(filled, (0, []))
        names = column_names(header, self.file)
        if len(names) == 1 and sum(1 for text in following if text.strip()) > 1:
            raise BadList(
                f"{self.file}: row {line} has only {names[0]!r}, a title perhaps; the first row must name the columns: "
                "delete the rows above them"
            )
        return line, names

    def _check_formulas(self) -> None:
        """Raise BadList where a formula has no value: the program that wrote the workbook did not compute it."""
        with (
            self._workbook(data_only=False) as formulas,
            self._workbook() as book,
            closing(_rows(formulas[self._sheet])) as written_rows,
            closing(_rows(book[self._sheet])) as rows,
        ):
            for (line, row), (_, cells) in zip(written_rows, rows, strict=True):
                if line <= self.header_line:
                    continue
                for index, (written, cell) in enumerate(zip(row[: len(self.columns)], cells, strict=False)):
                    # A formula whose value is empty text has the type of text.
                    if written.data_type == "f" and cell.value is None and cell.data_type == "n":
                        place = f"{self.file}:{line}:{index + 1}: the formula in {_name(index, line)} has no value"
                        raise BadList(f"{place}: open the workbook in Excel or LibreOffice and save it")

    @contextmanager
    def _workbook(self, *, data_only: bool = True) -> Iterator[Any]:
        load_workbook = _openpyxl(self.path)
        self._check_unchanged()
        try:
            book = load_workbook(self._opened, read_only=True, data_only=data_only, keep_links=False)
            try:
                yield book
            finally:
                book.close()
        except BadList:
            raise
        except Exception as error:  # openpyxl raises what zipfile, XML and its own classes raise, by the damage
            raise BadList(f"{self.path}: the workbook is damaged: {error}") from error

    def _check_unchanged(self) -> None:
        if _identity(self._opened, self.path) != self._identity:
            raise BadList(f"{self.path} changed while it was being read; run the command again")

    def _scan(self, sheet: Any) -> _Scan:  # noqa: ANN401
        formulas, merged, rest = False, list[str](), b""
        with sheet._get_source() as source:  # noqa: SLF001 - the part of the archive with the sheet
            while chunk := source.read(_CHUNK):
                text = rest + chunk
                formulas = formulas or _FORMULA.search(text) is not None
                merged += [match.decode() for match in _MERGED.findall(text) if match.decode() not in merged]
                rest = text[-200:]
        ranges = [*merged[:3], "..."] if len(merged) > 3 else merged
        return _Scan(formulas, tuple(ranges))


def _openpyxl(file: str) -> Any:  # noqa: ANN401
    try:
        load_workbook = import_module("openpyxl").load_workbook
    except ImportError:
        raise BadList(f"{file}: Excel workbooks need openpyxl: {_INSTALL}, or save the sheet as CSV UTF-8") from None
    # It warns of styles, validations and dates that it drops, also while rows are read.
    warnings.filterwarnings("ignore", module=r"openpyxl\b")
    return load_workbook


def _identity(path: str, file: str) -> tuple[int, int, int]:
    """Return what changes with the file; raise BadList where it is not a workbook that can be opened."""
    try:
        with open_file(path) as handle:
            begin, stat = handle.read(8), os.fstat(handle.fileno())
            if not begin:
                raise BadList(f"{file}: is empty")
            if begin == _OLE:
                raise BadList(
                    f"{file} has a password, or is an old .xls workbook: save it without password as .xlsx or CSV UTF-8"
                )
            with zipfile.ZipFile(handle) as archive:
                unpacked = sum(part.file_size for part in archive.infolist())
    except OpenError as error:
        raise BadList(f"{file}: {error}") from None
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        if isinstance(error, BadList):
            raise
        raise BadList(f"{file}: is not an Excel workbook, or is damaged") from None
    if unpacked > MAX_UNPACKED:
        raise BadList(
            f"{file}: is larger than {MAX_UNPACKED // 1_000_000} MB when unpacked; save the sheet as CSV UTF-8"
        )
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _chosen(book: Any, name: str, file: str, wanted: str | None) -> str:  # noqa: ANN401
    """Return the name of the sheet to read: the one that is wanted, or the only one that is visible and not empty."""
    sheets: dict[str, Any] = {sheet.title: sheet for sheet in book.worksheets}
    if wanted is not None:
        match = next((title for title in sheets if _folded(title) == _folded(wanted)), None)
        if match is None:
            hint = suggest(wanted, list(sheets), f"there are: {', '.join(sheets)}")
            raise BadList(f"{file} has no sheet {wanted!r} ({hint})")
        return match
    visible = [title for title, sheet in sheets.items() if sheet.sheet_state == "visible" and _has_cells(sheet)]
    if len(visible) > 1:
        raise BadList(
            f"{file} has several sheets: {', '.join(visible)}; choose one, such as "
            f"{{path: {flow_text(name)}, sheet: {flow_text(visible[0])}}}"
        )
    if not visible:
        hidden = [title for title, sheet in sheets.items() if sheet.sheet_state != "visible"]
        raise BadList(f"{file} has no sheet with cells{'; hidden: ' + ', '.join(hidden) if hidden else ''}")
    return visible[0]


def _folded(title: str) -> str:
    return normalize("NFC", title.strip().casefold())


def _has_cells(sheet: Any) -> bool:  # noqa: ANN401
    with closing(_rows(sheet)) as numbered:
        return any(cell.value is not None for _, row in numbered for cell in row)


def _rows(sheet: Any) -> Generator[tuple[int, tuple[Any, ...]]]:  # noqa: ANN401
    """Yield the rows of a sheet with their numbers, whatever size the file states for it."""
    sheet.reset_dimensions()
    rows, cells = sheet.iter_rows(), 0
    try:
        for number, row in enumerate(rows, 1):
            cells += len(row)
            if number > MAX_ROWS or cells > MAX_CELLS:
                raise BadList(
                    f"the sheet {sheet.title} has more than {MAX_ROWS:,} rows or {MAX_CELLS:,} cells, most of them "
                    "empty perhaps: delete the empty rows and columns, or save it as CSV UTF-8"
                )
            yield number, row
    finally:
        if isinstance(rows, Generator):
            rows.close()


def _name(index: int, line: int) -> str:
    """Return the name of a cell as Excel shows it: ``B7``."""
    letters, number = "", index + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return f"{letters}{line}"


def _text(cell: Any) -> str:  # noqa: ANN401
    """Return the value of a cell as a csv export has it; dates as YYYY-MM-DD."""
    value = cell.value
    match value:
        case None:
            return ""
        case str():
            return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), value) if "_x" in value else value
        case bool():
            return str(value).upper()
        case int() | float():
            return _number(value, str(cell.number_format))
        case datetime():
            moment = value.isoformat(sep=" ", timespec="minutes" if not value.second else "seconds")
            return moment.removesuffix(" 00:00")
        case date():
            return value.isoformat()
        case time():
            return value.isoformat("minutes" if not value.second else "seconds")
        case timedelta():
            minutes, seconds = divmod(round(value.total_seconds()), 60)
            return f"{minutes // 60}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")
        case _:
            return str(value)


def _number(value: float, number_format: str) -> str:
    """Return a number with the digits that Excel keeps, never with an exponent; a format such as 00000 fills up."""
    if isinstance(value, int):
        text = str(value)
    else:
        text = format(Decimal(f"{value:.{_DIGITS}g}"), "f")
        text = text.rstrip("0").rstrip(".") if "." in text else text
    zeros = len(number_format) if number_format.strip("0") == "" else 0
    return text.zfill(zeros) if "." not in text else text
