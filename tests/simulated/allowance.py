"""What a simulated provider truly lets pass: three ways of counting, as providers have them.

Amounts are requests or images, times are virtual seconds. ``wait`` asks, ``take`` counts; both of the same moment.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

#: Floating-point dust: a call on the very edge of a window is outside of it.
DUST = 1e-6


class Allowance(Protocol):
    """One limit of one provider."""

    limit: int
    seconds: float

    def wait(self, now: float, amount: int) -> float:
        """Return the seconds until *amount* may pass; 0 for now."""
        ...

    def take(self, now: float, amount: int) -> None:
        """Count *amount* as passed."""
        ...

    def used(self, now: float) -> float:
        """Return how much of the limit is taken."""
        ...


@dataclass(slots=True)
class Sliding:
    """At most *limit* in any *seconds*."""

    limit: int
    seconds: float = 60.0
    _passed: deque[tuple[float, int]] = field(default_factory=deque)
    _sum: int = 0

    def wait(self, now: float, amount: int) -> float:
        while self._passed and self._passed[0][0] <= now - self.seconds + DUST:
            self._sum -= self._passed.popleft()[1]
        excess = self._sum + amount - self.limit
        if excess <= 0:
            return 0.0
        for at, passed in self._passed:
            excess -= passed
            if excess <= 0:
                return at + self.seconds - now
        return self.seconds

    def take(self, now: float, amount: int) -> None:
        self._passed.append((now, amount))
        self._sum += amount

    def used(self, now: float) -> float:
        self.wait(now, 0)
        return self._sum


@dataclass(slots=True)
class Fixed:
    """At most *limit* between two strokes of the clock, *seconds* apart."""

    limit: int
    seconds: float = 60.0
    _window: int = -1
    _sum: int = 0

    def wait(self, now: float, amount: int) -> float:
        window = int((now + DUST) // self.seconds)
        if window != self._window:
            self._window, self._sum = window, 0
        return 0.0 if self._sum + amount <= self.limit else (window + 1) * self.seconds - now

    def take(self, now: float, amount: int) -> None:
        del now
        self._sum += amount

    def used(self, now: float) -> float:
        self.wait(now, 0)
        return self._sum


@dataclass(slots=True)
class Bucket:
    """A bucket of *burst* that fills again at *limit* in *seconds*: what was left unused may be used at once."""

    limit: int
    seconds: float = 60.0
    burst: int = 0  #: 0: as much as *limit*
    _level: float = 0.0  #: taken and not yet filled again
    _at: float = 0.0

    def wait(self, now: float, amount: int) -> float:
        self._level = max(0.0, self._level - (now - self._at) * self.limit / self.seconds)
        self._at = now
        excess = self._level + amount - (self.burst or self.limit)
        return 0.0 if excess <= DUST else excess * self.seconds / self.limit

    def take(self, now: float, amount: int) -> None:
        del now
        self._level += amount

    def used(self, now: float) -> float:
        self.wait(now, 0)
        return self._level
