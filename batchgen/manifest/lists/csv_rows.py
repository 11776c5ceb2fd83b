"""csv and tsv lists: a header, then one row of cells each."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from typing import Any

from ..filenames import control
from .dialect import NAMES, Dialect, TsvQuotes, guess_delimiter, other_delimiter, separator_line
from .header import clean, column_names
from .rows import BadList, Content, Remark, Report, aliases, column_of, ignore
from .text import ListFile

#: Characters; a longer cell is a mistake, most likely a missing quote.
MAX_CELL = 1_000_000
#: Lines after the header that are read to find out the delimiter.
_SAMPLE = 20

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

    def __init__(
        self, source: ListFile, *, tsv: bool = False, delimiter: str | None = None, quoting: str | None = None
    ) -> None:
        """Read the header; without *delimiter* and *quoting* the file shows what they are."""
        self._source = source
        csv.field_size_limit(MAX_CELL)
        lines = source.lines()
        self.header_line, first = next(((number, line) for number, line in lines if line.strip("\r\n")), (1, ""))
        named = None if tsv else separator_line(first)
        if named is not None:
            self.header_line, first = next(lines, (self.header_line, ""))
        sample = [text for _, text in itertools.islice(lines, _SAMPLE)]
        delimiter = delimiter or named or ("\t" if tsv else guess_delimiter(first, sample))
        quotes = TsvQuotes.of(text for _, text in source.lines()) if tsv and quoting is None else TsvQuotes()
        self._dialect = Dialect(delimiter, quotes.export if tsv and quoting is None else quoting != "none")
        self.columns: tuple[str, ...] = self._header(first)
        self._check_delimiter(sample)
        self.remarks: tuple[Remark, ...] = tuple(_remarks(quotes))
        self.unclear_quotes = quotes.unclear

    @property
    def separation(self) -> str:
        """Return what separates the cells, for messages: ``separated by commas``."""
        delimiter = self._dialect.delimiter
        return f"separated by {NAMES.get(delimiter, repr(delimiter))}"

    def rows(self, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the line where each row begins, and its values; missing cells are empty text."""
        raw: list[str] = []
        reader: Any = self._dialect.reader(self._lines(report, raw))
        next((row for row in reader if row), None)  # the header
        width, pairs = len(self.columns), aliases(self.columns)
        names = (*self.columns, *(alias for alias, _ in pairs))
        copies = [self.columns.index(column) for _, column in pairs]
        before = self.header_line - 1
        while True:
            raw.clear()
            begin = before + reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if self._report_error(str(error), begin, before + reader.line_num, raw, report):
                    return  # where the next row begins cannot be known
                continue
            if len(row) != width or not "".join(row).isprintable() or not row[0]:
                if not any(map(str.strip, row)) or self._is_bad(row, begin, raw, report):
                    continue
                row.extend([""] * (width - len(row)))
            row.extend([row[index] for index in copies])
            yield begin, dict(zip(names, row, strict=True))

    def content(self) -> Content:
        """Return the digest and the size of the file."""
        return self._source.content()

    def place(self, line: int, column: str | None) -> tuple[int, int]:
        """Return line and column of a cell of the row that begins at *line*; of the row if it has no such cell."""
        column = None if column is None else column_of(column, self.columns)
        if column not in self.columns:
            return line, 1
        raw: list[str] = []
        index = self.columns.index(column)
        cells: list[str] = next(self._dialect.reader(self._lines(ignore, raw, line)), [])
        return self._spot(raw, line, index) if len(cells) > index else (line, 1)

    def _lines(self, report: Report, raw: list[str], start: int | None = None) -> Iterator[str]:
        """Yield the lines from the header on, or from *start*; *raw* receives those of the row that is being read."""
        for _, text in self._source.lines(report, self.header_line if start is None else start):
            raw.append(text)
            yield text

    def _spot(self, raw: list[str], line: int, index: int) -> tuple[int, int]:
        """Return line and column of the cell number *index* of the row *raw*, which begins at *line*."""
        text, at = "".join(raw), 0
        for _ in range(index):
            match = self._dialect.cell.match(text, at)
            at = match.end() + 1 if match else at
        return line + text.count("\n", 0, at), at - text.rfind("\n", 0, at)

    def _report_error(self, error: str, begin: int, end: int, raw: list[str], report: Report) -> bool:
        """Report what the csv module cannot read; return whether the rest of the file is lost."""
        start = next(start for start in _ERRORS if error.startswith(start))
        code, message, hint = _ERRORS[start]
        if end > begin:
            message += f"; the row runs on to line {end}"
        fatal = start in (_UNCLOSED, _TOO_LONG)
        line, column = (begin, 1) if start == _TOO_LONG else self._fault(raw, begin, unclosed=start == _UNCLOSED)
        report(line, column, code, message, hint)
        return fatal

    def _fault(self, raw: list[str], line: int, *, unclosed: bool) -> tuple[int, int]:
        """Return line and column where the cells of a row stop making sense: an open quote, or text after one."""
        text, at, cell = "".join(raw), 0, self._dialect.cell
        while match := cell.match(text, at):
            end, opens = match.end(), text[at : at + 1] == '"'
            if unclosed and opens and not (end - at > 1 and match[0].endswith('"')):
                break
            if text[end : end + 1] != self._dialect.delimiter:
                at = at if unclosed else end
                break
            at = end + 1
        return line + text.count("\n", 0, at), at - text.rfind("\n", 0, at)

    def _is_bad(self, row: list[str], begin: int, raw: list[str], report: Report) -> bool:
        """Clean the cells of a row that is not as usual; return whether it has to be left out, which is reported."""
        width = len(self.columns)
        if len(row) > width:
            if any(map(str.strip, row[width:])):
                hint = f"put a cell that contains {self._dialect.delimiter!r} in quotes"
                message = f"the row has {len(row)} cells, the header {width}"
                report(*self._spot(raw, begin, width), "bad_row", message, hint)
                return True
            del row[width:]
        for index, name in enumerate(self.columns[: len(row)]):
            cell = row[index] = clean(row[index])
            char = control(cell, allow="\t\n\r")
            if char:
                message = f"the cell of column {name!r} contains the control character {char}"
                report(*self._spot(raw, begin, index), "control_character", message, "remove it")
                return True
        return not any(map(str.strip, row))

    def _header(self, first: str) -> tuple[str, ...]:
        file = self._source.file
        try:
            cells = next((row for row in self._dialect.reader(self._lines(ignore, [])) if row), [])
        except csv.Error:
            raise BadList(f"{file}: {_bad_header(first)}") from None
        for number, cell in enumerate(cells, 1):
            if self._dialect.quoted and cell.strip().startswith('"'):
                raise BadList(f"{file}: the header has a blank before the quote of column {number}")
        return column_names(cells, file)

    def _check_delimiter(self, sample: list[str]) -> None:
        """Raise BadList where the first row is separated in another way than the header."""
        row = next((text for text in sample if text.strip()), "")
        other = other_delimiter(row, len(self.columns), self._dialect.delimiter)
        if other is not None:
            header = f"the header is {self.separation} ({', '.join(self.columns)})"
            raise BadList(f"{self._source.file}: {header}, but the first row by {NAMES[other]}: use the same in both")


def _remarks(quotes: TsvQuotes) -> Iterator[Remark]:
    if quotes.export:
        message = "looks like the export of a spreadsheet: the quotes around its cells are removed"
        yield "quotes", message, "write quoting: csv to confirm that, or quoting: none to keep them"
    elif quotes.unclear:
        message = "quotes in a tsv file are text: they are part of the values"
        yield "quotes", message, "write quoting: csv to remove those around cells, or quoting: none to confirm"


def _bad_header(first: str) -> str:
    if "\r" in first.rstrip("\r\n"):
        return "its lines end in CR alone, as on very old systems; save it with LF or CRLF"
    return "the header cannot be read: check its quotes"
