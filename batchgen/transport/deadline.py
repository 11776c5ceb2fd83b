"""Deadlines that let data win which has arrived already.

A process that was stopped (SIGSTOP, a suspended machine) finds its timers expired and the answer in its sockets when it
continues: then the answer is read first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from anyio import CancelScope

#: A timer that fires this many seconds late shows that the process was stopped.
LATE = 0.25
#: Seconds of silence that end the extension, and its longest duration: for a timer that fired in time, and a late one.
_ON_TIME = (0.05, 0.5)
_STOPPED = (1.0, 30.0)


@contextmanager
def until(ends: float) -> Iterator[Deadline]:
    """Raise TimeoutError if the block has not finished by *ends*, on the loop's clock."""
    with CancelScope() as scope:
        deadline = Deadline(ends, scope.cancel)
        try:
            yield deadline
        finally:
            deadline.stop()
    if scope.cancelled_caught:
        raise TimeoutError("no more came until the deadline")


class Deadline:
    """A running deadline, which can be suspended."""

    def __init__(self, ends: float, expire: Callable[[], object], progress: Callable[[], int] = lambda: 0) -> None:
        """Call *expire* at *ends*; while *progress* grows after that, data is still being read, and it is extended."""
        self.ends = ends
        self._expire, self._progress = expire, progress
        self._last_progress = -1
        self._quiet, self._latest = _ON_TIME[0], 0.0
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_at(ends, self._fire)

    def stop(self) -> None:
        """End it; it does not fire any more."""
        self._timer.cancel()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Move the deadline by as long as the block takes."""
        self._timer.cancel()
        start = self._loop.time()
        try:
            yield
        finally:
            self.ends += self._loop.time() - start
            self._timer = self._loop.call_at(self.ends, self._fire)

    def _fire(self) -> None:
        now, progress = self._loop.time(), self._progress()
        if self._last_progress < 0:
            self._quiet, most = _STOPPED if now - self.ends > LATE else _ON_TIME
            self._latest = now + most
        elif progress == self._last_progress or now >= self._latest:
            self._expire()
            return
        self._last_progress = progress
        self._timer = self._loop.call_later(self._quiet, self._fire)
