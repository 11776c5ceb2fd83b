"""csv and tsv lists: a header, then one row of cells each."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator
from typing import Any

from ..filenames import control
from .rows import BadList, Report, aliases, column_of
from .text import ListFile

#: Characters; a longer cell is a mistake, most likely a missing quote.
MAX_CELL = 1_000_000

#: What may be wrong with a row, by the beginning of the csv module's own message: code, message, hint.
_UNCLOSED = "unexpected end of data"
_TOO_LONG = "field larger than field limit"
_ERRORS = {
    _UNCLOSED: (
        "unclosed_quote",
        "a quote that opens in this row is not closed",
        'close it; inside quotes, write a quote twice: ""',
    ),
    _TOO_LONG: ("too_long", f"a cell is longer than {MAX_CELL // 1_000_000} MB", "is a quote missing?"),
    "new-line character": ("bad_row", "the row contains a line end (CR) outside of quotes", "put the cell in quotes"),
    "": ("bad_row", "text follows a closing quote", 'inside quotes, write a quote twice: ""'),
}


class CsvList:
    """A csv or tsv list: rows of text by the column names of the header."""

    def __init__(self, source: ListFile, delimiter: str | None = None) -> None:
        """Read the header; without *delimiter* it shows whether cells are separated by commas or semicolons."""
        self._source = source
        csv.field_size_limit(MAX_CELL)
        lines = (text for _, text in source.lines())
        first = next((line for line in lines if line.strip("\r\n")), "")
        self._delimiter = delimiter or (";" if ";" in first and "," not in first else ",")
        try:
            header: list[str] = next(self._reader(itertools.chain((first,), lines)), [])
        except csv.Error:
            raise BadList(f"{source.file}: {_bad_header(first)}") from None
        self.columns: tuple[str, ...] = tuple(name.strip() for name in header)
        self._check_header()

    def rows(self, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the line where each row begins, and its values; missing cells are empty text."""
        reader = self._reader(text for _, text in self._source.lines(report))
        next((row for row in reader if row), None)  # the header
        width, pairs = len(self.columns), aliases(self.columns)
        names = (*self.columns, *(alias for alias, _ in pairs))
        copies = [self.columns.index(column) for _, column in pairs]
        while True:
            begin = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                start = next(start for start in _ERRORS if str(error).startswith(start))
                code, message, hint = _ERRORS[start]
                if reader.line_num > begin:
                    message += f"; the row runs on to line {reader.line_num}"
                report(begin, 1, code, message, hint)
                if start in (_UNCLOSED, _TOO_LONG):
                    return  # where the next row begins cannot be known
                continue
            if len(row) != width or not "".join(row).isprintable() or not row[0]:
                if not any(map(str.strip, row)) or self._is_bad(row, begin, report):
                    continue
                row.extend([""] * (width - len(row)))
            row.extend([row[index] for index in copies])
            yield begin, dict(zip(names, row, strict=True))

    def place(self, line: int, column: str | None) -> tuple[int, int]:
        """Return line and column of a cell of the row that begins at *line*; of the row if it has no such cell."""
        column = None if column is None else column_of(column, self.columns)
        if column not in self.columns:
            return line, 1
        read: list[str] = []

        def lines() -> Iterator[str]:
            for _, text in self._source.lines(start=line):
                read.append(text)
                yield text

        index = self.columns.index(column)
        if len(next(self._reader(lines()), [])) <= index:
            return line, 1
        cell = re.compile(f'"(?:[^"]|"")*"|[^{self._delimiter}\r\n]*')
        text, at = "".join(read), 0
        for _ in range(index):
            match = cell.match(text, at)
            at = match.end() + 1 if match else at
        return line + text.count("\n", 0, at), at - text.rfind("\n", 0, at)

    def _is_bad(self, row: list[str], begin: int, report: Report) -> bool:
        width = len(self.columns)
        if len(row) > width:
            hint = f"put a cell that contains {self._delimiter!r} in quotes"
            report(begin, 1, "bad_row", f"the row has {len(row)} cells, the header {width}", hint)
            return True
        for name, cell in zip(self.columns, row, strict=False):
            char = control(cell, allow="\t\n\r")
            if char:
                message = f"the cell of column {name!r} contains the control character {char}"
                report(begin, 1, "control_character", message, "remove it")
                return True
        return False

    def _reader(self, lines: Iterator[str]) -> Any:  # noqa: ANN401 - csv has no public name for it
        return csv.reader(lines, delimiter=self._delimiter, strict=True)

    def _check_header(self) -> None:
        file = self._source.file
        if not self.columns:
            raise BadList(f"{file} has no header: its first line must name the columns")
        for number, name in enumerate(self.columns, 1):
            char = control(name, allow="\r\n")
            if char == "U+0009":
                raise BadList(f"{file}: its columns are separated by tabs: set `format: tsv`")
            if char:
                raise BadList(f"{file}: the name of column {number} contains the control character {char}")
            if name.startswith('"'):
                raise BadList(f"{file}: the header has a blank before the quote of column {number}")
            if not name:
                raise BadList(f"{file}: column {number} of the header has no name")
            if name in self.columns[: number - 1]:
                raise BadList(f"{file}: the header names the column {name!r} twice")


def _bad_header(first: str) -> str:
    if "\r" in first.rstrip("\r\n"):
        return "its lines end in CR alone, as on very old systems; save it with LF or CRLF"
    return "the header cannot be read: check its quotes"
