"""jsonl lists: one JSON object a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from ..messages import shown
from .rows import Report, aliases, column_of
from .text import ListFile

#: As for YAML: anything nested more deeply is not a row.
MAX_DEPTH = 64

_EXAMPLE = 'each line is an object of its own, such as {"prompt": "A red cube"}'


class JsonlList:
    """A jsonl list: rows of values of any type; each row has its own columns."""

    columns: tuple[str, ...] | None = None

    def __init__(self, source: ListFile) -> None:
        source.probe()
        self._source = source

    def rows(self, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the number of each line that is not blank, and its object."""
        for line, text in self._source.lines(report):
            try:
                row = orjson.loads(text.rstrip("\n"))
            except orjson.JSONDecodeError as error:
                if text.strip():
                    report(line, error.pos + 1, "bad_json", f"is not JSON: {error.msg}", _EXAMPLE)
                continue
            problem = _problem(row, text)
            if problem is not None:
                report(line, 1, *problem)
                continue
            for alias, column in aliases(tuple(row)):
                row[alias] = row[column]
            yield line, row

    def place(self, line: int, column: str | None) -> tuple[int, int]:
        """Return line and column of a value in the object on *line*; of the line if the key is not found."""
        _, text = next(self._source.lines(start=line), (line, ""))
        try:
            keys = tuple(json.loads(text))
        except (ValueError, TypeError, RecursionError):  # reported when the row was read
            return line, 1
        key = column_of(column or "", keys)
        match = re.search(rf"{re.escape(json.dumps(key, ensure_ascii=False))}\s*:\s*", text)
        return line, match.end() + 1 if match else 1


class _DuplicateKey(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _DuplicateKey(next(key for key in keys if keys.count(key) > 1))
    return mapping


def _problem(row: object, text: str) -> tuple[str, str, str] | None:
    """Return code, message and hint if a line of valid JSON is not a row."""
    if not isinstance(row, dict):
        return "bad_json", f"is {shown(row)}, not an object", _EXAMPLE
    # An object with as many colons as keys is flat and has no duplicate key; most rows are of this kind.
    if text.count(":") == len(row) and "[" not in text:
        return None
    if _is_deep(row):
        return "too_deep", f"is nested deeper than {MAX_DEPTH} levels", "remove what does not belong to a job"
    try:
        json.loads(text, object_pairs_hook=_unique)
    except _DuplicateKey as error:
        return "duplicate_key", f"the key {shown(str(error))} is given twice in one object", "remove one of them"
    return None


def _is_deep(value: object, depth: int = 1) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return depth > MAX_DEPTH or any(_is_deep(item, depth + 1) for item in inner)
