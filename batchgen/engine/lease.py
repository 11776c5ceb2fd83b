"""Lease of a runner: the time for which it may send. It is renewed again and again, and is checked before each request.

The database grants it by its own clock. The runner counts from the moment before it asked, so that its own end comes
first, whatever its clocks show; the earliest of them counts, because some stand still in suspend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

#: Seconds for which a runner may send after a heartbeat, and between two heartbeats.
LEASE, HEARTBEAT = 15.0, 2.5
#: Seconds before the end of the lease in which nothing is sent any more: a request takes its time to arrive.
LEASE_MARGIN = 2.0


@dataclass(kw_only=True, slots=True)
class Lease:
    """The time for which a runner may send, on several clocks."""

    clocks: Sequence[Callable[[], float]]
    ended: bool = False  #: another runner has taken its place
    _ends: Sequence[float] = field(default=())

    def moment(self) -> tuple[float, ...]:
        """Return the current time on each clock, for ``renew``."""
        return tuple(clock() for clock in self.clocks)

    def renew(self, asked_at: Sequence[float], seconds: float = LEASE) -> None:
        """Let the runner send for *seconds* from *asked_at*, a little less to be safe."""
        self._ends = tuple(at + seconds - LEASE_MARGIN for at in asked_at)

    def end(self) -> None:
        """End the lease for good."""
        self.ended = True

    @property
    def left(self) -> float:
        """Return the seconds for which the runner may still send; 0 if it may not."""
        if self.ended or not self._ends:
            return 0.0
        return max(0.0, min(end - clock() for end, clock in zip(self._ends, self.clocks, strict=True)))
