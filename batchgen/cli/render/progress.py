"""The progress of a run, read off its runner: figures, what each lane waits for, and what has changed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ...fault import Cause
from .format import duration, short, usd

if TYPE_CHECKING:
    from ...engine.lane import Lane
    from ...engine.runner import Runner
    from ...store.ledger import Counts

#: Seconds from which on a pause is reported.
LONG_PAUSE = 20.0


class Progress:
    """The figures of a run: those of the job database at the start, and what the lanes have done since."""

    def __init__(self, runner: Runner, start: Mapping[str, Counts]) -> None:
        self.runner = runner
        self._start = start
        self._began = time.monotonic()

    @property
    def total(self) -> int:
        """The jobs of the batch."""
        return sum(counts.total for counts in self._start.values())

    @property
    def done(self) -> int:
        """Those that are done."""
        return sum(counts.done for counts in self._start.values()) + sum(lane.done for lane in self.runner.lanes)

    @property
    def left(self) -> int:
        """Those that are pending or in flight."""
        began = sum(counts.pending + counts.running for counts in self._start.values())
        return max(0, began - self.ended)

    @property
    def ended(self) -> int:
        """Those that have ended in this run."""
        return sum(lane.done + lane.failed + lane.unknown for lane in self.runner.lanes)

    @property
    def images(self) -> int:
        """The images of this run."""
        return sum(lane.images for lane in self.runner.lanes)

    @property
    def per_minute(self) -> float:
        """Images per minute so far."""
        return self.images / max(1e-9, time.monotonic() - self._began) * 60

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at this pace; None if there is no rest, or no pace yet."""
        return self.left / self.per_minute * 60 if self.left and self.images else None

    @property
    def summary(self) -> str:
        """One line: jobs, pace, spending, time left."""
        lanes = self.runner.lanes
        failed = sum(lane.failed for lane in lanes)
        parts = [f"{self.done}/{self.total} jobs done"]
        parts += [f"{failed} failed"] if failed else []
        parts += [f"{sum(lane.in_flight for lane in lanes)} in flight", f"{self.per_minute:.0f} images/min"]
        parts.append(f"spent {usd(sum(lane.usd for lane in lanes))}")
        if self.seconds_left is not None:
            parts.append(f"about {duration(self.seconds_left)} left")
        if self.runner.draining:
            parts.append("stopping: waiting for the requests in flight (stop again to cut them off)")
        return ", ".join(parts)


def waiting(lane: Lane) -> str:
    """Return what a lane waits for, and why; "" if it does not wait."""
    if lane.closed is not None:
        return f"closed: {short(lane.fault.message, 90)}" if lane.fault else f"closed: {lane.closed}"
    if lane.paused:
        return f"you: batchgen unpause {lane.provider}"
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
