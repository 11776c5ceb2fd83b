"""Wire queue of a gate: requests whose connection is made wait here for the moment at which they may be written.

The gate counts a request when it lets it go; claim, spool slot and connection come after that, and after a stall in
between many would be written at once. Hence the windows are passed again, by the times of the writes themselves. The
gate decides which jobs are claimed, this queue holds the promise.
"""

from __future__ import annotations

from collections.abc import Iterable

from anyio import Event, Lock, move_on_after

from .windows import SlidingWindows, Window

#: Seconds that a request may wait with its connection open, which servers close when nothing comes.
PATIENCE = 5.0
#: The same for a repeat under the key of a call that may have been carried out: without it that stays unknown.
REPEAT_PATIENCE = 120.0


class WireQueue:
    """Windows by the times at which requests were written, and the requests that wait for room in them, in order."""

    def __init__(self, windows: Iterable[Window] = ()) -> None:
        self.windows = SlidingWindows(windows)
        self.waiting = 0
        self.turn = Lock(fast_acquire=True)  #: held by the request that is written next
        self._changed = Event()

    async def pause(self, seconds: float) -> None:
        """Wait for *seconds*, or until ``notify``."""
        with move_on_after(seconds):
            await self._changed.wait()

    def notify(self) -> None:
        """Let the first request look again whether it may be written."""
        if self.waiting:
            self._changed.set()
            self._changed = Event()
