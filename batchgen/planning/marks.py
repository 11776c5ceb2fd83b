"""Merging of marks: which entries of a file, or of a page, replace the marks in the job database. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from ..mark import NO_PICTURE, Mark
from .selection import NOTED, UNMARKED


class PicturePlace(NamedTuple):
    """A picture of a job, or with ``NO_PICTURE`` the job itself."""

    key: str
    ordinal: int


class Result(StrEnum):
    """What became of one entry."""

    SET = "set"  #: the picture had no mark, or another one
    CLEARED = "cleared"
    SAME = "same"  #: the database has it already
    OLDER = "older"  #: the database has a later one
    REPLACED = "replaced"  #: the picture that was marked is not the job's current one any more


@dataclass(frozen=True, kw_only=True, slots=True)
class Merge:
    """The marks to write, and what became of all entries."""

    changes: Sequence[Mark] = ()
    results: Mapping[Result, int] = field(default_factory=dict)


class StoredState(NamedTuple):
    """What the job database knows of the marked places."""

    pictures: Mapping[PicturePlace, str]  #: hash of each current picture; "" for a job without a picture
    marks: Mapping[PicturePlace, Mark]  #: marks whose picture was not replaced
    replaced: Mapping[PicturePlace, Mark]  #: the others


def has(mark: Mark, wanted: Sequence[str]) -> bool:
    """Return whether *mark* is one of those that ``--marked`` names; without names, every mark is."""
    return not wanted or any(_has(mark, value) for value in wanted)


def _has(mark: Mark, value: str) -> bool:
    if value == NOTED:
        return mark.note != ""
    if value == UNMARKED:
        return mark.mark is None
    return mark.stars >= int(value) if value.isdigit() else mark.mark == value


def merge(entries: Iterable[Mark], stored: StoredState, *, latest: bool = False) -> Merge:
    """Return what *entries* change: of two marks of the same picture the later one counts.

    *latest*: the entries are decisions of this moment, and count whatever the clocks of earlier ones showed.
    """
    marks, changes, results = dict(stored.marks), dict[PicturePlace, Mark](), Counter[Result]()
    for entry in entries:
        place = PicturePlace(entry.key, entry.ordinal)
        digest = stored.pictures.get(place)
        result = _judge(entry, digest, marks.get(place), stored.replaced.get(place), latest=latest)
        results[result] += 1
        if result in {Result.SET, Result.CLEARED}:
            marks[place] = changes[place] = replace(entry, sha256=digest or "")
    return Merge(changes=tuple(changes.values()), results=results)


def _judge(entry: Mark, digest: str | None, before: Mark | None, former: Mark | None, *, latest: bool) -> Result:
    if digest is None or not _is_of(entry, digest):
        return Result.REPLACED
    if former is not None and not latest and former.sha256 == digest and former.at >= entry.at:
        return Result.REPLACED  # of the picture before, which had the same bytes
    if before is None:
        return Result.SAME if entry.is_empty else Result.SET
    if (before.mark, before.stars, before.note) == (entry.mark, entry.stars, entry.note):
        return Result.SAME
    if before.at >= entry.at and not latest:
        return Result.OLDER
    return Result.CLEARED if entry.is_empty else Result.SET


def _is_of(entry: Mark, digest: str) -> bool:
    """Return whether *entry* is of the picture with the hash *digest*; it may have only the start of it."""
    return digest.startswith(entry.sha256) if entry.ordinal != NO_PICTURE and entry.sha256 else digest == entry.sha256
