"""A provider's own row of workers, so that a slow one never holds up the rest.  State in memory, for one run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from anyio import CancelScope, Event, move_on_after

from .fault import Cause, Fault
from .job import Delivered, Job, Missed, Outcome
from .limits import Gate
from .retry import Policy

#: So many times in a row a provider may be out of reach, each time after a longer pause, before its lane closes.
UNREACHED_ROUNDS = 10
#: So many times in a row a provider may take a call and not answer.  After the first, one call at a time goes out.
DOUBT_ROUNDS = 3


class Closure(StrEnum):
    """Why a lane takes no more jobs in this run."""

    MONEY = "money"  #: the provider says that the account cannot pay
    DENIED = "denied"  #: key, model or path refused
    DOWN = "down"  #: out of reach for too long
    DOUBT = "doubt"  #: takes calls and does not answer: each may cost money
    BUDGET = "budget"  #: the next call might overstep the user's own cap


@dataclass(kw_only=True, slots=True)
class Lane:
    """One provider's lane: how wide, how patient, and how it is doing."""

    provider: str
    width: int  #: requests in flight at most
    policy: Policy
    gate: Gate
    page: deque[Job] = field(default_factory=deque)  #: due jobs looked up ahead; never the whole table
    in_flight: int = 0
    images: int = 0  #: delivered by this run
    done: int = 0
    failed: int = 0
    doubtful: int = 0
    usd: int = 0  #: nano-USD that this run is known to have spent
    credits: int = 0  #: milli-credits
    closed: Closure | None = None
    fault: Fault | None = None  #: what closed or paused it
    next_due: datetime | None = None  #: when the next waiting job may run, where none is due now
    misses: int = 0  #: pauses in a row
    doubts: int = 0  #: calls in a row whose outcome nobody knows
    rebuys: int = 0  #: jobs that this run bought again without knowing whether they had been bought
    changed: Event = field(default_factory=Event)
    _waits: set[CancelScope] = field(default_factory=set)

    @property
    def full(self) -> bool:
        """Return whether no more calls may go out now; after a call in doubt, one at a time is enough to find out."""
        return self.in_flight >= (1 if self.doubts else self.width)

    @property
    def may_rebuy(self) -> bool:
        """Return whether a job in doubt may be bought again: at most as many a run as one crash leaves in doubt."""
        return self.policy.buy_again and self.rebuys < self.width

    def close(self, why: Closure, fault: Fault | None = None) -> None:
        """Take no more jobs in this run; what is in flight goes on."""
        if self.closed is None:
            self.closed, self.fault = why, fault
        self.wake()

    def stir(self) -> None:
        """Tell the lane that something changed."""
        self.changed.set()
        self.changed = Event()

    def wake(self) -> None:
        """End every wait of the lane at once."""
        for scope in tuple(self._waits):
            scope.cancel()
        self.stir()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let ``wake`` end what is waited for inside."""
        with CancelScope() as scope:
            self._waits.add(scope)
            try:
                yield
            finally:
                self._waits.discard(scope)

    async def rest(self, seconds: float | None) -> None:
        """Wait until something changes, at most *seconds*."""
        changed = self.changed
        with self.interruptible(), move_on_after(seconds):
            await changed.wait()

    def heed(self, outcome: Outcome, spread: float) -> None:
        """Take from an outcome what concerns the whole lane: pause, close, or carry on."""
        if isinstance(outcome, Delivered):
            self.misses = self.doubts = 0
            self.fault = None if self.closed is None else self.fault
            return
        self._heed_fault(outcome, spread)

    def _heed_fault(self, missed: Missed, spread: float) -> None:
        fault = missed.fault
        if fault.cause is not Cause.UNKNOWN:
            self.doubts = 0
        match fault.cause:
            case Cause.MONEY:
                self.close(Closure.MONEY, fault)
            case Cause.DENIED:
                self.close(Closure.DENIED, fault)
            case Cause.THROTTLED | Cause.UNREACHED:
                self.misses += self._first_of_its_round
                if fault.cause is Cause.UNREACHED and self.misses >= UNREACHED_ROUNDS:
                    self.close(Closure.DOWN, fault)
                self._pause(fault, self.misses, spread)
            case Cause.UNKNOWN:
                self.doubts += self._first_of_its_round
                if self.doubts >= DOUBT_ROUNDS:
                    self.close(Closure.DOUBT, fault)
                self._pause(fault, self.doubts, spread)
            case _:
                self.misses = 0

    @property
    def _first_of_its_round(self) -> bool:
        # calls already in flight meet the same weather: they are one miss, not many
        return self.gate.pause_left == 0

    def _pause(self, fault: Fault, number: int, spread: float) -> None:
        wait = fault.retry_after if fault.retry_after is not None else self.policy.backoff(max(1, number), spread)
        self.gate.pause(wait)
        self.fault = fault
