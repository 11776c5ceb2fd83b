"""csv and tsv: a header, then a row of cells each.  A doer: it reads one file."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import deque
from collections.abc import Iterator
from typing import Any

from ..filenames import control
from ..locations import PER_KIND
from .cells import MAX_CELL, Cells, cells
from .errors import BadList, Report
from .rows import aliases, column_of
from .text import ListFile

_CONTROLS = bytes(code for code in (*range(32), 127) if chr(code) not in "\t\n\r")
_CONTROL = re.compile(f"[{re.escape(_CONTROLS.decode())}]")

#: Line, column and character.
_Stray = tuple[int, int, str]


class Delimited:
    """Rows of text, by the names in the header."""

    def __init__(self, source: ListFile, delimiter: str | None = None) -> None:
        """Read the header; *delimiter* is told from it where it is not given."""
        self._source = source
        csv.field_size_limit(MAX_CELL)
        lines = source.lines(1)
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
        strays: deque[_Stray] = deque()
        reader = self._reader(itertools.chain.from_iterable(self._texts(report, strays)))
        next((row for row in reader if row), None)  # the header
        width, second = len(self.columns), aliases(self.columns)
        names = (*self.columns, *(alias for alias, _ in second))
        again = [self.columns.index(column) for _, column in second]
        examiner = _Examiner(self._source, self._delimiter, width, report, strays)
        line = reader.line_num
        while True:
            try:
                for row in reader:
                    begin, line = line + 1, reader.line_num
                    if (len(row) != width or strays or not row[0]) and not examiner.usable(row, begin, line):
                        continue
                    if again:
                        row.extend([row[index] for index in again])
                    yield begin, dict(zip(names, row, strict=True))
            except csv.Error as error:
                begin, line = line + 1, reader.line_num
                if not examiner.goes_on(begin, str(error)):
                    return
            else:
                return

    def place(self, line: int, column: str | None) -> tuple[int, int]:
        """Return line and column of a cell of the row that begins at *line*; of the row where it has none."""
        column = None if column is None else column_of(column, self.columns)
        if column not in self.columns:
            return line, 1
        found = cells(self._source.lines(line), line, self._delimiter).places
        index = self.columns.index(column)
        return found[index] if index < len(found) else (line, 1)

    def _reader(self, lines: Iterator[str]) -> Any:  # noqa: ANN401 - csv has no public name for it
        return csv.reader(lines, delimiter=self._delimiter, strict=True)

    def _texts(self, report: Report, strays: deque[_Stray]) -> Iterator[io.StringIO]:
        for number, text in self._source.blocks(report):
            content = text.encode()
            if len(content.translate(None, _CONTROLS)) != len(content):
                strays.extend(_strays(text, number))
            yield io.StringIO(text, newline="\n")

    def _check_header(self) -> None:
        for number, name in enumerate(self.columns, 1):
            stray = control(name, allow="\r\n")
            if stray == "U+0009":
                raise BadList(f"{self._source.file}: tabs stand between its columns: say `format: tsv`")
            if stray:
                raise BadList(f"{self._source.file}: the name of column {number} holds the control character {stray}")
            if name.startswith('"'):
                raise BadList(f"{self._source.file}: a blank stands before the quote of column {number} in the header")
            if not name:
                raise BadList(f"{self._source.file}: column {number} of the header has no name")
            if name in self.columns[: number - 1]:
                raise BadList(f"{self._source.file}: the header names the column {name!r} twice")
        if not self.columns:
            raise BadList(f"{self._source.file} has no header: its first line must name the columns")


def _strays(text: str, number: int) -> Iterator[_Stray]:
    for line, content in enumerate(io.StringIO(text, newline="\n"), number):
        found = _CONTROL.search(content)
        if found:
            yield line, found.start() + 1, found[0]


def _bad_header(first: str) -> str:
    if "\r" in first.rstrip("\r\n"):
        return "its lines end in CR alone, as on very old systems; save it with LF or CRLF"
    return "the header cannot be read: check its quotes"


class _Examiner:
    """Looks closer at rows that are not as they should be."""

    def __init__(
        self, source: ListFile, delimiter: str, width: int, report: Report, strays: deque[_Stray]
    ) -> None:  # fmt: skip
        self._source = source
        self._delimiter = delimiter
        self._width = width
        self._report = report
        self._strays = strays
        self._looked = 0

    def usable(self, row: list[str], begin: int, end: int) -> bool:
        """Bring *row* to its full width; tell whether it is neither empty nor bad, which is reported."""
        if self._stray(begin, end) or not any(map(str.strip, row)):
            return False
        if len(row) > self._width:
            message = f"the row has {len(row)} cells, the header {self._width}"
            found = self._cells(begin).places
            line, column = found[self._width] if self._width < len(found) else (begin, 1)
            self._report(line, column, "bad_row", message, f"put a cell that holds {self._delimiter!r} in quotes")
        row.extend([""] * (self._width - len(row)))
        return len(row) == self._width

    def goes_on(self, begin: int, error: str) -> bool:
        """Report what keeps a row from being read; tell whether what follows can be read."""
        flaw = self._cells(begin).flaw or (begin, 1, "bad_row", f"the row cannot be read: {error}", "check its quotes")
        self._report(*flaw)
        return flaw[2] != "unclosed_quote"

    def _cells(self, begin: int) -> Cells:
        """Return the cells of a row; of none where so many were looked at that no more places will be shown."""
        self._looked += 1
        return Cells() if self._looked > PER_KIND else cells(self._source.lines(begin), begin, self._delimiter)

    def _stray(self, begin: int, end: int) -> bool:
        found = False
        while self._strays and self._strays[0][0] <= end:
            line, column, char = self._strays.popleft()
            if line >= begin:
                message = f"control character U+{ord(char):04X} is not allowed"
                self._report(line, column, "control_character", message, "remove it")
                found = True
        return found
