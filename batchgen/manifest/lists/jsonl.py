"""jsonl lists: one JSON object on each line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from ..messages import shown
from .header import clean, key_name
from .rows import Content, Remark, Report, aliases, column_of
from .text import ListFile

_EXAMPLE = 'each line is one object, such as {"id": "a", "prompt": "A cat"}'
MAX_DEPTH = 64

#: A number from here on may have been an integer in the file; orjson has made a float of it, and digits are lost.
_EXACT_BELOW = 2.0**63
#: Digits; Python converts no longer integers.
_MAX_DIGITS = 4000
_LONG_NUMBER = re.compile(r"[0-9]{19}")


class JsonlList:
    """A jsonl list: rows with values of any type; each row has its own columns."""

    columns: tuple[str, ...] | None = None
    remarks: tuple[Remark, ...] = ()

    def __init__(self, source: ListFile) -> None:
        source.probe()
        self._source = source

    def rows(self, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the number of each line that is not blank, and its object."""
        for line, text in self._source.lines(report):
            try:
                row = orjson.loads(text.rstrip("\n"))
            except orjson.JSONDecodeError as error:
                row = _with_long_numbers(text)
                if row is None:
                    if text.strip():
                        report(line, error.pos + 1, "bad_json", f"is not JSON: {error.msg}", _EXAMPLE)
                    continue
            # An object with as many colons as keys is flat and has no duplicate key; most rows are of this kind.
            flat = type(row) is dict and text.count(":") == len(row) and "[" not in text
            if not flat and (problem := _problem(row, text)) is not None:
                report(line, *problem)
                continue
            if _may_be_inexact(row.values()) if flat else _LONG_NUMBER.search(text):
                row = _with_long_numbers(text) or row
            if not text.isascii() or "\\u" in text:
                row = _cleaned(row)
            for alias, column in aliases(tuple(row)):
                row[alias] = row[column]
            yield line, row

    def content(self) -> Content:
        """Return the digest and the size of the file."""
        return self._source.content()

    def place(self, line: int, column: str | None) -> tuple[int, int]:
        """Return line and column of a value in the object on *line*; of the line if the key is not found."""
        _, text = next(self._source.lines(start=line), (line, ""))
        try:
            keys = {key_name(key): key for key in json.loads(text)}
        except (ValueError, TypeError, RecursionError):  # reported when the row was read
            return line, 1
        key = keys.get(column_of(column or "", tuple(keys)), column)
        match = re.search(rf"{re.escape(json.dumps(key, ensure_ascii=False))}\s*:\s*", text)
        return line, match.end() + 1 if match else 1


def _may_be_inexact(values: Iterable[object]) -> bool:
    # A loop, because it runs for every row and is faster than a generator.
    for value in values:  # noqa: SIM110
        if type(value) is float and not -_EXACT_BELOW < value < _EXACT_BELOW:
            return True
    return False


def _with_long_numbers(text: str) -> Any:  # noqa: ANN401 - what JSON can hold
    """Return the value of a line with every integer as it is written; None where the line is not JSON."""
    try:
        return json.loads(text, parse_int=_integer, parse_float=_float, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_DIGITS else digits


def _float(digits: str) -> float | str:
    number = float(digits)
    return digits if number in {float("inf"), float("-inf")} else number


def _refuse(name: str) -> Any:  # noqa: ANN401 - never returns
    raise ValueError(name)


def _cleaned(row: dict[str, Any]) -> dict[str, Any]:
    """Return *row* with clean keys and values, unless two keys would become one."""
    names = {key_name(key): clean(value) if isinstance(value, str) else value for key, value in row.items()}
    return names if len(names) == len(row) else row


class _DuplicateKey(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _DuplicateKey(next(key for key in keys if keys.count(key) > 1))
    return mapping


def _problem(row: object, text: str) -> tuple[int, str, str, str] | None:
    """Return column, code, message and hint if a line of valid JSON is not a row."""
    if not isinstance(row, dict):
        return 1, "bad_json", f"is {shown(row)}, not an object", _EXAMPLE
    if _is_deep(row):
        return 1, "too_deep", f"is nested deeper than {MAX_DEPTH} levels", "remove what does not belong to a job"
    try:
        json.loads(text, object_pairs_hook=_unique, parse_int=_integer)
    except _DuplicateKey as error:
        column = text.rfind(json.dumps(str(error), ensure_ascii=False)) + 1
        message = f"the key {shown(str(error))} is given twice in one object"
        return max(column, 1), "duplicate_key", message, "remove one of them"
    return None


def _is_deep(value: object, depth: int = 1) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return depth > MAX_DEPTH or any(_is_deep(item, depth + 1) for item in inner)
