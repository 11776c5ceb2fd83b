"""Timing: the latency of answers, and the rate limits of providers."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from .values import Order, Quota

#: Median seconds by quality for a picture of a megapixel.
MEDIANS = {"low": 0.5, "medium": 1.0, "high": 2.0, "xhigh": 2.5, "max": 3.0}
_SIGMA = 0.35
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """A distribution of answer times."""

    mode: str  #: ``none``, ``fixed``, ``lognormal`` or ``realistic``
    seconds: float = 0.0  #: the time, or the median

    @classmethod
    def parse(cls, text: str) -> Latency:
        """Read ``none``, ``realistic``, ``SECONDS`` or ``lognormal:MEDIAN``; raise ValueError otherwise."""
        if text in ("none", "realistic"):
            return cls(mode=text)
        name, colon, median = text.partition(":")
        if colon and name == "lognormal":
            return cls(mode="lognormal", seconds=_positive(median))
        return cls(mode="fixed", seconds=_positive(text))

    def seconds_for(self, order: Order, chance: random.Random) -> float:
        """Return the latency of an order in seconds."""
        if self.mode == "none":
            return 0.0
        if self.mode == "fixed":
            return self.seconds
        median = self.seconds
        if self.mode == "realistic":
            area = order.width * order.height * order.n / (1024 * 1024)
            median = MEDIANS.get(order.quality, 1.0) * area**0.5 * (1.3 if order.sources else 1.0)
        return chance.lognormvariate(math.log(median), _SIGMA) if median > 0 else 0.0


class Throttle:
    """A sliding window: at most ``limit`` requests pass in any ``window`` seconds."""

    def __init__(self, limit: int, window: float, clock: Callable[[], float]) -> None:
        self.limit = limit
        self.window = window
        self._clock = clock
        self._passed: deque[float] = deque()

    @classmethod
    def parse(cls, text: str, clock: Callable[[], float]) -> Throttle:
        """Read ``60/m``, ``5/s`` or ``100/h``; raise ValueError otherwise."""
        count, _, unit = text.partition("/")
        if not count.isdigit() or int(count) < 1 or unit not in _UNITS:
            raise ValueError(f"{text!r} is not a limit such as 60/m, 5/s or 100/h")
        return cls(int(count), _UNITS[unit], clock)

    def admit(self) -> float:
        """Count a request and return 0, or return the seconds until the next one may pass."""
        now = self._clock()
        while self._passed and self._passed[0] <= now - self.window:
            self._passed.popleft()
        if len(self._passed) < self.limit:
            self._passed.append(now)
            return 0.0
        return max(0.001, self._passed[0] + self.window - now)

    def quota(self, wait: float) -> Quota:
        """Return the state of the limit after ``admit`` returned *wait*."""
        remaining = max(0, self.limit - len(self._passed))
        return Quota(limit=self.limit, window=self.window, remaining=remaining, wait=wait)


def _positive(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{text!r} is not a number of seconds")
    return seconds
