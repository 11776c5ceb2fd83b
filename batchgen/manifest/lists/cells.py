"""Where the cells of a csv row begin, and what is wrong with a row.  Decisions: pure.

Rows are parsed by Python's csv module, which knows no columns; this goes through a single row again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

#: Characters; a longer cell is a mistake.
MAX_CELL = 1_000_000

Place = tuple[int, int]
Flaw = tuple[int, int, str, str, str]  #: line, column, code, message, hint

_DOUBLED = 'a cell in quotes writes a quote of its own twice: ""'


@dataclass(slots=True)
class Cells:
    """The cells of one row, as far as they can be told apart."""

    places: list[Place] = field(default_factory=list)  #: line and column, from 1, of each cell or its opening quote
    flaw: Flaw | None = None


def cells(lines: Iterator[str], line: int, delimiter: str) -> Cells:
    """Go through the row that begins with the first of *lines*, which is number *line*."""
    found = Cells()
    text, at = next(lines, ""), 0
    while True:
        begin = (line, at + 1)
        found.places.append(begin)
        if text[at : at + 1] == '"':
            text, line, at, closed = _close(lines, text, line, at + 1)
            if not closed:
                found.flaw = _unclosed(begin, line)
                return found
        else:
            at = _end(text, at, delimiter)
        found.flaw = _flaw(text, line, at, begin, delimiter)
        if found.flaw or text[at : at + 1] != delimiter:
            return found
        at += 1


def _close(lines: Iterator[str], text: str, line: int, at: int) -> tuple[str, int, int, bool]:
    """Return the line in which a quoted cell ends, its number, what follows the quote, and whether there is one."""
    size = 0
    while True:
        end = text.find('"', at)
        if end < 0:
            size += len(text) - at
            following = next(lines, None) if size <= MAX_CELL else None
            if following is None:
                return text, line, len(text), False
            text, line, at = following, line + 1, 0
        elif text[end + 1 : end + 2] == '"':
            size += end + 2 - at
            at = end + 2
        else:
            return text, line, end + 1, True


def _end(text: str, at: int, delimiter: str) -> int:
    end = text.find(delimiter, at)
    return len(text.rstrip("\r\n")) if end < 0 else end


def _flaw(text: str, line: int, at: int, begin: Place, delimiter: str) -> Flaw | None:
    """Return what is wrong with the cell that began at *begin* and ends before *at*."""
    if begin[0] == line and at - begin[1] >= MAX_CELL:
        return (*begin, "too_long", f"the cell is longer than {MAX_CELL // 1_000_000} MB", "is a quote missing?")
    if at < len(text.rstrip("\r\n")) and text[at] != delimiter:
        if begin[0] != line:  # most likely the quote that should have closed it is missing
            return (*begin, "bad_row", f"the quote that opens here ends on line {line}, and text follows it", _DOUBLED)
        return line, at + 1, "bad_row", "text follows a closing quote", _DOUBLED
    stray = text.find("\r", begin[1] - 1, at)
    if begin[0] == line and stray >= 0 and text[begin[1] - 1] != '"':
        return line, stray + 1, "bad_row", "a line end (CR) stands inside of the row", "put the cell in quotes"
    return None


def _unclosed(begin: Place, line: int) -> Flaw:
    if line == begin[0]:
        what = "the quote that opens here is not closed"
    else:
        what = f"the quote that opens here is not closed: the cell runs on to line {line}"
    return (*begin, "unclosed_quote", what, f"close it; {_DOUBLED}")
