"""YAML syntax errors in words that a newcomer can act on. Pure."""

from __future__ import annotations

import re

import yaml

from ..errors import Problem
from .locations import Places, spot

_QUOTES = "put text that contains { } [ ] , # or ': ' in quotes"

#: A part of the parser's message, what is wrong, what to do.
_KNOWN: tuple[tuple[str, str, str], ...] = (
    (
        "mapping values are not allowed",
        "a colon and a space (': ') inside text that is not in quotes, or a line indented too far",
        "put the text in quotes",
    ),
    ("unexpected end of stream", "a quote is opened here and never closed", "close it with the same quote"),
    ("unexpected document indicator", "a quote is opened here and never closed", "close it with the same quote"),
    ("expected ',' or ']'", "a list [ ... ] that starts here is not closed, or a comma is missing in it", _QUOTES),
    ("expected ',' or '}'", "a mapping { ... } that starts here is not closed, or a comma is missing in it", _QUOTES),
    ("expected '-' indicator", "the list above is followed by something at the same depth that is not an item", ""),
    ("expected <block end>", "the indentation does not fit the lines above", ""),
    ("did not find expected key", "the indentation does not fit the lines above, or text needs quotes", ""),
    ("could not find expected ':'", "a key without a colon, or text that needs quotes", "write  key: value"),
    ("expected alphabetic or numeric", "text that starts with * or & needs quotes", "put it in quotes"),
    ("unknown escape character", "an unknown escape in double quotes", "write \\\\ for \\, or use single quotes"),
    ("invalid Unicode character", "an escape in double quotes that is not a character", "remove it"),
    ("found a tab character", "a tab where indentation is expected", "indent with spaces"),
    ("undefined tag handle", "tags (!) are not supported", "put text that starts with ! in quotes"),
)

_OPENED_BEFORE = ("unexpected end of stream", "unexpected document indicator", "expected ',' or")


#: What to do where a quote ends a text too early.
_INSIDE = {
    "'": "write '' for an apostrophe inside the text, or put the text in double quotes",
    '"': 'write \\" for a quote inside the text, or put the text in single quotes',
}


def explain(error: yaml.YAMLError, text: str, places: Places, last: yaml.Event | None = None) -> Problem:
    """Return a parser's error as a Problem at the place to fix; *last* is the event before it."""
    message = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    mark = getattr(error, "problem_mark", None)
    if isinstance(last, yaml.ScalarEvent) and mark is not None and (found := _closed_early(last, mark)) is not None:
        return places.at(*found)
    before = getattr(error, "context_mark", None)
    if before is not None and any(words in message for words in _OPENED_BEFORE):
        mark = before
    place = spot(mark.line, mark.column) if mark is not None else 0
    if "cannot start any token" in message and mark is not None:
        return _bad_start(_line(text, mark.line), place, mark, places)
    for words, meaning, hint in _KNOWN:
        if words in message:
            return places.at(place, "syntax", meaning, hint)
    return places.at(place, "syntax", f"not YAML: {message}")


def _closed_early(quoted: yaml.ScalarEvent, mark: yaml.Mark) -> tuple[int, str, str, str] | None:
    """Return spot, code, message and hint where text follows the closing quote of *quoted*, or None."""
    start, end = quoted.start_mark, quoted.end_mark
    if quoted.style not in _INSIDE or start is None or end is None:
        return None
    if (end.line, end.column) != (mark.line, mark.column):
        return None
    if start.line == end.line:
        return spot(end.line, end.column), "syntax", "text follows a closing quote", _INSIDE[quoted.style]
    message = f"the quote that opens here is closed only in line {end.line + 1}, and text follows it"
    return spot(start.line, start.column), "syntax", message, "close it where the text ends"


def _bad_start(line: str, place: int, mark: yaml.Mark, places: Places) -> Problem:
    char = line[mark.column : mark.column + 1]
    if char == "\t" or re.match(r"\s*\t", line[: mark.column + 1]):
        return places.at(place, "syntax", "a tab where indentation is expected", "indent with spaces")
    return places.at(place, "syntax", f"text cannot start with {char!r} unless it is in quotes", "put it in quotes")


def _line(text: str, number: int) -> str:
    lines = re.split(r"\r\n|[\r\n\x85\u2028\u2029]", text)
    return lines[number] if number < len(lines) else ""
