"""One account's row of workers, so that a slow one never holds up the rest.  State in memory, for one run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from anyio import CancelScope, Event, move_on_after

from ..fault import Cause, Charged, Fault
from ..job import Delivered, Job, Outcome
from ..route import ALL, ModelFilter
from .breaker import Breaker, Closure
from .limits.gate import Gate
from .retry import Policy

__all__ = ["Closure", "Lane"]

#: Seconds that a used-up quota must still last for others to take over; a limit per minute is no quota.
QUOTA_WAIT = 60.0


@dataclass(kw_only=True, slots=True)
class Lane:
    """One account's lane at a provider, or that of some of its models: how wide, how patient, how it is doing."""

    provider: str
    policy: Policy
    account_gate: Gate  #: the limits of the account
    model_gate: Gate | None = None  #: the limits of the models, where they have limits of their own
    account: str | None = None  #: which of the provider's keys; None: it has only one
    group: str | None = None  #: of models; None: all that are in no group
    models: ModelFilter = ALL
    breaker: Breaker = field(init=False)
    in_flight: int = 0
    images: int = 0  #: delivered by this run
    done: int = 0
    failed: int = 0
    doubtful: int = 0
    stood_in: Counter[str] = field(default_factory=Counter)  #: jobs that it did for others, by their provider
    usd: int = 0  #: nano-USD that this run is known to have spent
    credits: int = 0  #: milli-credits
    closed: Closure | None = None
    held: bool = False  #: a person paused it
    fault: Fault | None = None  #: what closed or paused it
    denied: dict[str, Fault] = field(default_factory=dict)  #: models that the account may not use, by name
    calls: int = 0  #: that went out in this run
    waits: str = ""  #: what it waits for, where nothing is wrong: "pace", "a retry", ...
    rebuys: int = 0  #: jobs that this run bought again without knowing whether they had been bought
    beyond: int = 0  #: jobs in doubt that were not bought again, because so many had been
    has_turn: bool = False  #: even spacing lets the next request go
    changed: Event = field(default_factory=Event)
    _rests: set[CancelScope] = field(default_factory=set)
    _permitted: ModelFilter | None = None  #: the models before the first was denied

    def __post_init__(self) -> None:
        self.breaker = Breaker(policy=self.policy)

    @property
    def name(self) -> str:
        """Return what tells this lane from all others: "openai", "openai/images", "openai@SECOND_KEY"."""
        group = f"/{self.group}" if self.group else ""
        return f"{self.provider}{group}" + (f"@{self.account}" if self.account else "")

    @property
    def gates(self) -> tuple[Gate, ...]:
        """Return the gates that each call passes, the account's first."""
        return (self.account_gate, self.model_gate) if self.model_gate else (self.account_gate,)

    @property
    def inner_gate(self) -> Gate:
        """Return the gate that a throttled call met: that of the models, if they have one."""
        return self.model_gate or self.account_gate

    @property
    def width(self) -> int:
        """Return how many calls may be in flight at most, as configured."""
        return min(gate.width for gate in self.gates)

    @property
    def full(self) -> bool:
        """Return whether no more calls may go out before one comes back."""
        return self.in_flight >= 1 if self.breaker.probing else any(gate.full for gate in self.gates)

    @property
    def pause_left(self) -> float:
        """Return the seconds until nothing is in the way but pace."""
        return max(gate.pause_left for gate in self.gates)

    @property
    def paced(self) -> bool:
        """Return whether a rate is to be kept to."""
        return any(gate.paced for gate in self.gates)

    @property
    def may_rebuy(self) -> bool:
        """Return whether a job in doubt may be bought again: at most as many a run as one crash leaves in doubt.

        Those that a crash did leave in doubt are among them.
        """
        return self.policy.buy_again and self.rebuys < self.width

    def out_of_order(self, seconds: float) -> bool:
        """Return whether others may take its jobs: closed, or it has not taken, or will not take, any for *seconds*."""
        if self.closed is not None or self.held or self.pause_left > seconds:
            return True
        if max(gate.quota_wait for gate in self.gates) > max(seconds, QUOTA_WAIT):
            return True
        if self.in_flight and self.breaker.taking:
            return False
        return self.breaker.since is not None and self.account_gate.clock() - self.breaker.since > seconds

    def wait(self, images: int) -> float:
        """Return the seconds until a request that counts as *images* may be sent; 0.0 is now."""
        return max(gate.wait(images) for gate in self.gates)

    async def wait_turn(self) -> None:
        """Wait until even spacing lets the next request go; ``interrupt`` ends the wait without a turn."""
        with self.interruptible():
            for gate in reversed(self.gates):
                await gate.wait_turn()
            self.has_turn = True

    def sent(self, images: int) -> float:
        """Count a request that goes now; return the moment, which ``heed`` and ``ended`` want back."""
        self.has_turn = False
        self.in_flight += 1
        self.calls += 1
        moments = [gate.sent(images) for gate in self.gates]
        return moments[-1]

    def heed(self, job: Job, outcome: Outcome, sent_at: float, spread: float) -> None:
        """Take from an outcome what concerns the whole lane: pause, close, or carry on."""
        self._pass_on(outcome, sent_at)
        fault = None if isinstance(outcome, Delivered) else outcome.fault
        inner = self.inner_gate
        verdict = self.breaker.heed(job, outcome, inner.clock(), spread, paused=self.pause_left > 0, sent_at=sent_at)
        if verdict.close is not None:
            self.close(verdict.close, verdict.why or fault)
        if verdict.model is not None and fault is not None:
            self.deny(verdict.model, fault)
        adapts = inner.controller is not None and fault is not None and fault.cause is Cause.THROTTLED
        if verdict.pause is not None and not adapts:
            inner.pause(verdict.pause)
        if self.closed is None:
            self.fault = fault if self.breaker.since is not None else None

    def ended(self, sent_at: float) -> None:
        """Take note of a call without an outcome: cut off, or failed on this machine."""
        self.in_flight -= 1
        for gate in self.gates:
            gate.answered(sent_at)

    def unreadable(self, job: Job, sent_at: float | None, words: str = "the answer could not be read") -> None:
        """Take note of a call for *job* whose answer was paid for and cannot be read; *words* say why.

        *sent_at* None: an earlier run sent it.
        """
        if sent_at is not None:
            self.ended(sent_at)
        fault = Fault(cause=Cause.SPOILED, message=words, charged=Charged.YES)
        verdict = self.breaker.unreadable(
            job, fault, self.inner_gate.clock(), -math.inf if sent_at is None else sent_at
        )
        if verdict.close is not None:
            self.close(verdict.close, verdict.why)

    def deny(self, model: str, fault: Fault) -> None:
        """Take no more jobs of *model* in this run: the account may not use it."""
        self.denied.setdefault(model, fault)
        self._permitted = self._permitted or self.models
        self.models = self.models.without(model)
        self.stir()

    def close(self, why: Closure, fault: Fault | None = None) -> None:
        """Take no more jobs in this run; what is in flight goes on."""
        if self.closed is None:
            self.closed, self.fault = why, fault
        self.wake()

    def reopen(self) -> None:
        """Take jobs again: a person has seen to what closed it."""
        self.closed = self.fault = None
        self.denied, self.models, self._permitted = {}, self._permitted or self.models, None
        self.breaker = Breaker(policy=self.policy)

    def stir(self) -> None:
        """Tell the lane that something changed."""
        self.changed.set()
        self.changed = Event()

    def wake(self) -> None:
        """End every wait of the lane at once."""
        for scope in tuple(self._rests):
            scope.cancel()
        self.stir()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let ``wake`` end what is waited for inside."""
        with CancelScope() as scope:
            self._rests.add(scope)
            try:
                yield
            finally:
                self._rests.discard(scope)

    async def rest(self, seconds: float | None, since: Event | None = None) -> None:
        """Wait until something changes (*since* then, if given), at most *seconds*."""
        changed = since or self.changed
        with self.interruptible(), move_on_after(seconds):
            await changed.wait()

    def _pass_on(self, outcome: Outcome, sent_at: float) -> None:
        """Tell the gates how a call ended: refused for its limit by the innermost, which is the one that it met."""
        self.in_flight -= 1
        *outer, inner = self.gates
        for gate in outer:
            gate.answered(sent_at)
        if isinstance(outcome, Delivered):
            inner.answered(sent_at, outcome.limit)
        elif outcome.fault.cause is Cause.THROTTLED:
            inner.throttled(sent_at, outcome.fault.retry_after, outcome.fault.limit)
        else:
            inner.answered(sent_at)
