"""Of the jobs that are due, those that are sent, and three of these to show.  Decisions: pure.

Both see a stream of unknown length and keep no more of it than they return.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nsmallest
from operator import itemgetter

from ..manifest.batch import PlannedJob
from .selection import Selection, sample_key

_RECIPE = itemgetter(PlannedJob._fields.index("recipe"))
#: Jobs that are held back at least before a sample is cut down to its size.
_SLACK = 5_000


class Picks:
    """What is left of the jobs due by ``sample``, and of these by ``limit``."""

    def __init__(self, selection: Selection) -> None:
        self._sample, self._seed, self._left = selection.sample, selection.seed, selection.limit
        self._pool: list[tuple[int, str, int, PlannedJob]] = []
        self._count = 0

    def take(self, jobs: list[PlannedJob]) -> list[PlannedJob]:
        """Return those of *jobs* that are sent; where a sample is drawn, ``rest`` tells at the end."""
        if self._sample is None:
            return self._first(jobs)
        for number, job in enumerate(jobs, self._count):
            self._pool.append((sample_key(job.key, self._seed), job.key, number, job))
        self._count += len(jobs)
        if len(self._pool) > 2 * self._sample + _SLACK:
            self._pool = nsmallest(self._sample, self._pool)
        return []

    def rest(self) -> list[PlannedJob]:
        """Return what the sample holds, in the order of the manifest."""
        drawn = sorted(nsmallest(self._sample or 0, self._pool), key=lambda entry: entry[2])
        return self._first([entry[3] for entry in drawn])

    def _first(self, jobs: list[PlannedJob]) -> list[PlannedJob]:
        if self._left is not None:
            jobs = jobs[: self._left]
            self._left -= len(jobs)
        return jobs


class Examples:
    """Of the jobs that come by, the first and the last by priority, and about the middle one."""

    def __init__(self) -> None:
        self._count = 0
        self._first: PlannedJob | None = None
        self._marks: dict[int, PlannedJob] = {}  #: by their number: 0 and the powers of two
        self._last: PlannedJob | None = None

    def add(self, jobs: Sequence[PlannedJob]) -> None:
        """Let *jobs* come by."""
        upto = self._count + len(jobs)
        for number in (0, *(1 << power for power in range(upto.bit_length()))):
            if self._count <= number < upto:
                self._marks[number] = jobs[number - self._count]
        if jobs:
            self._look_for_the_ends(jobs)
        self._count = upto

    def _look_for_the_ends(self, jobs: Sequence[PlannedJob]) -> None:
        priorities = {recipe.priority for recipe in set(map(_RECIPE, jobs))}  # a million jobs share a few recipes
        high, low = max(priorities), min(priorities)
        if self._first is None or high > self._first.recipe.priority:
            self._first = next(job for job in jobs if job.recipe.priority == high)
        if self._last is None or low <= self._last.recipe.priority:
            self._last = next(job for job in reversed(jobs) if job.recipe.priority == low)

    def chosen(self) -> tuple[PlannedJob, ...]:
        """Return up to three jobs."""
        first, last = self._first, self._last
        if first is None or last is None:
            return ()
        inner = [number for number, job in self._marks.items() if job is not first and job is not last]
        middle = [self._marks[min(inner, key=lambda number: abs(2 * number - self._count))]] if inner else []
        return (first, *middle, *([last] if self._count > 1 else []))
