"""Which rows of a list become jobs.  Decisions: pure."""

from __future__ import annotations

import heapq
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from itertools import islice
from typing import Any

from ...errors import suggest
from .errors import BadList

Rows = Iterator[tuple[int, dict[str, Any]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pick:
    """Which rows of a list: *where*, of these *skip* and *limit*, of these *sample*."""

    #: Column to globs on its value as text (``fnmatchcase``): OR within a column, AND between columns.
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skip: int = 0
    limit: int | None = None
    sample: int | None = None  #: so many at random, in the order of the file; a larger sample holds the smaller one
    seed: int = 0  #: the same sample for the same seed


def picked(rows: Rows, pick: Pick, file: str, idle: set[tuple[str, str]] | None = None) -> Rows:
    """Yield the rows that *pick* asks for; raise BadList where no row has a column of ``where``.

    *idle* is given the columns and globs of ``where`` that matched no row, once all were looked at.
    """
    if pick.where:
        rows = _matching(rows, pick.where, file, set() if idle is None else idle)
    if pick.skip or pick.limit is not None:
        rows = islice(rows, pick.skip, None if pick.limit is None else pick.skip + pick.limit)
    return rows if pick.sample is None else _sample(rows, pick.sample, pick.seed)


def unknown(column: str, known: Iterable[str], file: str) -> BadList:
    """Return what to raise where ``where`` names a column that is not there."""
    there = list(known)
    hint = suggest(column, there, f"there are: {', '.join(there[:20])}{', ...' if there[20:] else ''}")
    return BadList(f"{file}: where names the column {column!r}, which is not there ({hint})")


def _matching(rows: Rows, where: Mapping[str, tuple[str, ...]], file: str, idle: set[tuple[str, str]]) -> Rows:
    tests = [(column, _matcher(globs)) for column, globs in where.items()]
    waiting = {(column, glob): _matcher((glob,)) for column, globs in where.items() for glob in globs}
    unseen = set(where)
    known: tuple[str, ...] = ()
    for line, values in rows:
        if unseen:
            unseen.difference_update(values)
            known = known or tuple(values)
        if waiting:
            fitting = [pair for pair, fits in waiting.items() if pair[0] in values and fits(as_text(values[pair[0]]))]
            for pair in fitting:
                del waiting[pair]
        if all(column in values and fits(as_text(values[column])) for column, fits in tests):
            yield line, values
    idle.update(waiting)
    for column in where:
        if column in unseen and known:
            raise unknown(column, known, file)


def _matcher(globs: tuple[str, ...]) -> Callable[[str], object]:
    return re.compile("|".join(map(translate, globs))).match


def as_text(value: object) -> str:
    """Return a value as globs see it: text as it is, nothing as empty, all else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _sample(rows: Rows, size: int, seed: int) -> Rows:
    # Each row draws a number and the lowest win: one pass, no more than the sample is held.
    draw = random.Random(str(seed)).random  # noqa: S311 - text, for -1 and 1 are one seed
    held: list[tuple[float, int, int, dict[str, Any]]] = []
    for number, (line, values) in enumerate(rows):
        lot = -draw()
        if len(held) < size:
            heapq.heappush(held, (lot, number, line, values))
        elif lot > held[0][0]:
            heapq.heapreplace(held, (lot, number, line, values))
    held.sort(key=lambda entry: entry[1])
    for _, _, line, values in held:
        yield line, values
