"""Sampling: which due jobs are sent under ``--sample`` and ``--limit``, and up to three examples of them. Pure.

Both read a stream of unknown length and hold no more of it than they return.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nsmallest

from ..manifest.batch import PlannedJob
from .selection import Selection, sample_key

#: Jobs that are collected at least before a sample is cut down to its size.
_SLACK = 5_000


class Sampler:
    """Reduces the due jobs to a sample, and that to a limit."""

    def __init__(self, selection: Selection) -> None:
        self._sample, self._seed, self._left = selection.sample, selection.seed, selection.limit
        self._pool: list[tuple[int, str, int, PlannedJob]] = []
        self._count = 0

    def take(self, jobs: list[PlannedJob]) -> list[PlannedJob]:
        """Return those of *jobs* that are sent; with a sample, none before ``rest``."""
        if self._sample is None:
            return self._first(jobs)
        for number, job in enumerate(jobs, self._count):
            self._pool.append((sample_key(job.key, self._seed), job.key, number, job))
        self._count += len(jobs)
        if len(self._pool) > 2 * self._sample + _SLACK:
            self._pool = nsmallest(self._sample, self._pool)
        return []

    def rest(self) -> list[PlannedJob]:
        """Return the sample in the order of the manifest."""
        sample = sorted(nsmallest(self._sample or 0, self._pool), key=lambda entry: entry[2])
        return self._first([job for _, _, _, job in sample])

    def _first(self, jobs: list[PlannedJob]) -> list[PlannedJob]:
        if self._left is not None:
            jobs = jobs[: self._left]
            self._left -= len(jobs)
        return jobs


class Examples:
    """The first and the last job by priority, and one near the middle."""

    def __init__(self) -> None:
        self._count = 0
        self._first: PlannedJob | None = None
        self._last: PlannedJob | None = None
        #: Jobs whose numbers are powers of two, by number: one of them is always near the middle.
        self._marks: dict[int, PlannedJob] = {}

    def add(self, jobs: Sequence[PlannedJob]) -> None:
        """Consider more jobs."""
        for job in jobs:
            priority = job.recipe.priority
            if self._first is None or priority > self._first.recipe.priority:
                self._first = job
            if self._last is None or priority <= self._last.recipe.priority:
                self._last = job
            if self._count & (self._count - 1) == 0:
                self._marks[self._count] = job
            self._count += 1

    def chosen(self) -> tuple[PlannedJob, ...]:
        """Return up to three jobs."""
        first, last = self._first, self._last
        if first is None or last is None:
            return ()
        numbers = middle_numbers(self._count)
        middle = next((job for n in numbers if (job := self._marks[n]) is not first and job is not last), None)
        return (first, *([middle] if middle else []), *([last] if self._count > 1 else []))


def middle_numbers(count: int) -> list[int]:
    """Return the numbers of jobs that may serve as the example near the middle of *count*, the nearest one first."""
    numbers = [0, *(1 << power for power in range(count.bit_length()))]
    return sorted((number for number in numbers if number < count), key=lambda number: abs(2 * number - count))
