"""Dialects of csv and tsv files: delimiter and quoting, as the first lines or the quotes of a file show them. Pure."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

#: Delimiters that a header may show; where several fit, the first counts.
DELIMITERS = (",", ";", "|")
NAMES = {",": "commas", ";": "semicolons", "|": "bars", "\t": "tabs"}

#: Excel's own first line, which names the delimiter.
_SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_FIELD = '(?:"(?:[^"]|"")*"|[^"\t\r\n]*)'
_QUOTED_ROW = re.compile(rf"{_FIELD}(?:\t{_FIELD})*[\r\n]*")
#: Spreadsheets put a cell in quotes where it contains one of these.
_NEEDS_QUOTES = re.compile(r'[\t\r\n,;"]')
#: Characters; quotes of a row that stays open for longer are text.
_MAX_ROW = 1_000_000


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the cells of a file are separated, and whether quotes around them belong to the format."""

    delimiter: str
    quoted: bool = True

    def reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Return the rows of *lines*."""
        if self.quoted:
            return csv.reader(lines, delimiter=self.delimiter, strict=True)
        return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE, strict=True)

    @property
    def cell(self) -> re.Pattern[str]:
        """Return a pattern that matches one cell as it is written."""
        plain = f"[^{re.escape(self.delimiter)}\r\n]*"
        return re.compile(f'"(?:[^"]|"")*"|{plain}' if self.quoted else plain)


def separator_line(line: str) -> str | None:
    """Return the delimiter that a line such as ``sep=;`` names; None for other lines."""
    match = _SEP_LINE.fullmatch(line)
    return match[1] if match else None


def guess_delimiter(header: str, rows: Sequence[str]) -> str:
    """Return the delimiter of a *header*; where it contains several, the one that the first *rows* agree with."""
    plain = _QUOTED.sub("", header)
    candidates = [delimiter for delimiter in DELIMITERS if delimiter in plain]
    if len(candidates) > 1:
        for delimiter in candidates:
            width = plain.count(delimiter) + 1
            if rows and all(len(row) == width for row in _parsed(rows, delimiter)):
                return delimiter
    return candidates[0] if candidates else ","


def other_delimiter(row: str, width: int, delimiter: str) -> str | None:
    """Return the delimiter by which *row*, one cell by *delimiter*, has *width* cells; None if there is none."""
    if width < 2 or delimiter in row:
        return None
    others = (other for other in (*DELIMITERS, "\t") if other in row)
    return next((other for other in others if any(len(cells) == width for cells in _parsed([row], other))), None)


def _parsed(rows: Sequence[str], delimiter: str) -> Iterator[list[str]]:
    try:
        yield from (row for row in csv.reader(rows, delimiter=delimiter) if row)
    except csv.Error:
        return


@dataclass(slots=True)
class TsvQuotes:
    """What the quotes of a tsv file are: text, or, in the export of a spreadsheet, the borders of cells."""

    export: bool = False  #: every quote is a border, and cells are in quotes only where they must be, or all of them
    unclear: bool = False  #: every quote could be a border, but cells are in quotes that need none

    @classmethod
    def of(cls, lines: Iterable[str]) -> TsvQuotes:
        """Look at the whole file; the first quote that cannot be a border ends it."""
        row, needless, bare, quoted = "", False, False, False
        for line in lines:
            if not row and '"' not in line:
                bare = bare or not line.isspace()
                continue
            row += line
            if row.count('"') % 2 and len(row) <= _MAX_ROW:
                continue
            if not _QUOTED_ROW.fullmatch(row):
                return cls()
            quoted = True
            needless = needless or any(not _NEEDS_QUOTES.search(cell[0][1:-1]) for cell in _QUOTED.finditer(row))
            bare = bare or bool(_QUOTED.sub("", row).strip())
            row = ""
        if row or not quoted:
            return cls()
        export = not needless or not bare
        return cls(export=export, unclear=not export)
