"""How fast one provider may be asked.  A doer: the clock.  ``windows`` decides when the next request may go."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from anyio import current_time, sleep
from anyio.lowlevel import checkpoint

from .windows import DAY, Pace, Window


@dataclass(kw_only=True, slots=True)
class Gate:
    """What one lane passes before each request.  Waits in turn: call ``pass_through`` from one task only."""

    pace: Pace = field(default_factory=Pace)
    clock: Callable[[], float] = current_time
    closed_until: float = field(default=-math.inf)  #: on the loop's clock

    async def pass_through(self, images: int) -> None:
        """Return when a request that counts as *images* may be sent."""
        await checkpoint()
        # a pause may begin, or grow, while the pace is waited for
        while left := max(self.pause_left, self.pace.wait(self.clock(), images)):  # noqa: ASYNC110 - time ends it
            await sleep(left)
        self.pace.sent(self.clock(), images)

    def pause(self, seconds: float) -> None:
        """Let nothing through for *seconds*; a longer pause in force stays."""
        self.closed_until = max(self.closed_until, self.clock() + seconds)

    def seed(self, sends: Iterable[tuple[float, int]]) -> None:
        """Count what earlier runs sent: how many seconds ago, and what it counted as."""
        now = self.clock()
        self.pace.seed((now - ago, images) for ago, images in sends)

    @property
    def paced(self) -> bool:
        """Return whether any rate is configured."""
        return self.pace.memory > 0

    @property
    def pause_left(self) -> float:
        """Return the seconds until the pause in force ends; 0 if there is none."""
        return max(0.0, self.closed_until - self.clock())


def gate(
    *,
    requests_per_second: float | None = None,
    requests_per_minute: float | None = None,
    requests_per_day: float | None = None,
    images_per_minute: float | None = None,
    spacing: float | None = None,
    burst: int | None = None,
) -> Gate:
    """Build the gate for a provider's configured limits; None is no limit of that kind.

    *burst* requests, or images, may go at once after idling; the limits hold all the same.
    """
    at_once = burst or 1
    windows = []
    if requests_per_second:
        windows.append(Window(1, requests_per_second, burst=at_once))
    if requests_per_minute:
        windows.append(Window(60, requests_per_minute, burst=at_once))
    if requests_per_day:
        windows.append(Window(DAY, requests_per_day, burst=math.ceil(requests_per_day)))
    if images_per_minute:
        windows.append(Window(60, images_per_minute, "images", burst=at_once))
    return Gate(pace=Pace(windows, spacing=spacing or 0.0))
