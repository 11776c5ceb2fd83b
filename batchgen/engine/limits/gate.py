"""How fast, and how many at once, one account may be asked.  A doer: the clock.

``windows`` keeps to what is configured, ``adapt`` to what the provider is found to take; the stricter of both holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from anyio import current_time

from ...fault import RateLimitInfo
from .adaptive import Controller
from .windows import DAY, Pace, Window

#: Seconds after which every call that went stands in the job table.
SETTLING = 2.0


@dataclass(kw_only=True, slots=True)
class Gate:
    """What the calls of one account, or of some models of it, pass before they go.

    Between ``wait`` saying 0 and ``sent`` nothing else may happen: no await.
    """

    pace: Pace = field(default_factory=Pace)
    width: int = 1  #: calls in flight at most
    controller: Controller | None = None  #: None: only what is configured counts
    clock: Callable[[], float] = current_time
    in_flight: int = 0
    closed_until: float = field(default=-math.inf)  #: on the loop's clock

    def wait(self, images: int) -> float:
        """Return the seconds until a request that counts as *images* may be sent; 0.0 is now."""
        if self.controller is not None:
            self.pace.steer(self.controller.rate())
        return max(self.pause_left, self.pace.wait(self.clock(), images))

    def sent(self, images: int) -> float:
        """Count a request that goes now; return the moment, which ``answered`` and ``throttled`` want back."""
        now = self.clock()
        self.in_flight += 1
        self.pace.sent(now, images)
        if self.controller is not None:
            self.controller.sent(now, images)
        return now

    def answered(self, sent_at: float, limit: RateLimitInfo | None = None) -> None:
        """Take note of a call that ended in any way but throttling, and of what its answer said of limits."""
        self.in_flight -= 1
        if self.controller is not None:
            self.controller.answered(sent_at, self.clock())
            if limit is not None:
                self.controller.learned(limit, self.clock())

    def throttled(self, sent_at: float, retry_after: float | None, limit: RateLimitInfo | None = None) -> None:
        """Take note of a call that was refused because of a limit; *retry_after* in seconds."""
        self.in_flight -= 1
        if self.controller is not None:
            self.controller.throttled(sent_at, self.clock(), retry_after, limit)

    def pause(self, seconds: float) -> None:
        """Let nothing through for *seconds*; a longer pause in force stays."""
        self.closed_until = max(self.closed_until, self.clock() + seconds)

    def seed(self, sends: Iterable[tuple[float, int]]) -> None:
        """Count what earlier runs sent: how many seconds ago, and what it counted as."""
        now = self.clock()
        self.pace.seed((now - ago, images) for ago, images in sends)

    def recall(self, sends: Iterable[tuple[float, int]], since: float) -> None:
        """Count what the job table knew at *since* that any run had sent: how many seconds before, and as how much."""
        # what went a moment before may not have been in the table yet, and had better count twice than not at all
        self.pace.recall(((since - ago, images) for ago, images in sends), since - SETTLING)

    def configure(self, limits: Sequence[Window], spacing: float, width: int) -> None:
        """Put other limits in force; what was sent and learned so far counts in these as well."""
        self.pace.change(limits, spacing)
        self.width = width
        if self.controller is not None:
            self.controller.configure(ceiling(limits), width)

    @property
    def full(self) -> bool:
        """Return whether as many calls are in flight as may be."""
        return self.in_flight >= self.room

    @property
    def room(self) -> int:
        """Return how many calls may be in flight now."""
        return self.width if self.controller is None else min(self.width, self.controller.width())

    @property
    def paced(self) -> bool:
        """Return whether any rate is configured or was learned."""
        return self.pace.memory > 0 or (self.controller is not None and self.controller.rate() is not None)

    @property
    def quota_wait(self) -> float:
        """Return the seconds until a quota that is used up lets a request go; 0 or less if none is."""
        return self.pace.quota_wait(self.clock())

    @property
    def pause_left(self) -> float:
        """Return the seconds until nothing is in the way but pace; 0 if nothing is."""
        now = self.clock()
        blocked = self.controller.blocked_until(now) if self.controller is not None else None
        return max(0.0, self.closed_until - now, 0.0 if blocked is None else blocked - now)


def windows(
    *,
    requests_per_second: float | None = None,
    requests_per_minute: float | None = None,
    requests_per_day: float | None = None,
    images_per_minute: float | None = None,
    burst: int | None = None,
) -> list[Window]:
    """Return the windows of configured limits; None is no limit of that kind.

    *burst* requests, or images, may go at once after idling; the limits hold all the same.
    """
    at_once = burst or 1
    found = []
    if requests_per_second:
        found.append(Window(1, requests_per_second, burst=at_once))
    if requests_per_minute:
        found.append(Window(60, requests_per_minute, burst=at_once))
    if requests_per_day:
        found.append(Window(DAY, requests_per_day, burst=math.ceil(requests_per_day)))
    if images_per_minute:
        found.append(Window(60, images_per_minute, "images", burst=at_once))
    return found


def ceiling(limits: Iterable[Window]) -> float | None:
    """Return the requests per second that windows allow at most, where each asks for one image; None: no limit.

    A daily quota is none: it may be used up in an hour.
    """
    return min((one.most / one.span for one in limits if one.seconds < DAY), default=None)
