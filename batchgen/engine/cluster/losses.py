"""Circuit breaker of a cluster: a run stops when it loses the outcome of too many calls. Pure; times are arguments."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

#: Seconds that are looked at.
WINDOW = 60.0
#: The share of calls with an unknown outcome that stops the run, and the number of losses that it takes.
SHARE, LEAST = 0.02, 3
#: Seconds between two calls lost by one worker that belong to one loss: a dying process takes hundreds with it.
TOGETHER = 10.0


@dataclass(kw_only=True, slots=True)
class Losses:
    """The calls of the last minute whose outcome was lost, and those that were answered."""

    _answers: deque[float] = field(default_factory=deque)
    _unknown: deque[float] = field(default_factory=deque)
    _losses: deque[float] = field(default_factory=deque)
    _last: dict[str, float] = field(default_factory=dict)

    def record_answer(self, now: float) -> None:
        """Count a call with an outcome."""
        self._answers.append(now)
        self._forget(now)

    def record_loss(self, worker: str, now: float) -> str | None:
        """Count a call of *worker* whose outcome is unknown; return why the run must stop, None if it may continue."""
        self._unknown.append(now)
        if now - self._last.get(worker, -TOGETHER) >= TOGETHER:
            self._losses.append(now)
        self._last[worker] = now
        self._forget(now)
        unknown, all_calls = len(self._unknown), len(self._unknown) + len(self._answers)
        if len(self._losses) < LEAST or unknown <= SHARE * all_calls:
            return None
        return (
            f"workers were lost {len(self._losses)} times within a minute, and with them the outcome of {unknown} of "
            f"{all_calls} calls: look at the cluster before more is spent (memory of the workers, `ray status`)"
        )

    def _forget(self, now: float) -> None:
        for times in (self._answers, self._unknown, self._losses):
            while times and times[0] <= now - WINDOW:
                times.popleft()
