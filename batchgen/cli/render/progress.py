"""The progress of a run, read off its runner: figures, what each lane waits for, and what has changed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ...app.figures import ProviderFigures, Rates, RunFigures
from ...app.live_state import LiveState
from ...fault import Cause
from ...store.ledger import Counts
from .format import duration
from .width import short

if TYPE_CHECKING:
    from ...engine.lane import Lane
    from ...engine.runner import Runner

#: Seconds from which on a pause is reported.
LONG_PAUSE = 20.0
#: What is shown while a run ends early.
STOPPING = "waiting for the requests in flight (stop again to cut them off)"
#: Counters of a lane that are figures of its provider.
_SUMS = ("done", "failed", "unknown", "in_flight", "images", "usd", "credits")


class Progress:
    """The figures of a run: those of the job database at the start, and what the lanes have done since."""

    def __init__(self, runner: Runner, start: Mapping[str, Counts]) -> None:
        self.runner = runner
        self._start = start
        self._began = time.monotonic()
        self._rates = Rates()
        self._rates.add(self._began, dict.fromkeys((lane.provider for lane in runner.lanes), 0))
        unfinished = sum(counts.pending + counts.running for counts in start.values())
        #: The jobs that this run is to send.
        self.jobs = unfinished if runner.scope is None else min(runner.scope.size, unfinished)

    def figures(self) -> RunFigures:
        """Return the figures now."""
        now, lanes = time.monotonic(), self.runner.lanes
        names = dict.fromkeys(lane.provider for lane in lanes)
        by_name = {name: [lane for lane in lanes if lane.provider == name] for name in names}
        images = {name: sum(lane.images for lane in each) for name, each in by_name.items()}
        per_minute = self._rates.add(now, images)
        return RunFigures(
            batch=self.runner.attempts.batch,
            jobs=self.jobs,
            counts=self._counts(),
            providers=[_provider(name, each, per_minute.get(name, 0.0)) for name, each in by_name.items()],
            seconds=now - self._began,
            budgets=self.runner.attempts.wallet.budgets,
            stopping=STOPPING if self.runner.draining else "",
            workers=self.runner.workers(),
            neighbours=self.runner.attempts.neighbours,
        )

    def state(self) -> LiveState:
        """Return what ``watch`` cannot read in the job database."""
        figures = self.figures()
        return LiveState(
            jobs=self.jobs,
            budgets=figures.budgets,
            widths={each.provider: each.width for each in figures.providers if each.width is not None},
            waits={each.provider: each.waits for each in figures.providers if each.waits},
            stopping=figures.stopping,
            workers=figures.workers,
            sums={each.provider: {name: getattr(each, name) for name in _SUMS} for each in figures.providers},
        )

    def _counts(self) -> Counts:
        start, lanes = self._start.values(), self.runner.lanes
        done, failed, unknown = (sum(getattr(lane, name) for lane in lanes) for name in ("done", "failed", "unknown"))
        in_flight = sum(lane.in_flight for lane in lanes)
        left = sum(counts.pending + counts.running for counts in start) - done - failed - unknown
        return Counts(
            pending=max(0, left - in_flight),
            running=min(max(0, left), in_flight),
            done=done + sum(counts.done for counts in start),
            failed=failed + sum(counts.failed for counts in start),
            unknown=unknown + sum(counts.unknown for counts in start),
            cancelled=sum(counts.cancelled for counts in start),
            images=sum(lane.images for lane in lanes) + sum(counts.images for counts in start),
        )


def _provider(name: str, lanes: Sequence[Lane], per_minute: float) -> ProviderFigures:
    sums = {key: sum(getattr(lane, key) for lane in lanes) for key in _SUMS}
    waits = {lane.name: waiting(lane) for lane in lanes}
    texts = dict.fromkeys(text for text in waits.values() if text)
    if len(texts) > 1:
        texts = dict.fromkeys(f"{lane.removeprefix(name)[1:] or lane}: {text}" for lane, text in waits.items() if text)
    width = sum({(lane.account, id(lane.account_gate)): lane.width for lane in lanes}.values())
    return ProviderFigures(provider=name, per_minute=per_minute, width=width, waits="; ".join(texts), **sums)


def waiting(lane: Lane) -> str:
    """Return what a lane waits for, and why; "" if it does not wait."""
    if lane.closed is not None:
        return f"closed: {short(lane.fault.message, 90)}" if lane.fault else f"closed: {lane.closed}"
    if lane.paused:
        return "you: it is paused"
    pause = lane.pause_left
    if pause >= 1 and lane.fault is not None:
        why = "throttled" if lane.fault.cause is Cause.THROTTLED else short(lane.fault.message, 50)
        return f"{why}, resumes in {duration(pause)}"
    if lane.waits == "pace" and (left := lane.wait(1)) >= LONG_PAUSE:
        return f"its limits: next request in {duration(left)}"
    return lane.waits


def _waits_long(lane: Lane) -> bool:
    if lane.fault is not None:
        return lane.pause_left >= LONG_PAUSE
    return lane.waits == "pace" and lane.wait(1) >= LONG_PAUSE


class LaneEvents:
    """Changes of lanes, each reported once: closed, in a long pause, open again."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._down: dict[str, bool] = {}  #: lanes that were reported, and whether they are closed
        self._denied: set[tuple[str, str]] = set()  #: lanes and models that were reported

    def lines(self) -> Iterator[str]:
        """Yield a line for each change since the last call."""
        for lane in self._runner.lanes:
            for model, fault in lane.denied.items():
                if (lane.name, model) not in self._denied:
                    self._denied.add((lane.name, model))
                    yield f"{lane.name}: model {model} is denied: {short(fault.message, 90)}"
            reported, closed = self._down.get(lane.name), lane.closed is not None
            if closed and not reported:
                self._down[lane.name] = True
                yield f"{lane.name}: {waiting(lane)}"
            elif not closed and reported is None and _waits_long(lane):
                self._down[lane.name] = False
                yield f"{lane.name}: {waiting(lane)}"
            elif not closed and reported is not None and lane.fault is None and not _waits_long(lane):
                del self._down[lane.name]
                yield f"{lane.name}: resumed"
