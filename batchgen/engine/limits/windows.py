"""Limits as sliding windows: when may the next request go?  A decision with a memory: pure, no clock."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

#: Paces run so much below the limit: requests are uneven on their way, and providers count in windows of their own.
#: 1 % of a minute is 0.6 s of unevenness.
MARGIN = 0.01
HOUR, DAY = 3600.0, 86_400.0

Unit = Literal["requests", "images"]


@dataclass(frozen=True, slots=True)
class Window:
    """At most *limit* requests or images in any *seconds*; after idling, *burst* of them may go at once.

    A limit that is not whole is the same rate over a longer window: 2.5 a second is 3 in 1.2 s, 0.5 a second is
    1 in 2 s.  A daily quota is to be used as fast as the other limits allow: its burst is its limit.
    Raises ValueError for a number that is not positive.
    """

    seconds: float
    limit: float
    unit: Unit = "requests"
    burst: int = 1

    def __post_init__(self) -> None:
        if not (0 < self.seconds < math.inf and 0 < self.limit < math.inf and self.burst >= 1):
            raise ValueError(f"{self} is not a limit: seconds, limit and burst must be above 0")

    @property
    def most(self) -> int:
        """Return the whole number that ``span`` may see."""
        return math.ceil(self.limit)

    @property
    def span(self) -> float:
        """Return the seconds in which ``most`` are allowed: *seconds*, where the limit is a whole number."""
        return self.seconds * self.most / self.limit

    def weigh(self, images: int) -> int:
        """Return what a request of so many images counts here."""
        return images if self.unit == "images" else 1


class Used(NamedTuple):
    """How much of a window is used."""

    window: Window
    amount: int


class Pace:
    """What one lane keeps to: several windows at once, and a least time between two requests.

    Times are seconds on one clock, of any origin, and never run backwards.
    """

    def __init__(self, windows: Iterable[Window] = (), spacing: float = 0.0, margin: float = MARGIN) -> None:
        self._margin = margin
        self._meters = [_Meter(window, margin) for window in _all(windows, spacing)]
        self._steered: float | None = None
        self._turn = _Turn()

    def wait(self, now: float, images: int = 1) -> float:
        """Return the seconds until a request of so many images may go; 0.0 is now."""
        opens = max((meter.opens(now, images) for meter in self._meters), default=-math.inf)
        if self._steered:
            # a quarter of a turn early, so that waking late does not add up
            opens = max(opens, self._turn.due(1 / self._steered, 0.25))
        return opens - now if opens > now else 0.0

    def quota_wait(self, now: float) -> float:
        """Return the seconds until the quotas over an hour or more let a request go; 0.0 where none is used up."""
        quotas = (meter for meter in self._meters if meter.window.seconds >= HOUR)
        return max((meter.opens(now, 1) - now for meter in quotas), default=0.0)

    def sent(self, now: float, images: int = 1) -> None:
        """Count a request of so many images that goes now."""
        for meter in self._meters:
            meter.add(now, images)
        self._turn.take(now, 1 / self._steered if self._steered else 0.0, 1, 1)

    def seed(self, sends: Iterable[tuple[float, int]]) -> None:
        """Count what earlier runs or other processes sent: (time, images), in any order, none later than now.

        Those of the last ``memory`` seconds are enough.
        """
        earlier = list(sends)
        self._meters = [meter.rebuilt(meter.window, [*meter.log, *earlier]) for meter in self._meters]

    def recall(self, sends: Iterable[tuple[float, int]], since: float) -> None:
        """Count *sends*, and of what is remembered only that which went after *since*."""
        longest = max(self._meters, key=lambda meter: meter.kept, default=None)
        both = [*sends, *(one for one in (longest.log if longest else ()) if one[0] > since)]
        self._meters = [meter.rebuilt(meter.window, both) for meter in self._meters]

    def change(self, windows: Iterable[Window], spacing: float = 0.0) -> None:
        """Put other windows in force; what the windows before them remember counts in these as well."""
        before = {(meter.window.seconds, meter.window.unit): meter for meter in self._meters}
        longest = max(self._meters, key=lambda meter: meter.kept, default=None)
        self._meters = []
        for window in _all(windows, spacing):
            known = before.get((window.seconds, window.unit), longest)
            self._meters.append(known.rebuilt(window, known.log) if known else _Meter(window, self._margin))

    def steer(self, rate: float | None) -> None:
        """Keep to *rate* requests a second as well, evenly; None ends it.  This is where adaptive control comes in."""
        self._steered = rate

    def rate(self, unit: Unit = "requests") -> float | None:
        """Return how many a second the tightest window of this unit allows; None where there is none."""
        return min((1 / meter.step for meter in self._meters if meter.window.unit == unit), default=None)

    def used(self, now: float) -> tuple[Used, ...]:
        """Return how much of each window is used."""
        for meter in self._meters:
            meter.forget(now)
        return tuple(Used(meter.window, meter.total) for meter in self._meters)

    @property
    def memory(self) -> float:
        """Return the seconds after which a request counts no more."""
        return max((meter.kept for meter in self._meters), default=0.0)


def _all(windows: Iterable[Window], spacing: float) -> list[Window]:
    return [*windows, *([Window(spacing, 1)] if spacing > 0 else ())]


class _Turn:
    """Even spacing: a level that each request raises by its weight and that falls by 1 in each step."""

    __slots__ = ("_at", "_level")

    def __init__(self) -> None:
        self._level = 0.0
        self._at = -math.inf

    def due(self, step: float, room: float) -> float:
        """Return when the level is down to *room*."""
        return self._at + max(0.0, self._level - room) * step

    def take(self, now: float, step: float, weight: int, burst: int) -> None:
        """Raise the level.  What went beyond *burst*, under another limit or by force, is no debt for ever."""
        left = self._level - (now - self._at) / step if step else 0.0
        self._level = min(max(0.0, left), burst) + weight
        self._at = now


class _Meter:
    """One window: what it has seen, as (time, images), oldest first."""

    __slots__ = ("_most", "_slack", "_turn", "kept", "log", "margin", "step", "total", "window")

    def __init__(self, window: Window, margin: float, most: int = 0) -> None:
        self.window = window
        self.margin = margin
        self.step = window.span * (1 + margin) / window.most
        #: Half of the margin is for catching up after waking late; the other half is never used.
        self.kept = window.span * (1 + margin / 2)
        self._slack = min(window.span * margin / 2 / self.step, 0.5)
        self._most = max(window.most, most)
        self._turn = _Turn()
        self.log: deque[tuple[float, int]] = deque()
        self.total = 0

    def opens(self, now: float, images: int) -> float:
        """Return the earliest time for a request of so many images, as things stand."""
        self.forget(now)
        weight = self.window.weigh(images)
        room = max(self.window.burst - weight, 0) + self._slack
        return max(self._turn.due(self.step, room), self._room_for(weight))

    def add(self, now: float, images: int) -> None:
        """Count a request."""
        self.forget(now)
        weight = self.window.weigh(images)
        self._turn.take(now, self.step, weight, self.window.burst)
        if weight:
            self.log.append((now, images))
            self.total += weight
        # what is older than a whole window's worth decides nothing any more
        while self.total - self._first >= self._most:
            self._drop()

    def forget(self, now: float) -> None:
        """Drop what no window that ends now can see."""
        while self.log and self.log[0][0] + self.kept <= now:
            self._drop()

    def rebuilt(self, window: Window, sends: Iterable[tuple[float, int]]) -> _Meter:
        """Return a meter of *window* that has seen *sends*; what a wider limit needed stays remembered."""
        meter = _Meter(window, self.margin, self._most)
        for at, images in sorted(sends):
            meter.add(at, images)
        return meter

    def _room_for(self, weight: int) -> float:
        """Return when enough has left the window; a request heavier than the limit waits until it is empty."""
        excess = self.total + min(weight, self.window.most) - self.window.most
        if excess > 0:
            for at, images in self.log:
                excess -= self.window.weigh(images)
                if excess <= 0:
                    return at + self.kept
        return -math.inf

    @property
    def _first(self) -> int:
        return self.window.weigh(self.log[0][1]) if self.log else 0

    def _drop(self) -> None:
        self.total -= self._first
        self.log.popleft()
