"""Gate of one account, or of some of its models: how fast, and how many at once, it may be asked.

aiolimiter spaces the requests evenly, the sliding windows hold the configured limits whatever the pacer does, and the
controller adds what the provider was found to take. The strictest of them decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aiolimiter import AsyncLimiter
from anyio import current_time

from ...fault import RateLimitInfo
from .adaptive import Controller
from .shares import CONCURRENCY, name_of, narrow
from .windows import DAY, MARGIN, SlidingWindows, Window
from .wire_queue import PATIENCE, WireQueue

#: Seconds after which every request that went out is in the job database.
SETTLING = 2.0
#: The learned rate gets a new spacing when it has changed by more than this share.
RATE_CHANGE = 0.01
#: Seconds until a request that is heavier than the share of its runner is looked at again.
SHARE_LOOK = 1.0
#: Share of a step by which a request under a learned rate may go early, so that waking late does not add up.
EARLY = 0.25
#: Seconds' worth of requests that may wait at the wire before the gate lets no more go, and the next look after that.
CROWD_SECONDS, CROWD_LOOK = 0.25, 0.02


class Pacer:
    """Even spacing: *burst* requests or images may go at once after idling, then one every *step* seconds.

    It may let a request through too early but never decides alone: the windows hold the limit.
    """

    def __init__(self, step: float, burst: float = 1, early: float = 0.0) -> None:
        room = burst + early
        self._limiter = AsyncLimiter(room, room * step)
        self._owed = 0

    @classmethod
    def of(cls, window: Window) -> Pacer:
        """Return the pacer of a configured window; waking late may use up half of the margin."""
        return cls(window.step, window.burst, min(window.span * MARGIN / 2 / window.step, 0.5))

    async def wait(self) -> None:
        """Wait for the next turn, and for what the request before it owes."""
        while self._owed:
            await self._limiter.acquire()
            self._owed = max(0, self._owed - 1)  # An interrupted wait leaves the rest to the next one.
        await self._limiter.acquire()

    def sent(self, weight: int) -> None:
        """Charge a request with what it weighs beyond its turn; the next one waits for it."""
        self._owed += max(0, weight - 1)


@dataclass(kw_only=True, slots=True)
class Gate:
    """Limits that the requests of one account, or of some models of it, pass before they go.

    Wait for a turn, then send as soon as ``wait`` returns 0; nothing may be awaited between that and ``sent``. The
    limits hold by the times of ``written``, which is called right before the request is written.
    """

    limits: Sequence[Window] = ()
    width: int = 1  #: requests in flight at most
    granted: Mapping[str, int] | None = None  #: this runner's share of the limits; None: all of them
    heaviest: int = 1  #: what its heaviest request counts as in a limit on images
    controller: Controller | None = None  #: None: only what is configured counts
    clock: Callable[[], float] = current_time
    in_flight: int = 0
    closed_until: float = field(default=-math.inf)  #: on the loop's clock
    windows: SlidingWindows = field(init=False)  #: by the times at which requests were let go
    wire: WireQueue = field(init=False)
    pacers: list[tuple[Window, Pacer]] = field(init=False)
    withheld: bool = field(init=False, default=False)  #: the share is too small for a single request
    _share: tuple[Sequence[Window], int] = field(init=False)  #: limits and width in force
    _learned: tuple[float, Pacer] | None = None  #: the learned rate that is spaced, and its pacer

    def __post_init__(self) -> None:
        self._share = self.limits, self.width
        self.windows = SlidingWindows(self.limits)
        self.wire = WireQueue(self.limits)
        self.pacers = _pacers(self.limits)

    async def wait_turn(self) -> None:
        """Wait until even spacing lets the next request go; a turn that is not used only costs time."""
        for _, pacer in self.pacers:
            await pacer.wait()
        learned = await self._learned_pacer()
        if learned is not None:
            await learned.wait()

    async def _learned_pacer(self) -> Pacer | None:
        rate = self.controller.rate() if self.controller is not None else None
        if rate is None:
            self._learned = None
        elif self._learned is None or abs(rate / self._learned[0] - 1) > RATE_CHANGE:
            first = self._learned is None
            self._learned = rate, Pacer(1 / rate, early=EARLY)
            if not first:
                # A new pacer has seen no request yet: the one before it must not go unnoticed.
                await self._learned[1].wait()
        return self._learned[1] if self._learned else None

    def wait(self, images: int) -> float:
        """Return the seconds until a request that counts as *images* may be sent; 0.0 is now."""
        now = self.clock()
        wait = max(self._pause_left(now), self.windows.wait(now, images), self._crowd_wait(now, images))
        return max(wait, self._share_wait(images))

    def _share_wait(self, images: int) -> float:
        """Return the seconds to wait because the share has no room for such a request; it is asked to grow."""
        if self.granted is None:
            return 0.0
        self.heaviest = max(self.heaviest, images)
        pairs = zip(self.limits, self._share[0], strict=True)
        return SHARE_LOOK if any(part.most < min(part.weigh(images), whole.most) for whole, part in pairs) else 0.0

    def _crowd_wait(self, now: float, images: int) -> float:
        """Return the seconds to wait because requests that were let go before cannot be written yet."""
        at_wire = self.wire.windows.wait(now, images)
        if at_wire >= PATIENCE:
            return at_wire
        # A few may wait: those that are late on their way would otherwise leave places in the windows unused.
        if not self.wire.waiting or self.wire.waiting <= 1 + CROWD_SECONDS * (ceiling(self._share[0]) or math.inf):
            return 0.0
        return max(at_wire, CROWD_LOOK)

    def sent(self, images: int, now: float | None = None) -> float:
        """Count a request that is let go now; return the moment, which ``written`` and ``answered`` want back."""
        now = self.clock() if now is None else now
        self.in_flight += 1
        self.windows.sent(now, images)
        for limit, pacer in self.pacers:
            pacer.sent(limit.weigh(images))
        if self.controller is not None:
            self.controller.sent(now, images)
        return now

    def adopt(self) -> None:
        """Count a request of an earlier run that is still in flight; what limits its rate was counted then."""
        self.in_flight += 1
        if self.controller is not None:
            self.controller.adopt()

    def wire_wait(self, images: int, *, is_repeat: bool = False) -> float:
        """Return the seconds until a request may be written; 0.0 is now. Pauses do not hold up a repeat."""
        if self.withheld:
            return math.inf
        now = self.clock()
        wait = self.wire.windows.wait(now, images)
        if is_repeat:
            return wait
        refused_until = -math.inf if self.controller is None else self.controller.refused_until
        return max(wait, self.closed_until - now, refused_until - now)

    def written(self, now: float, images: int, let_go_at: float | None) -> None:
        """Count a request that is written now; *let_go_at*: when ``sent`` counted it, None: it did not."""
        self.wire.windows.sent(now, images)
        if let_go_at is None:
            self.windows.sent(now, images)
        elif self.controller is not None:
            self.controller.written(let_go_at, now)

    def withdrawn(self, let_go_at: float) -> None:
        """Record that a request that was let go was not sent."""
        self.in_flight -= 1
        if self.controller is not None:
            self.controller.withdrawn(let_go_at)

    def answered(self, sent_at: float, limit: RateLimitInfo | None = None) -> None:
        """Record a request that ended in any way but throttling, and what its answer states of limits."""
        self.in_flight -= 1
        if self.controller is not None:
            self.controller.answered(sent_at, self.clock())
            if limit is not None:
                self.controller.learned(limit, self.clock())

    def throttled(self, sent_at: float, retry_after: float | None, limit: RateLimitInfo | None = None) -> None:
        """Record a request that was refused because of a limit; *retry_after* in seconds."""
        self.in_flight -= 1
        if self.controller is not None:
            self.controller.throttled(sent_at, self.clock(), retry_after, limit)

    def pause(self, seconds: float) -> None:
        """Let nothing through for *seconds*; a longer pause in force stays."""
        self.closed_until = max(self.closed_until, self.clock() + seconds)

    def seed(self, sends: Iterable[tuple[float, int]], late: float = SETTLING) -> None:
        """Count what other runs sent: how many seconds ago, and what it counted as.

        The job database holds when a request was claimed, and it was written up to *late* seconds later.
        """
        now, sends = self.clock(), list(sends)
        self.windows.seed((now - ago, images) for ago, images in sends)
        self.wire.windows.seed((now - max(0.0, ago - late), images) for ago, images in sends)

    def recall(self, sends: Iterable[tuple[float, int]], since: float) -> None:
        """Count what any run had sent by *since* by the job database: how many seconds before, and as what."""
        # A request that went out a moment before may be missing from the table: it is rather counted twice than missed.
        sends = list(sends)
        self.windows.recall(((since - ago, images) for ago, images in sends), since - SETTLING)
        written = ((since - max(0.0, ago - SETTLING), images) for ago, images in sends)
        self.wire.windows.recall(written, since - SETTLING)

    def configure(self, limits: Sequence[Window], width: int) -> None:
        """Put other limits in force; what was sent and learned so far counts in these as well."""
        self.limits, self.width = limits, width
        self._put_in_force()

    def share(self, granted: Mapping[str, int]) -> bool:
        """Put in force what this runner may use of the limits; return whether that has changed."""
        if granted == self.granted:
            return False
        self.granted = granted
        self._put_in_force()
        return True

    def used(self) -> dict[str, int]:
        """Return how much of each limit is used, by its name."""
        now, result = self.clock(), {CONCURRENCY: self.in_flight}
        for limit, let_go, written in zip(
            self.limits, self.windows.used(now), self.wire.windows.used(now), strict=True
        ):
            result[name_of(limit)] = max(let_go, written, result.get(name_of(limit), 0))
        return result

    def _put_in_force(self) -> None:
        share = narrow(self.limits, self.width, self.granted)
        self.withheld = share is None
        # The windows remember what was sent, also while there is no share.
        self._share = limits, width = share or (self.limits, 0)
        self.windows.change(limits)
        self.wire.windows.change(limits)
        self.wire.notify()
        self.pacers = _pacers(limits)
        if self.controller is not None:
            self.controller.configure(ceiling(limits), max(width, 1))

    @property
    def full(self) -> bool:
        """Return whether as many requests are in flight as may be."""
        return self.in_flight >= self.room

    @property
    def room(self) -> int:
        """Return how many requests may be in flight now."""
        width = self._share[1]
        return width if self.controller is None else min(width, self.controller.width())

    @property
    def paced(self) -> bool:
        """Return whether any rate is configured or was learned."""
        return bool(self.limits) or (self.controller is not None and self.controller.rate() is not None)

    @property
    def quota_wait(self) -> float:
        """Return the seconds until a quota that is used up lets a request go; 0 if none is."""
        return self.windows.quota_wait(self.clock())

    @property
    def pause_left(self) -> float:
        """Return the seconds until the pause ends that is in force; 0 if none is."""
        return self._pause_left(self.clock())

    def _pause_left(self, now: float) -> float:
        blocked = self.controller.blocked_until(now) if self.controller is not None else None
        return max(0.0, self.closed_until - now, 0.0 if blocked is None else blocked - now)


def _pacers(limits: Iterable[Window]) -> list[tuple[Window, Pacer]]:
    """Return a pacer for each limit but a daily quota, which may be used up at once."""
    return [(limit, Pacer.of(limit)) for limit in limits if limit.seconds < DAY]


def windows(
    *,
    requests_per_second: float | None = None,
    requests_per_minute: float | None = None,
    requests_per_day: float | None = None,
    images_per_minute: float | None = None,
    burst: int | None = None,
    spacing: float | None = None,
) -> list[Window]:
    """Return the windows of configured limits; None is no limit of that kind.

    *burst* requests, or images, may go at once after idling; the limits hold all the same. *spacing* is the least
    time between two requests, in seconds.
    """
    at_once = burst or 1
    limits = []
    if requests_per_second:
        limits.append(Window(1, requests_per_second, burst=at_once))
    if requests_per_minute:
        limits.append(Window(60, requests_per_minute, burst=at_once))
    if requests_per_day:
        limits.append(Window(DAY, requests_per_day, burst=math.ceil(requests_per_day)))
    if images_per_minute:
        limits.append(Window(60, images_per_minute, "images", burst=at_once))
    if spacing:
        limits.append(Window(spacing, 1))
    return limits


def ceiling(limits: Iterable[Window]) -> float | None:
    """Return the requests per second that windows allow if each asks for one image; None: no limit.

    A daily quota does not count: it may be used up in an hour.
    """
    return min((limit.most / limit.span for limit in limits if limit.seconds < DAY), default=None)
