"""Backlogs of a run: from which of them each lane takes jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from ..store.records import DueFilter
from .backlog import Backlog
from .lane import Lane


class Backlogs(dict[str, list[Backlog]]):
    """The backlogs by lane: first that of its own provider, then those of the others. Accounts of a provider share."""

    def __init__(self, make: Callable[[DueFilter], Backlog]) -> None:
        super().__init__()
        self.of_provider: dict[str, list[Backlog]] = {}  #: those of the jobs of one provider
        self._make = make

    def assign(self, lane: Lane, providers: Iterable[str], *, chained: bool) -> None:
        """Give *lane* the backlogs that it may take from; *providers* are those of all lanes."""
        own = DueFilter(provider=lane.provider, models=lane.sends, chained=chained)
        homes = dict.fromkeys(providers)
        others = [replace(own, provider=other, by=lane.provider) for other in homes if other != lane.provider]
        existing = {backlog.wanted: backlog for backlogs in self.values() for backlog in backlogs}
        self[lane.name] = [existing.get(wanted) or self._make(wanted) for wanted in (own, *others)]
        self.of_provider = {}
        for backlog in {id(backlog): backlog for of_lane in self.values() for backlog in of_lane}.values():
            self.of_provider.setdefault(backlog.wanted.provider, []).append(backlog)
