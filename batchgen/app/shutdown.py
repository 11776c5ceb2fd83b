"""How a run is stopped: by signals, by the clock, by too many failures.

The first signal lets calls in flight end, the second cuts them off but keeps what arrived.  A service manager that
sends SIGTERM kills after a while, so then there is a deadline.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from anyio import CancelScope, Event, create_task_group, open_signal_receiver, sleep

from ..engine.attempts import OpenAttempt
from ..engine.lane import Lane
from ..engine.runner import Runner
from ..errors import BatchgenError
from ..files import log
from ..job import Delivery, Exhausted, Settlement, Unknown

#: Seconds that calls in flight get after SIGTERM; systemd kills after 90.
GRACE = 75.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StopConditions:
    """When a run ends by itself, in an orderly way; None is never."""

    stop_at: datetime | None = None
    max_time: timedelta | None = None
    max_failures: int | None = None
    max_failures_percent: float | None = None  #: of the jobs that ended, once twenty have

    def ends(self, started: datetime) -> tuple[datetime, str] | None:
        """Return when a run that began at *started* has to stop claiming, and which bound says so."""
        found = []
        if self.stop_at is not None:
            found.append((self.stop_at, f"--stop-at {self.stop_at:%H:%M} was reached"))
        if self.max_time is not None:
            found.append((started + self.max_time, f"--max-time {_typed(self.max_time)} was used up"))
        return min(found, default=None)

    @property
    def spoken(self) -> str:
        """Return when a run ends by the clock, in words; "" where it does not."""
        found = [] if self.stop_at is None else [f"{self.stop_at:%Y-%m-%d %H:%M}"]
        found += [] if self.max_time is None else [f"after {_typed(self.max_time)}"]
        return " or ".join(found) + (", whichever is first" if len(found) > 1 else "")

    def too_many(self, failed: int, ended: int) -> str | None:
        """Return which bound *failed* of *ended* jobs overstep, in words."""
        if self.max_failures is not None and failed > self.max_failures:
            return f"{failed} jobs failed, more than --max-failures {self.max_failures}"
        share = self.max_failures_percent
        if share is not None and ended >= 20 and failed * 100 > share * ended:
            return f"{failed} of {ended} jobs failed, more than --max-failures {share:g}%"
        return None


def _typed(span: timedelta) -> str:
    """Return a duration as a person would type it: 90s, 30m, 6h."""
    seconds = span.total_seconds()
    for unit, size in (("h", 3600), ("m", 60)):
        if not seconds % size:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


class Stop:
    """Runs a runner, listens for signals and keeps its bounds; ``signal`` is the one that stopped it, or None."""

    def __init__(self, runner: Runner, bounds: StopConditions, now: Callable[[], datetime]) -> None:
        self._runner = runner
        self._bounds = bounds
        self._now = now
        self._scope = CancelScope()
        self._failed = self._ended = 0
        self._failure: BatchgenError | None = None
        self.signal: int | None = None
        runner.purchases.listeners.append(self._count)

    async def guard(self, display: AbstractAsyncContextManager[None]) -> None:
        """Run the runner inside *display* until its end.

        What goes wrong in the display once the run has begun stops it as safely as any other bug.
        """
        async with create_task_group() as tasks:
            tasks.start_soon(self._listen)
            tasks.start_soon(self._keep_time)
            begun, ended = False, Event()
            try:
                async with display:
                    begun = True
                    tasks.start_soon(self._run, ended)
                    await ended.wait()
            except Exception as error:
                if not begun:
                    raise
                self._runner.halt(error)
                await ended.wait()
                self._failure = self._failure or self._runner.failure
            tasks.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    async def _run(self, ended: Event) -> None:
        try:
            with self._scope:
                await self._runner.run()
        except BatchgenError as error:  # raised when all has ended: here the task group would wrap it
            self._failure = error
        finally:
            ended.set()

    async def _listen(self) -> None:
        async with create_task_group() as tasks:
            with open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as arrivals:
                async for number in arrivals:
                    log.event("signal", logging.WARNING, signal=signal.Signals(number).name)
                    if self.signal is not None:
                        self._scope.cancel()
                        continue
                    # a closed terminal asks for the same as a service manager
                    self.signal = int(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
                    self._runner.drain()
                    if self.signal == signal.SIGTERM:
                        tasks.start_soon(self._cut_off_later)

    async def _cut_off_later(self) -> None:
        await sleep(GRACE)
        self._scope.cancel()

    async def _keep_time(self) -> None:
        ends = self._bounds.ends(self._now())
        if ends is not None:
            await sleep(max(0.0, (ends[0] - self._now()).total_seconds()))
            self._runner.drain(ends[1])

    def _count(self, lane: Lane, opened: OpenAttempt, settlement: Settlement | None) -> None:
        del lane, opened
        event = settlement and settlement.event
        self._ended += isinstance(event, Delivery | Exhausted | Unknown)
        self._failed += isinstance(event, Exhausted)
        if why := self._bounds.too_many(self._failed, self._ended):
            self._runner.drain(why)
