"""Orderly shutdown of a run: by signals, time limits and failure limits.

The first signal lets calls in flight end; the second cuts them off and keeps what has arrived. SIGTERM also sets a
deadline, because a service manager kills the process after a while.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from anyio import CancelScope, CapacityLimiter, Event, create_task_group, open_signal_receiver, sleep, to_thread

from ..database_url import Database, DatabaseUrl
from ..engine.attempts import OpenAttempt
from ..engine.lane import Lane
from ..engine.runner import Runner
from ..errors import BatchgenError
from ..files import log
from ..job import Delivery, Exhausted, Settlement, Unknown
from ..store import silent_server
from .clock import elapsed_seconds

#: Seconds between two looks at the clock on the wall.
CLOCK_LOOK = 10.0
#: Seconds between two looks at a request of the program to stop.
REQUEST_LOOK = 0.1
#: Seconds that calls in flight get after SIGTERM; systemd kills after 90.
GRACE = 75.0
#: Seconds that the server of a job database gets for an answer once calls in flight were cut off.
SERVER_PATIENCE = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class StopConditions:
    """Limits at which a run stops early; None is no limit."""

    stop_at: datetime | None = None
    max_time: timedelta | None = None
    max_failures: int | None = None
    max_failures_percent: float | None = None  #: of the jobs that ended, once twenty have

    def time_left(self, now: datetime, elapsed: float) -> tuple[float, str] | None:
        """Return the seconds until a run stops sending, and which limit that is; None if it never does.

        *now* is the clock on the wall, which ``stop_at`` means; *elapsed* are the seconds since the run began.
        """
        ends = []
        if self.stop_at is not None:
            ends.append(((self.stop_at - now).total_seconds(), f"--stop-at {self.stop_at:%H:%M} reached"))
        if self.max_time is not None:
            left = self.max_time.total_seconds() - elapsed
            ends.append((left, f"--max-time {_typed(self.max_time)} reached"))
        return min(ends, default=None)

    @property
    def time_limits(self) -> str:
        """Return the time limits as text; "" if there is none."""
        limits = [] if self.stop_at is None else [f"{self.stop_at:%Y-%m-%d %H:%M}"]
        limits += [] if self.max_time is None else [f"after {_typed(self.max_time)}"]
        return " or ".join(limits) + (", whichever comes first" if len(limits) > 1 else "")

    def too_many(self, failed: int, ended: int) -> str | None:
        """Return which failure limit *failed* of *ended* jobs exceed, as text."""
        if self.max_failures is not None and failed > self.max_failures:
            return f"{failed:,} jobs failed, more than --max-failures {self.max_failures}"
        share = self.max_failures_percent
        if share is not None and ended >= 20 and failed * 100 > share * ended:
            return f"{failed:,} of {ended:,} jobs failed, more than --max-failures {share:g}%"
        return None


def _typed(span: timedelta) -> str:
    """Format a duration as it is typed: 90s, 30m, 6h."""
    seconds = span.total_seconds()
    for unit, size in (("h", 3600), ("m", 60)):
        if not seconds % size:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


class StopRequest:
    """Stops a run from another thread, for programs whose signals are their own."""

    def __init__(self) -> None:
        self.drain = False
        self.cut_off = False

    def set(self) -> None:
        """Let calls in flight end and send nothing new; a second time, cut them off and keep what has arrived."""
        self.drain, self.cut_off = True, self.drain


class Stop:
    """Runs a runner until its end, a signal or a limit; ``signal`` is the one that stopped it, or None.

    With a *request*, that takes the place of signals.
    """

    def __init__(
        self,
        runner: Runner,
        conditions: StopConditions,
        now: Callable[[], datetime],
        request: StopRequest | None = None,
        database: Database | None = None,
    ) -> None:
        self._request = request
        self._database = database
        self._runner = runner
        self._conditions = conditions
        self._now = now
        self._scope = CancelScope()
        self._failed = self._ended = 0
        self._failure: BatchgenError | None = None
        self.signal: int | None = None
        runner.subscribe(self._count)

    @property
    def is_cut_off(self) -> bool:
        """Return whether requests in flight were given up: at a second signal, or because the first one took long."""
        return self._scope.cancel_called

    async def guard(self, display: AbstractAsyncContextManager[None]) -> None:
        """Run the runner inside *display* until its end.

        An error of the display after the run has begun stops the run as safely as any other bug.
        """
        async with create_task_group() as tasks:
            if self._request is None:
                tasks.start_soon(self._watch_signals)
            else:
                tasks.start_soon(self._watch_request, self._request)
            tasks.start_soon(self._watch_time)
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
        except BatchgenError as error:
            # The task group would wrap an error raised here; ``guard`` raises it at the end.
            self._failure = error
        finally:
            ended.set()

    async def _watch_signals(self) -> None:
        async with create_task_group() as tasks:
            with open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as arrivals:
                async for number in arrivals:
                    log.event("signal", logging.WARNING, signal=signal.Signals(number).name)
                    if self.signal is not None:
                        if not self.is_cut_off:
                            tasks.start_soon(self._cut_off)
                        continue
                    # A closed terminal is treated like SIGTERM of a service manager.
                    self.signal = int(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
                    self._runner.drain()
                    if self.signal == signal.SIGTERM:
                        tasks.start_soon(self._cut_off_later)

    async def _watch_request(self, request: StopRequest) -> None:
        while not request.drain:  # noqa: ASYNC110 - set by another thread, and in any state of its program
            await sleep(REQUEST_LOOK)
        log.event("stop_requested", logging.WARNING)
        self._runner.drain("the program stopped it")
        while not request.cut_off:  # noqa: ASYNC110 - see above
            await sleep(REQUEST_LOOK)
        await self._cut_off()

    async def _cut_off_later(self) -> None:
        await sleep(GRACE)
        await self._cut_off()

    async def _cut_off(self) -> None:
        """Cut the calls in flight off, and give a job database up whose server does not answer."""
        self._scope.cancel()
        if not isinstance(self._database, DatabaseUrl):
            return
        from ..store import postgres  # here because runs on SQLite need none of it

        thread = CapacityLimiter(1)  # All others may wait for that server.
        look = partial(postgres.answers, self._database, SERVER_PATIENCE)
        while await to_thread.run_sync(look, abandon_on_cancel=True, limiter=thread):  # noqa: ASYNC110 - by others
            await sleep(SERVER_PATIENCE)
        log.event("server_given_up", logging.WARNING)
        silent_server.give_up(self._database)

    async def _watch_time(self) -> None:
        began = elapsed_seconds()
        while (end := self._conditions.time_left(self._now(), elapsed_seconds() - began)) is not None:
            seconds, limit = end
            if seconds <= 0:
                self._runner.drain(limit)
                return
            # A sleep stands still in suspend and knows no change of the clock.
            await sleep(min(seconds, CLOCK_LOOK))

    def _count(self, lane: Lane, opened: OpenAttempt, settlement: Settlement | None) -> None:
        del lane, opened
        event = settlement and settlement.event
        self._ended += isinstance(event, Delivery | Exhausted | Unknown)
        self._failed += isinstance(event, Exhausted)
        if reason := self._conditions.too_many(self._failed, self._ended):
            self._runner.drain(reason)
