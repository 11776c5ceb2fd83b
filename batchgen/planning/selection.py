"""Which jobs a command is about.  A value, and decisions: pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

#: Selected as a state is: the jobs that stand in the manifest no more, whatever became of them.
ORPHANED = "orphaned"


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which jobs: OR within a field, AND between fields; an empty field does not restrict.

    *sample* and *limit* come last, in this order: of what the rest selects, *sample* at random, of these the
    first *limit*.
    """

    ids: tuple[str, ...] = ()  #: globs on the job's key: * ? [abc] [!abc]
    tags: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    states: tuple[str, ...] = ()  #: of State, or ORPHANED
    causes: tuple[str, ...] = ()
    orphaned: bool = False  #: also those that stand in the manifest no more
    shard: tuple[int, int] | None = None  #: the I-th of N parts, I from 1: the same parts on every machine
    sample: int | None = None  #: so many at random: the same ones for the same seed, on every machine
    seed: int = 0
    limit: int | None = None  #: the first so many

    @property
    def everything(self) -> bool:
        """Return whether nothing is restricted."""
        return self == Selection(orphaned=self.orphaned, seed=self.seed)

    @property
    def counted(self) -> bool:
        """Return whether a number of jobs is selected, of those that are due."""
        return self.sample is not None or self.limit is not None

    def matches(self, key: str, tags: Sequence[str], provider: str, model: str, kind: str) -> bool:
        """Tell whether a job fulfils what a manifest alone can tell (not state, cause, sample and limit)."""
        if self.ids and not any(named(key, pattern) for pattern in self.ids):
            return False
        if self.tags and not set(self.tags).intersection(tags):
            return False
        wanted = ((self.providers, provider), (self.models, model), (self.kinds, kind))
        if any(names and name not in names for names, name in wanted):
            return False
        return self.shard is None or part(key, self.shard[1]) == self.shard[0]


def named(key: str, pattern: str) -> int:
    """Return 1 where a job's key matches a glob, else 0; SQL asks this as well, so that both always agree."""
    return fnmatchcase(key, pattern.replace("[^", "[!"))


def is_literal(pattern: str) -> bool:
    """Tell whether *pattern* is a job's key and no glob."""
    return not any(char in pattern for char in "*?[")


def part(key: str, parts: int) -> int:
    """Return which of *parts* parts, counted from 1, a job belongs to."""
    return zlib.crc32(key.encode()) % parts + 1


def lot(key: str, seed: int) -> int:
    """Return what a job drew: the lowest numbers are a sample."""
    return zlib.crc32(f"{seed}:{key}".encode())


def sampled(keys: Iterable[str], size: int, seed: int) -> frozenset[str]:
    """Return *size* of *keys* (all, where there are fewer): the same ones for the same seed."""
    import heapq

    return frozenset(heapq.nsmallest(size, keys, key=lambda key: (lot(key, seed), key)))
