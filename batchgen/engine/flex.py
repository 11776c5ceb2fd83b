"""Pause of flex calls: while the provider sheds them they wait, and calls in other modes are sent. No clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from ..fault import Fault
from .retry import Policy


@dataclass(kw_only=True, slots=True)
class FlexPause:
    """Pause of one lane's flex calls. Times are seconds on one clock, of any origin."""

    policy: Policy
    has_end: bool = False  #: at a time of day another mode takes over
    _rounds: int = 0  #: in a row in which calls were shed
    _until: float = 0.0
    _since: float | None = None  #: since when no flex call was carried out

    def left(self, now: float) -> float:
        """Return the seconds until flex calls may be sent; 0 if they may."""
        return max(0.0, self._until - now)

    def shed(self, fault: Fault, now: float, spread: float) -> bool:
        """Record a call that was shed; return whether flex calls are given up in this run.

        Calls that were in flight together count as one round. *spread* in [0, 1) varies the pauses.
        """
        self._since = now if self._since is None else self._since
        if now >= self._until:
            self._rounds += 1
            wait = self.policy.backoff(self._rounds, spread) if fault.retry_after is None else fault.retry_after
            self._until = now + wait
        return not self.has_end and now - self._since >= self.policy.patience

    def answered(self) -> None:
        """Record a flex call that was not shed."""
        self._rounds, self._since = 0, None
