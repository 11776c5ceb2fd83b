"""Filters: which rows of a list become jobs. Pure."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from heapq import nsmallest
from itertools import islice
from typing import Any

from ...errors import suggest
from .rows import BadList

Rows = Iterator[tuple[int, dict[str, Any]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pick:
    """Which rows of a list to take: *where*, then *skip* and *limit*, then *sample*."""

    #: Globs on a column's value as text (``fnmatchcase``): OR within a column, AND between columns.
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skip: int = 0
    limit: int | None = None
    sample: int | None = None  #: a random sample in the order of the file; a larger one includes every smaller one
    seed: int = 0  #: the same sample for the same seed


def picked(rows: Rows, pick: Pick, file: str, idle: set[tuple[str, str]] | None = None) -> Rows:
    """Yield the rows that *pick* selects; raise BadList if no row has a column of ``where``.

    Once all rows were read, *idle* receives the columns and globs of ``where`` that matched no row.
    """
    if pick.where:
        rows = _matching(rows, pick.where, file, set() if idle is None else idle)
    if pick.skip or pick.limit is not None:
        rows = islice(rows, pick.skip, None if pick.limit is None else pick.skip + pick.limit)
    return rows if pick.sample is None else _sample(rows, pick.sample, pick.seed)


def unknown(column: str, columns: Iterable[str], file: str) -> BadList:
    """Return the error for a column in ``where`` that does not exist."""
    names = list(columns)
    hint = suggest(column, names, f"there are: {', '.join(names[:20])}{', ...' if names[20:] else ''}")
    return BadList(f"{file}: where names the column {column!r}, which does not exist ({hint})")


def _matching(rows: Rows, where: Mapping[str, tuple[str, ...]], file: str, idle: set[tuple[str, str]]) -> Rows:
    tests = [(column, _matcher(globs)) for column, globs in where.items()]
    waiting = {(column, glob): _matcher((glob,)) for column, globs in where.items() for glob in globs}
    missing = set(where)
    columns: tuple[str, ...] = ()
    for line, values in rows:
        if missing:
            missing.difference_update(values)
            columns = columns or tuple(values)
        if waiting:
            matches = [pair for pair, fits in waiting.items() if pair[0] in values and fits(as_text(values[pair[0]]))]
            for pair in matches:
                del waiting[pair]
        if all(column in values and fits(as_text(values[column])) for column, fits in tests):
            yield line, values
    idle.update(waiting)
    for column in where:
        if column in missing and columns:
            raise unknown(column, columns, file)


def _matcher(globs: tuple[str, ...]) -> Callable[[str], object]:
    return re.compile("|".join(map(translate, globs))).match


def as_text(value: object) -> str:
    """Return a value as globs see it: text unchanged, null as empty text, anything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _sample(rows: Rows, size: int, seed: int) -> Rows:
    # Each row draws a number and the lowest win; nsmallest holds no more rows than the sample has.
    draw = random.Random(str(seed)).random  # noqa: S311 - text, because -1 and 1 would be one seed
    drawn = nsmallest(size, ((draw(), number, *row) for number, row in enumerate(rows)), key=lambda entry: entry[:2])
    for _, _, line, values in sorted(drawn, key=lambda entry: entry[1]):
        yield line, values
