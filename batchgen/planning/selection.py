"""Selections: which jobs a command applies to. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

#: Can be selected like a state: jobs that are no longer in the manifest, whatever their state.
ORPHANED = "orphaned"


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Filters on jobs: OR within a field, AND between fields; an empty field does not restrict.

    *sample* and then *limit* apply last: *sample* draws at random from what the filters select, and *limit* takes the
    first jobs of that.
    """

    ids: tuple[str, ...] = ()  #: globs on the job's key: * ? [abc] [!abc]
    tags: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    states: tuple[str, ...] = ()  #: values of State, or ORPHANED
    causes: tuple[str, ...] = ()
    orphaned: bool = False  #: include jobs that are no longer in the manifest
    shard: tuple[int, int] | None = None  #: (I, N): the I-th of N shards, I from 1; the same shards on every machine
    sample: int | None = None  #: a random sample of this size; the same jobs for the same seed on every machine
    seed: int = 0
    limit: int | None = None  #: only the first jobs

    @property
    def everything(self) -> bool:
        """Return whether nothing is restricted."""
        return self == Selection(orphaned=self.orphaned, seed=self.seed)

    @property
    def counted(self) -> bool:
        """Return whether a number of the due jobs is selected, by sample or limit."""
        return self.sample is not None or self.limit is not None

    def matches(self, key: str, tags: Sequence[str], provider: str, model: str, kind: str) -> bool:
        """Return whether a job passes every filter that needs only the manifest (not state, cause, sample, limit)."""
        if self.ids and not any(named(key, pattern) for pattern in self.ids):
            return False
        if self.tags and not set(self.tags).intersection(tags):
            return False
        filters = ((self.providers, provider), (self.models, model), (self.kinds, kind))
        if any(names and name not in names for names, name in filters):
            return False
        return self.shard is None or shard_of(key, self.shard[1]) == self.shard[0]


def named(key: str, pattern: str) -> int:
    """Return 1 if the glob *pattern* matches a job's key, else 0; SQL calls this function too, so both agree."""
    return fnmatchcase(key, pattern.replace("[^", "[!"))


def is_literal(pattern: str) -> bool:
    """Return whether *pattern* is a plain key and not a glob."""
    return not any(char in pattern for char in "*?[")


def shard_of(key: str, shards: int) -> int:
    """Return which of *shards* shards, counted from 1, a job belongs to."""
    return zlib.crc32(key.encode()) % shards + 1


def sample_key(key: str, seed: int) -> int:
    """Return the pseudo-random number by which jobs are sampled: the lowest numbers are the sample."""
    return zlib.crc32(f"{seed}:{key}".encode())
