"""jsonl: a JSON object on each line.  A doer: it reads one file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson

from ..messages import shown
from .errors import Report
from .rows import aliases, column_of
from .text import ListFile

#: As for YAML: what is nested deeper is no row.
MAX_DEPTH = 64

_EXAMPLE = 'each line is an object of its own, such as {"prompt": "A red cube"}'

_BLANKS = " \t\r\n"


class Objects:
    """Rows of values of any kind; each row has columns of its own."""

    columns: tuple[str, ...] | None = None

    def __init__(self, source: ListFile) -> None:
        source.probe()
        self._source = source

    def rows(self, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the number of each line that is not blank, and its object."""
        loads = orjson.loads
        known: tuple[str, ...] = ()
        second: tuple[tuple[str, str], ...] = ()
        for first, block in self._source.blocks(report):
            for line, text in enumerate(block.split("\n"), first):
                try:
                    row = loads(text)
                except orjson.JSONDecodeError as error:
                    if text.strip():
                        report(line, error.pos + 1, "bad_json", f"is not JSON: {error.msg}", _EXAMPLE)
                    continue
                # A flat row of as many colons as keys has no key twice: the usual one, told at once.
                if type(row) is not dict or text.count(":") != len(row) or "[" in text:
                    flaw = _flaw(row, text)
                    if flaw is not None:
                        report(line, *flaw)
                        continue
                columns = (*row,)
                if columns != known:
                    known, second = columns, aliases(columns)
                for alias, column in second:
                    row[alias] = row[column]
                yield line, row

    def place(self, line: int, column: str | None) -> tuple[int, int]:
        """Return line and column of a value in the object on *line*; of the line where it has none."""
        text = next(self._source.lines(line), "")
        try:
            found = {key: value for key, _, value in _members(text)}
        except (ValueError, IndexError, RecursionError):  # no object, or too deep: that was reported
            return line, 1
        return line, found.get(column_of(column or "", tuple(found)), 0) + 1


_Flaw = tuple[int, str, str, str]  #: column, code, message, hint


def _flaw(row: object, text: str) -> _Flaw | None:
    """Return what is wrong with a line that is JSON."""
    if not isinstance(row, dict):
        column = len(text) - len(text.lstrip()) + 1
        return column, "bad_json", f"is {shown(row)}, not an object", _EXAMPLE
    size = _size(row)
    if size is None:
        return 1, "too_deep", f"is nested deeper than {MAX_DEPTH} levels", "remove what is no part of a job"
    # As many keys were read as can have been written: none is given twice.
    written = text.count('":') + text.count(" :") + text.count("\t:") + text.count("\r:")
    return None if written == size else _duplicate(text)


def _size(value: dict[str, Any] | list[Any], depth: int = 1) -> int | None:
    """Return the number of keys in *value* at all depths; None where it is nested too deeply."""
    if depth > MAX_DEPTH:
        return None
    size = len(value) if isinstance(value, dict) else 0
    for inside in value.values() if isinstance(value, dict) else value:
        if isinstance(inside, (dict, list)):
            inner = _size(inside, depth + 1)
            if inner is None:
                return None
            size += inner
    return size


class _Twice(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> None:
    seen = set()
    for key, _ in pairs:
        if key in seen:
            raise _Twice(key)
        seen.add(key)


_decode = json.JSONDecoder(object_pairs_hook=_unique).raw_decode


def _duplicate(text: str) -> _Flaw | None:
    seen = set()
    value = 0
    try:
        for key, at, value in _members(text):  # noqa: B007
            if key in seen:
                return at + 1, "duplicate_key", f"the key {shown(key)} is given twice", "remove one of them"
            seen.add(key)
    except _Twice as twice:
        return value + 1, "duplicate_key", f"the key {shown(str(twice))} is given twice in here", "remove one of them"
    return None


def _members(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the keys of an object with the offsets of the key and of its value."""
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] != "}":
        key, end = _decode(text, at)
        value = _skip(text, _skip(text, end) + 1)
        yield key, at, value
        at = _skip(text, _decode(text, value)[1])
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    while text[at] in _BLANKS:
        at += 1
    return at
