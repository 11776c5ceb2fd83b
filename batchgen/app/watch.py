"""Watches a run through the job database, without its lock and without a write."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from types import MappingProxyType

from ..errors import StoreError
from ..files.lock import Holder
from ..store import controls, run_lock
from ..store.controls import Control
from ..store.ledger import Counts, UsageLine
from ..store.reader import Reader
from ..store.records import Batch, Run
from ..store.runners import RunnerRecord
from ..store.usage import of_run
from . import live_state
from .clock import utc_now
from .figures import ProviderFigures, Rates, RunFigures
from .live_state import LiveState
from .project import Project, open_reader
from .runners import runners_of

#: Sums of a run that are figures of a provider.
_COUNTED = ("done", "failed", "unknown", "images", "usd", "credits")


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The progress of a batch at one moment."""

    batch: Batch
    run: Run | None  #: the latest
    holder: Holder | None  #: the process that holds the lock
    lanes: Mapping[str, Counts]
    usage: Sequence[UsageLine]
    controls: Mapping[str, Control]  #: the pauses and limits in force
    runners: Sequence[RunnerRecord] = ()  #: that share the job database
    figures: RunFigures  #: of the run and its batch, as ``run`` itself shows them
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
        return _sum(self.lanes)

    @property
    def per_minute(self) -> float:
        """Return images per minute."""
        return sum(self.rates.values())


def follow(project: Project, name: str | None) -> Iterator[Snapshot]:
    """Yield a snapshot as often as the caller asks; the last one shows a run that has ended. Raises NotFound."""
    rates = Rates()
    with open_reader(project) as reader:
        batch, run = reader.batch(name), None
        while True:
            batch, before = reader.batch(name), run
            # The holder is read first: a run that ends in between has recorded its end by then.
            holder = run_lock.holder(project.db, batch.name)
            runners = runners_of(project, reader, batch.id)
            run = next(iter(reader.runs(batch.id)), None)
            if before is not None and run is not None and run.id != before.id:
                rates.clear()
            active: Mapping[str, Control] = {}
            with suppress(StoreError):
                active = controls.standing(project.db)
            lanes = reader.lanes(batch.id)
            figures = _figures(project, reader, batch, run, lanes=lanes, active=active, rates=rates)
            snapshot = Snapshot(
                batch=batch,
                run=run,
                holder=holder,
                lanes=lanes,
                usage=reader.usage(batch.id),
                controls=active,
                figures=replace(
                    figures, neighbours=[each.text for each in runners if run is None or each.id != run.id]
                ),
                runners=runners,
                rates={each.provider: each.per_minute for each in figures.providers},
            )
            yield snapshot
            if not snapshot.is_running:
                return


def _figures(
    project: Project,
    reader: Reader,
    batch: Batch,
    run: Run | None,
    *,
    lanes: Mapping[str, Counts],
    active: Mapping[str, Control],
    rates: Rates,
) -> RunFigures:
    state = LiveState() if run is None else live_state.read(project, run.id)
    # The run counts what it does; adding that up here would read every attempt of the run each time.
    sums: Mapping[str, Mapping[str, int]] = state.sums
    if run is not None and not sums:
        sums = reader.ask(partial(of_run, batch_id=batch.id, run_id=run.id))
    per_minute = rates.add(time.monotonic(), {name: each.get("images", 0) for name, each in sums.items()})
    names = dict.fromkeys([*(state.widths or lanes), *sums])
    return RunFigures(
        batch=batch.name,
        jobs=state.jobs,
        counts=_sum(lanes),
        providers=[
            ProviderFigures(
                provider=name,
                in_flight=sums.get(name, {}).get("in_flight", 0),
                width=state.widths.get(name),
                per_minute=per_minute.get(name, 0.0),
                waits=state.waits.get(name) or _pause(active.get(name)),
                **{key: sums.get(name, {}).get(key, 0) for key in _COUNTED},
            )
            for name in names
        ],
        seconds=0.0 if run is None else ((run.ended_at or utc_now()) - run.started_at).total_seconds(),
        budgets=state.budgets,
        stopping=state.stopping,
        workers=state.workers,
    )


def _pause(control: Control | None) -> str:
    return "you: it is paused" if control is not None and control.paused_at else ""


def _sum(lanes: Mapping[str, Counts]) -> Counts:
    names = ("pending", "running", "done", "failed", "unknown", "cancelled", "images")
    return Counts(**{name: sum(getattr(lane, name) for lane in lanes.values()) for name in names})
