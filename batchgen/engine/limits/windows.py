"""Sliding windows: the promise that no window ever sees more requests or images than its limit.

The windows are exact and are seeded from the job database, so the promise holds across restarts; even spacing in
between is the gate's part. No clock: times are seconds of any origin that never run backwards.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

#: Requests are spaced so much wider than the limit asks for: they are uneven on their way, and providers count in
#: windows of their own. 1 % of a minute is 0.6 s of unevenness.
MARGIN = 0.01
HOUR, DAY = 3600.0, 86_400.0

Unit = Literal["requests", "images"]


@dataclass(frozen=True, slots=True)
class Window:
    """At most *limit* requests or images in any *seconds*; after idling, *burst* of them may go at once.

    A limit that is not a whole number is the same rate over a longer window: 2.5 a second is 3 in 1.2 s, 0.5 a second
    is 1 in 2 s. A daily quota may be used as fast as the other limits allow: its burst is its limit.
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
    def step(self) -> float:
        """Return the seconds between two requests, or images, that are spaced evenly."""
        return self.span * (1 + MARGIN) / self.most

    @property
    def most(self) -> int:
        """Return the whole number that ``span`` may see."""
        return math.ceil(self.limit)

    @property
    def span(self) -> float:
        """Return the seconds in which ``most`` are allowed: *seconds*, where the limit is a whole number."""
        return self.seconds * self.most / self.limit

    def weigh(self, images: int) -> int:
        """Return what a request of so many images counts as."""
        return images if self.unit == "images" else 1


class SlidingWindows:
    """All windows that the requests of one gate have to fit into."""

    def __init__(self, windows: Iterable[Window] = ()) -> None:
        self._windows = [_SlidingWindow(window) for window in windows]

    def wait(self, now: float, images: int = 1) -> float:
        """Return the seconds until a request of so many images fits into every window; 0.0 is now."""
        return self._wait(self._windows, now, images)

    def quota_wait(self, now: float) -> float:
        """Return the seconds until the quotas over an hour or more let a request go; 0.0 where none is used up."""
        return self._wait([each for each in self._windows if each.window.seconds >= HOUR], now, 1)

    @staticmethod
    def _wait(windows: Iterable[_SlidingWindow], now: float, images: int) -> float:
        opens = max((each.opens(now, images) for each in windows), default=now)
        return max(0.0, opens - now)

    def sent(self, now: float, images: int = 1) -> None:
        """Count a request of so many images that goes now."""
        for each in self._windows:
            each.add(now, images)

    def seed(self, sends: Iterable[tuple[float, int]]) -> None:
        """Count what earlier runs or other processes sent: (time, images), in any order, none later than now.

        Those of the last ``memory`` seconds are enough.
        """
        earlier = list(sends)
        self._windows = [each.rebuilt(each.window, [*each.log, *earlier]) for each in self._windows]

    def recall(self, sends: Iterable[tuple[float, int]], since: float) -> None:
        """Replace what is remembered up to *since* by *sends*; later requests stay counted."""
        sends = [*sends, *(send for send in self._longest_log() if send[0] > since)]
        self._windows = [each.rebuilt(each.window, sends) for each in self._windows]

    def change(self, windows: Iterable[Window]) -> None:
        """Put other windows in force; what the windows before them remember counts in these as well."""
        before = {(each.window.seconds, each.window.unit): each for each in self._windows}
        longest = self._longest
        self._windows = []
        for window in windows:
            source = before.get((window.seconds, window.unit), longest)
            self._windows.append(source.rebuilt(window, source.log) if source else _SlidingWindow(window))

    def used(self, now: float) -> list[int]:
        """Return how much of each window is used."""
        for each in self._windows:
            each.forget(now)
        return [each.total for each in self._windows]

    @property
    def memory(self) -> float:
        """Return the seconds after which a request no longer counts."""
        return max((each.kept for each in self._windows), default=0.0)

    @property
    def _longest(self) -> _SlidingWindow | None:
        return max(self._windows, key=lambda each: each.kept, default=None)

    def _longest_log(self) -> Iterable[tuple[float, int]]:
        return self._longest.log if self._longest else ()


class _SlidingWindow:
    """One window and what it has seen, as (time, images), oldest first."""

    __slots__ = ("_most", "kept", "log", "total", "window")

    def __init__(self, window: Window, most: int = 0) -> None:
        self.window = window
        #: Half of the margin of even spacing is left for requests that go out late; the other half is never used.
        self.kept = window.span * (1 + MARGIN / 2)
        self._most = max(window.most, most)
        self.log: deque[tuple[float, int]] = deque()
        self.total = 0

    def opens(self, now: float, images: int) -> float:
        """Return when enough has left the window; a request heavier than the limit waits until it is empty."""
        self.forget(now)
        excess = self.total + min(self.window.weigh(images), self.window.most) - self.window.most
        opens = now
        for at, weight in self.log:
            if excess <= 0:
                break
            excess -= self.window.weigh(weight)
            opens = at + self.kept
        return opens

    def add(self, now: float, images: int) -> None:
        """Count a request."""
        self.forget(now)
        if weight := self.window.weigh(images):
            self.log.append((now, images))
            self.total += weight
        # Requests older than a whole window's worth of later ones decide nothing any more.
        while self.total - self._first >= self._most:
            self._drop()

    def forget(self, now: float) -> None:
        """Drop the requests that no window ending now can see."""
        while self.log and self.log[0][0] + self.kept <= now:
            self._drop()

    def rebuilt(self, window: Window, sends: Iterable[tuple[float, int]]) -> _SlidingWindow:
        """Return a copy for *window* that has seen *sends*; it remembers as many as a wider limit before it needed."""
        copy = _SlidingWindow(window, self._most)
        for at, images in sorted(sends):
            copy.add(at, images)
        return copy

    @property
    def _first(self) -> int:
        return self.window.weigh(self.log[0][1]) if self.log else 0

    def _drop(self) -> None:
        self.total -= self._first
        self.log.popleft()
