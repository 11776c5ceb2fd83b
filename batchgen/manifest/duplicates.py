"""Every id, file name and request of a batch, to find those given twice.  A decision: pure.

A first time through, each is kept as a hash of eight bytes.  Only where two hashes are the same, the jobs are gone
through once more, by a Witness that says which two they were and where.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

from .render import RenderedJob

#: What must not be given twice: an id, a file; or should not: the same request.
KINDS = ("id", "file", "request")


class Roll(Protocol):
    """Takes the names of jobs as they come."""

    def take(self, kind: str, name: str, shown: str, draft: Callable[[], RenderedJob]) -> None:
        """Take one *name*, which users know as *shown*."""


class Blank:
    """Takes no names: the jobs were checked before."""

    def take(self, kind: str, name: str, shown: str, draft: Callable[[], RenderedJob]) -> None:
        """Do nothing."""


class Tally:
    """Notices that names are given twice, in eight bytes a name."""

    def __init__(self) -> None:
        self._hashes = {kind: array("q") for kind in KINDS}

    def take(self, kind: str, name: str, shown: str, draft: Callable[[], RenderedJob]) -> None:
        """Take one name."""
        del shown, draft
        self._hashes[kind].append(hash(name))

    def suspects(self) -> dict[str, frozenset[int]]:
        """Return the hashes that came more than once, by kind."""
        return {kind: found for kind, hashes in self._hashes.items() if (found := _twice(hashes))}


def _twice(hashes: array[int]) -> frozenset[int]:
    return frozenset(one for one, following in pairwise(sorted(hashes)) if one == following)


#: Told of two jobs with one name: the kind, the name of the later as shown, it, and the earlier with its name.
Told = Callable[[str, str, RenderedJob, str, RenderedJob], None]


class Witness:
    """Says which jobs have one name."""

    def __init__(self, suspects: dict[str, frozenset[int]], told: Told) -> None:
        self._suspects = suspects
        self._told = told
        self._first: dict[tuple[str, str], tuple[str, RenderedJob]] = {}
        self._known = False  #: of the job at hand it was told that its id is taken: nothing more needs saying

    def take(self, kind: str, name: str, shown: str, draft: Callable[[], RenderedJob]) -> None:
        """Take one name; where it was taken before, tell."""
        if kind == "id":
            self._known = False
        if self._known or hash(name) not in self._suspects.get(kind, ()):
            return
        before = self._first.get((kind, name))
        if before is None:
            self._first[kind, name] = (shown, draft())
        else:
            self._told(kind, shown, draft(), *before)
            self._known = kind == "id"
