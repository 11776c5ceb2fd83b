"""The calls of the last minutes, as sorted times.  A memory: pure, no clock."""

from __future__ import annotations

import math
from bisect import bisect_right, insort

#: Seconds over which calls are counted, as most limits are per minute; and seconds, or calls, that are remembered.
HORIZON, MEMORY, ENOUGH = 60.0, 180.0, 64


class Traffic:
    """Calls as they went out and came back.  A span of time is open at its start and closed at its end."""

    def __init__(self) -> None:
        self.sent: list[float] = []
        self.refused: list[float] = []  #: when they had been sent
        self.answered: list[float] = []  #: when the answer came
        self.flying = 0
        self.began = self.last = -math.inf  #: since when they have been going out, and when the last one went

    def add(self, at: float, gap: float) -> None:
        """Take note of a call sent at a time; *gap* seconds had passed in which it could have been."""
        self.began, self.last = (at if gap > HORIZON else self.began), at
        self.flying += 1
        self.sent.append(at)
        for times in (self.sent, self.refused, self.answered):
            if len(times) > 2 * ENOUGH and times[len(times) // 2] <= at - MEMORY:
                del times[: len(times) // 2]

    def land(self, sent_at: float, now: float, *, refused: bool) -> None:
        """Take note of a call that came back."""
        self.flying = max(0, self.flying - 1)
        insort(self.refused if refused else self.answered, sent_at if refused else now)

    def between(self, after: float, until: float) -> int:
        """Return how many were sent in that time."""
        return bisect_right(self.sent, until) - bisect_right(self.sent, after)

    def taken(self, after: float, until: float) -> int:
        """Return how many of those were not refused, or not yet."""
        return self.between(after, until) - bisect_right(self.refused, until) + bisect_right(self.refused, after)

    def held(self, at: float) -> int:
        """Return how many were in flight when one was sent, itself not counted."""
        return self.flying - self.between(at, math.inf) + len(self.answered) - bisect_right(self.answered, at)
