"""How far a run is, what each lane waits for, and what is new of them.  Read off a runner; in words."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ...fault import Cause
from .. import output

if TYPE_CHECKING:
    from ...engine.lane import Lane
    from ...engine.runner import Runner
    from ...store.ledger import Counts

#: Seconds of a pause from which on it is told.
LONG_PAUSE = 20.0


class Progress:
    """The figures of a run: what the job table said at the start, and what the lanes did since."""

    def __init__(self, runner: Runner, start: Mapping[str, Counts]) -> None:
        self.runner = runner
        self._start = start
        self._began = time.monotonic()

    @property
    def total(self) -> int:
        """Return how many jobs the batch has."""
        return sum(counts.total for counts in self._start.values())

    @property
    def done(self) -> int:
        """Return how many of them are done."""
        return sum(counts.done for counts in self._start.values()) + sum(lane.done for lane in self.runner.lanes)

    @property
    def left(self) -> int:
        """Return how many still wait or are under way."""
        began = sum(counts.pending + counts.running for counts in self._start.values())
        return max(0, began - self.ended)

    @property
    def ended(self) -> int:
        """Return how many jobs have ended in this run."""
        return sum(lane.done + lane.failed + lane.unknown for lane in self.runner.lanes)

    @property
    def images(self) -> int:
        """Return the images of this run."""
        return sum(lane.images for lane in self.runner.lanes)

    @property
    def per_minute(self) -> float:
        """Return images per minute so far."""
        return self.images / max(1e-9, time.monotonic() - self._began) * 60

    @property
    def seconds_left(self) -> float | None:
        """Return how long the rest takes at this pace; None where there is none, or no pace yet."""
        return self.left / self.per_minute * 60 if self.left and self.images else None

    @property
    def summary(self) -> str:
        """Return one line: jobs, images, pace, spend, time left."""
        lanes = self.runner.lanes
        failed = sum(lane.failed for lane in lanes)
        parts = [f"{self.done}/{self.total} jobs done"]
        parts += [f"{failed} failed"] if failed else []
        parts += [f"{sum(lane.in_flight for lane in lanes)} in flight", f"{self.per_minute:.0f} images/min"]
        parts.append(f"spent {output.usd(sum(lane.usd for lane in lanes))}")
        if self.seconds_left is not None:
            parts.append(f"about {output.duration(self.seconds_left)} left")
        if self.runner.draining:
            parts.append("stopping: no new calls; those under way are waited for (again to cut them off)")
        return ", ".join(parts)


def waiting(lane: Lane) -> str:
    """Return what a lane waits for, and why; "" where it just works."""
    if lane.closed is not None:
        return f"closed: {output.short(lane.fault.message, 90)}" if lane.fault else f"closed: {lane.closed}"
    if lane.paused:
        return f"you: batchgen unpause {lane.provider}"
    pause = lane.pause_left
    if pause >= 1 and lane.fault is not None:
        why = "throttled" if lane.fault.cause is Cause.THROTTLED else output.short(lane.fault.message, 50)
        return f"{why}, goes on in {output.duration(pause)}"
    if lane.waits == "pace" and (left := lane.wait(1)) >= LONG_PAUSE:
        return f"its limits: next call in {output.duration(left)}"
    return lane.waits


def _waits_long(lane: Lane) -> bool:
    if lane.fault is not None:
        return lane.pause_left >= LONG_PAUSE
    return lane.waits == "pace" and lane.wait(1) >= LONG_PAUSE


class News:
    """What happens to lanes, told once each: closed, in a long pause, taking calls again."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._down: dict[str, bool] = {}  #: lanes that were told of, and whether they are closed
        self._denied: set[tuple[str, str]] = set()  #: lanes and models that were reported

    def lines(self) -> Iterator[str]:
        """Yield what is new."""
        for lane in self._runner.lanes:
            for model, fault in lane.denied.items():
                if (lane.name, model) not in self._denied:
                    self._denied.add((lane.name, model))
                    yield f"{lane.name}: model {model} is denied: {output.short(fault.message, 90)}"
            told, closed = self._down.get(lane.name), lane.closed is not None
            if closed and not told:
                self._down[lane.name] = True
                yield f"{lane.name}: {waiting(lane)}"
            elif not closed and told is None and _waits_long(lane):
                self._down[lane.name] = False
                yield f"{lane.name}: {waiting(lane)}"
            elif not closed and told is not None and lane.fault is None and not _waits_long(lane):
                del self._down[lane.name]
                yield f"{lane.name}: takes calls again"
