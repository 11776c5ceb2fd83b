"""How fast one provider may be asked.  A doer: the clock."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from aiolimiter import AsyncLimiter
from anyio import current_time, sleep
from anyio.lowlevel import checkpoint

#: Paces run this much slower than allowed, so that what the far side sees, after uneven delays on the way, still
#: keeps to the limit in every window.  1 % of a minute is 0.6 s of unevenness.
MARGIN = 1.01
#: So much of a window, of what the margin gives, may be used to catch up after waking late.  Without it every late
#: wake-up is lost for good: 50 requests a second become 47.
CATCH_UP = 0.003


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """A rate: *amount* requests or images in *seconds*."""

    amount: float
    seconds: float

    def limiter(self) -> AsyncLimiter:
        """Return a limiter that spaces evenly: a bucket of hardly more than one, so that no window sees a burst."""
        interval = MARGIN * self.seconds / self.amount
        room = 1 + min(1.0, CATCH_UP * self.seconds / interval)
        return AsyncLimiter(room, interval * room)


@dataclass(kw_only=True, slots=True)
class Gate:
    """What one lane passes before each request.  Waits in turn: call ``pass_through`` from one task only."""

    requests: tuple[AsyncLimiter, ...] = ()
    images: AsyncLimiter | None = None
    clock: Callable[[], float] = current_time
    closed_until: float = field(default=-math.inf)  #: on the loop's clock

    async def pass_through(self, images: int) -> None:
        """Return when a request that counts as *images* may be sent."""
        await self._opening()
        for limiter in self.requests:
            await limiter.acquire()
        if self.images is not None:
            for _ in range(images):
                await self.images.acquire()
        # a pause may have begun while waiting for the pace
        await self._opening()

    def pause(self, seconds: float) -> None:
        """Let nothing through for *seconds*; a longer pause in force stays."""
        self.closed_until = max(self.closed_until, self.clock() + seconds)

    async def _opening(self) -> None:
        """Wait out the pause in force, and what is added to it meanwhile."""
        await checkpoint()
        while self.pause_left:  # noqa: ASYNC110 - it ends with time, not with an event
            await sleep(self.pause_left)

    @property
    def paced(self) -> bool:
        """Return whether any rate is configured."""
        return bool(self.requests) or self.images is not None

    @property
    def pause_left(self) -> float:
        """Return the seconds until the pause in force ends; 0 if there is none."""
        return max(0.0, self.closed_until - self.clock())


def gate(
    *,
    requests_per_second: float | None = None,
    requests_per_minute: float | None = None,
    images_per_minute: float | None = None,
    spacing: float | None = None,
) -> Gate:
    """Build the gate for a provider's configured limits; None is no limit of that kind."""
    paces = []
    if requests_per_second:
        paces.append(Pace(amount=requests_per_second, seconds=1))
    if requests_per_minute:
        paces.append(Pace(amount=requests_per_minute, seconds=60))
    if spacing:
        paces.append(Pace(amount=1, seconds=spacing))
    images = Pace(amount=images_per_minute, seconds=60).limiter() if images_per_minute else None
    return Gate(requests=tuple(pace.limiter() for pace in paces), images=images)
