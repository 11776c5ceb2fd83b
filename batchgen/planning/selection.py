"""Selections: which jobs a command applies to. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import islice

from ..errors import nearest
from ..mark import PICK, REJECT, STARS

#: Can be selected like a state: jobs that are no longer in the manifest, whatever their state.
ORPHANED = "orphaned"
#: Marks that are selected like pick and reject: neither of them, and any note.
UNMARKED, NOTED = "none", "note"
#: The marks by which pictures are selected; a number is that of stars, or more.
MARKED = (PICK, REJECT, UNMARKED, NOTED, *map(str, range(1, STARS + 1)))
#: Unknown ids that an error names, and ids among which it looks for similar ones.
_NAMED, _SIMILAR = 8, 5_000


@dataclass(frozen=True, slots=True)
class IdList:
    """The ids in a file, each with its line."""

    file: str  #: as typed; ``-`` is stdin
    lines: Mapping[str, int]
    option: str = "--ids-from"  #: that names the file

    def among(self, keys: Iterable[str]) -> IdList:
        """Return the ids that are in *keys* too, in the order of the file."""
        others = frozenset(keys)
        return replace(self, lines={key: line for key, line in self.lines.items() if key in others})


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Filters on jobs: OR within a field, AND between fields; an empty field does not restrict.

    *sample* and then *limit* apply last: *sample* draws at random from what the filters select, and *limit* takes the
    first jobs of that.
    """

    ids: tuple[str, ...] = ()  #: globs on the job's key: * ? [abc] [!abc]
    listed: IdList | None = None  #: the keys in a file, taken literally
    tags: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    states: tuple[str, ...] = ()  #: values of State, or ORPHANED
    causes: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()  #: of a picture, from MARKED
    suspects: tuple[str, ...] = ()  #: kinds of suspects, of the same picture
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
    def judges(self) -> bool:
        """Return whether pictures are selected by what is known of them: their marks, or why they are suspect."""
        return bool(self.marks or self.suspects)

    @property
    def counted(self) -> bool:
        """Return whether a number of the due jobs is selected, by sample or limit."""
        return self.sample is not None or self.limit is not None

    def matches(self, key: str, tags: Sequence[str], provider: str, model: str, kind: str) -> bool:
        """Return whether a job passes every filter that needs only the manifest (not state, cause, sample, limit)."""
        if self.ids and not any(named(key, pattern) for pattern in self.ids):
            return False
        if self.listed is not None and key not in self.listed.lines:
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


def literal_start(pattern: str) -> str:
    """Return the characters with which every key begins that the glob *pattern* matches."""
    return pattern[: next((place for place, char in enumerate(pattern) if char in "*?["), len(pattern))]


def absent_ids(selection: Selection, absent: Sequence[str], keys: Iterable[str]) -> str:
    """Return *absent*, the selected ids that no job has, as text with their lines and the most similar of *keys*."""
    lines = {} if selection.listed is None else selection.listed.lines
    file = None if selection.listed is None else selection.listed.file
    candidates = list(islice(keys, _SIMILAR))
    texts = []
    for key in absent[:_NAMED]:
        place = f"{file}:{lines[key]}" if key in lines else ""
        similar = nearest(key, candidates)
        hint = (
            f"did you mean {similar!r}?" if similar else "a header names this column id" if place[-2:] == ":1" else ""
        )
        notes = ", ".join(filter(None, [place, hint]))
        texts.append(f"{key} ({notes})" if notes else key)
    more = f" and {len(absent) - _NAMED:,} more" if len(absent) > _NAMED else ""
    return ", ".join(texts) + more


def shard_of(key: str, shards: int) -> int:
    """Return which of *shards* shards, counted from 1, a job belongs to."""
    return zlib.crc32(key.encode()) % shards + 1


def sample_key(key: str, seed: int) -> int:
    """Return the pseudo-random number by which jobs are sampled: the lowest numbers are the sample."""
    return zlib.crc32(f"{seed}:{key}".encode())
