"""Watches a run through the job database, without its lock and without a write."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from ..errors import StoreError
from ..files import lock
from ..files.lock import Holder
from ..store import controls
from ..store.controls import Control
from ..store.ledger import Counts, UsageLine
from ..store.records import Batch, Run
from .project import Project, open_reader

#: Seconds over which rates are averaged.
WINDOW = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The progress of a batch at one moment."""

    batch: Batch
    run: Run | None  #: the latest
    holder: Holder | None  #: the process that holds the lock
    lanes: Mapping[str, Counts]
    usage: Sequence[UsageLine]
    controls: Mapping[str, Control]  #: the pauses and limits in force
    rates: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))  #: images per minute, by provider

    @property
    def is_running(self) -> bool:
        """Return whether a run is in progress or about to begin: the holder of the lock may still be planning."""
        if self.holder is None:
            return False
        ended = None if self.run is None else self.run.ended_at
        return ended is None or ended < datetime.fromisoformat(self.holder.since)

    @property
    def counts(self) -> Counts:
        """Return the counts of all providers."""
        names = ("pending", "running", "done", "failed", "unknown", "cancelled", "images")
        return Counts(**{name: sum(getattr(lane, name) for lane in self.lanes.values()) for name in names})

    @property
    def per_minute(self) -> float:
        """Return images per minute."""
        return sum(self.rates.values())


def follow(project: Project, name: str | None) -> Iterator[Snapshot]:
    """Yield a snapshot as often as the caller asks; the last one shows a run that has ended. Raises NotFound."""
    seen: deque[tuple[float, Mapping[str, int]]] = deque()
    with open_reader(project) as reader:
        batch = reader.batch(name)
        while True:
            before, batch = batch, reader.batch(name)
            if batch.id != before.id:  # A run of another batch began.
                seen.clear()
            # The holder is read first: a run that ends in between has recorded its end by then.
            holder = lock.holder(project.db)
            run = next(iter(reader.runs(batch.id)), None)
            lanes = reader.lanes(batch.id)
            rates = _rates(seen, time.monotonic(), {provider: lane.images for provider, lane in lanes.items()})
            active: Mapping[str, Control] = {}
            with suppress(StoreError):
                active = controls.standing(project.db)
            snapshot = Snapshot(
                batch=batch,
                run=run,
                holder=holder,
                lanes=lanes,
                usage=reader.usage(batch.id),
                controls=active,
                rates=rates,
            )
            yield snapshot
            if not snapshot.is_running:
                return


def _rates(seen: deque[tuple[float, Mapping[str, int]]], now: float, images: Mapping[str, int]) -> Mapping[str, float]:
    """Return images per minute by provider over the window of *seen*; nothing at the first look."""
    seen.append((now, images))
    while len(seen) > 2 and now - seen[0][0] > WINDOW:
        seen.popleft()
    began, before = seen[0]
    if now <= began:
        return {}
    return {name: (count - before.get(name, 0)) / (now - began) * 60 for name, count in images.items()}
