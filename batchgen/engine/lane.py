"""Lane of one account: its limits, its circuit breaker and what it did in this run.

Each account has a lane of its own, so that a slow or broken one never holds up the others.
"""

from __future__ import annotations

import math
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime

from anyio import Event, move_on_after

from ..budget import BudgetLimit
from ..fault import WORKER_LOST, Cause, Charged, Fault
from ..job import (
    Deferred,
    Delivered,
    Delivery,
    Exhausted,
    Incomplete,
    Job,
    Outcome,
    PartialDelivery,
    Settlement,
    Unknown,
)
from ..job import Event as JobEvent
from ..mode import Mode
from ..route import ALL, ModelFilter
from .breaker import Breaker
from .closure import Closure
from .flex import FlexPause
from .lease import Lease
from .limits.gate import Gate
from .retry import Policy
from .waits import Waits

__all__ = ["Closure", "Lane"]

#: Seconds that a used-up quota must still last before other providers take its jobs: a limit per minute is shorter.
QUOTA_WAIT = 60.0
#: What a lane waits for that has no job of its own left but may take those of another provider.
STANDBY = "idle"


@dataclass(kw_only=True, slots=True)
class Lane:
    """Lane of one account at a provider, or of some of its models: its limits, its health and its counters."""

    provider: str
    policy: Policy
    account_gate: Gate  #: the limits of the account
    model_gate: Gate | None = None  #: the limits of the models, where they have limits of their own
    account: str | None = None  #: which of the provider's keys; None: it has only one
    group: str | None = None  #: of models; None: all that are in no group
    models: ModelFilter = ALL
    lease: Lease | None = None  #: for which its runner may send; None: it has no need of one
    breaker: Breaker = field(init=False)
    flex: FlexPause = field(init=False)
    in_flight: int = 0
    calls: int = 0  #: that went out in this run
    images: int = 0  #: delivered by this run
    done: int = 0  #: jobs
    failed: int = 0  #: jobs
    unknown: int = 0  #: jobs
    failed_over: Counter[str] = field(default_factory=Counter)  #: jobs done for other providers, by provider
    usd: int = 0  #: nano-USD that this run is known to have spent
    credits: int = 0  #: milli-credits
    rebuys: int = 0  #: unknown jobs that this run bought again
    rebuys_refused: int = 0  #: unknown jobs that were not bought again, because so many had been
    closed: Closure | None = None
    paused: bool = False  #: by the user
    draining: bool = False  #: the run sends nothing more
    fault: Fault | None = None  #: what closed or paused it
    limit: BudgetLimit | None = None  #: the budget that closed it
    denied: dict[str, Fault] = field(default_factory=dict)  #: models that the account may not use, by name
    waits: str = ""  #: what it waits for, where nothing is wrong: "pace", "a retry", ...
    batched: frozenset[str] = frozenset()  #: models whose calls go in batches now, by all their names
    expects: bool = False  #: a batch lane is at work for its provider: calls of batches may become pending again
    batching: str = ""  #: what it waits for while calls of its provider are in batches; "" if none are
    has_turn: bool = False  #: even spacing lets the next request go
    changed: Event = field(default_factory=Event)
    uploads: Waits = field(default_factory=Waits)  #: of its batch lane, which only the end of the run ends
    _waits: Waits = field(default_factory=Waits)
    _permitted: ModelFilter | None = None  #: the models before the first was denied

    def __post_init__(self) -> None:
        self.breaker, self.flex = Breaker(policy=self.policy), FlexPause(policy=self.policy)

    @property
    def name(self) -> str:
        """Return the unique name of the lane: "openai", "openai/images", "openai@SECOND_KEY"."""
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
        """Return whether a call has to come back before another may go out."""
        return self.in_flight >= 1 if self.breaker.probing else any(gate.full for gate in self.gates)

    @property
    def sends(self) -> ModelFilter:
        """Return the models whose calls it sends one by one now."""
        return self.models.without_all(self.batched) if self.batched else self.models

    @property
    def withheld(self) -> bool:
        """Return whether other runners have the limits that it needs."""
        return any(gate.withheld for gate in self.gates)

    @property
    def pause_left(self) -> float:
        """Return the seconds until the pause ends that is in force; 0 if none is."""
        return max(gate.pause_left for gate in self.gates)

    @property
    def paced(self) -> bool:
        """Return whether any rate is configured or was learned."""
        return any(gate.paced for gate in self.gates)

    @property
    def may_rebuy(self) -> bool:
        """Return whether an unknown job may be bought again: at most as many a run as one crash leaves unknown.

        Those that a crash did leave unknown are among them.
        """
        return self.policy.buy_again and self.rebuys < self.width

    def out_of_order(self, seconds: float) -> bool:
        """Return whether other providers may take its jobs: it is closed, or takes no calls for *seconds*."""
        if self.closed is not None or self.paused or self.pause_left > seconds:
            return True
        if max(gate.quota_wait for gate in self.gates) > max(seconds, QUOTA_WAIT):
            return True
        if self.in_flight and self.breaker.taking:
            return False
        return self.breaker.since is not None and self.account_gate.clock() - self.breaker.since > seconds

    def wait(self, images: int) -> float:
        """Return the seconds until a request that counts as *images* may be sent; 0.0 is now."""
        return max(gate.wait(images) for gate in self.gates)

    def why_idle(self, retry_at: datetime | None) -> str:
        """Return what it waits for if it may send no job now; "" if calls are in flight. *retry_at*: the next retry."""
        if self.in_flight:
            return ""
        return "flex capacity" if self.sheds_flex else "a retry" if retry_at else self.batching or STANDBY

    async def wait_turn(self) -> None:
        """Wait until even spacing lets the next request go; ``interrupt`` ends the wait without a turn."""
        with self.interruptible():
            for gate in reversed(self.gates):
                await gate.wait_turn()
            self.has_turn = True

    def sent(self, images: int) -> float:
        """Count a request that is let go now; return the moment, which ``record_outcome`` and ``ended`` want back."""
        self.has_turn = False
        self.in_flight += 1
        self.calls += 1
        now = self.inner_gate.clock()
        for gate in self.gates:
            gate.sent(images, now)
        return now

    def adopt(self) -> float:
        """Count a call of an earlier run that is still in flight; return the moment, as ``sent`` does."""
        self.in_flight += 1
        for gate in self.gates:
            gate.adopt()
        return self.inner_gate.clock()

    def why_withheld(self, model: str) -> str | None:
        """Return why a request for *model* that was let go must not be written any more; None if it may."""
        if self.lease is not None and not self.lease.left:
            return "this runner could not renew its lease"
        if self.draining:
            return "the run is ending"
        if self.closed is not None:
            return f"{self.name} takes no more calls in this run"
        if self.paused:
            return f"{self.name} is paused"
        return None if self.models.matches(model) else f"{self.name} may not use {model}"

    def withdrawn(self, let_go_at: float) -> None:
        """Record a request that was let go and not sent."""
        self.in_flight -= 1
        self.calls -= 1
        for gate in self.gates:
            gate.withdrawn(let_go_at)

    def record_outcome(
        self, job: Job, outcome: Outcome, sent_at: float, spread: float, mode: Mode = Mode.STANDARD
    ) -> None:
        """Record how a call ended; it may pause or close the lane."""
        fault = None if isinstance(outcome, Delivered) else outcome.fault
        if mode is Mode.FLEX:
            if fault is not None and fault.cause is Cause.THROTTLED:
                self._record_shed(fault, sent_at, spread)
                return
            self.flex.answered()
        self._release(outcome, sent_at)
        if fault is not None and fault.code == WORKER_LOST:
            return
        gate = self.inner_gate
        verdict = self.breaker.record(job, outcome, gate.clock(), spread, paused=self.pause_left > 0, sent_at=sent_at)
        if verdict.close is not None:
            self.close(verdict.close, verdict.why or fault)
        if verdict.model is not None and fault is not None:
            self.deny(verdict.model, fault)
        # The controller already waits as long as the provider asks.
        waits_already = gate.controller is not None and fault is not None and fault.cause is Cause.THROTTLED
        if verdict.pause is not None and not waits_already:
            gate.pause(verdict.pause)
        if self.closed is None:
            self.fault = fault if self.breaker.since is not None else None

    def _record_shed(self, fault: Fault, sent_at: float, spread: float) -> None:
        """Record a flex call that was shed: flex pauses, and other calls are sent as before."""
        self.ended(sent_at)
        if self.flex.shed(fault, self.inner_gate.clock(), spread):
            self.close(Closure.DOWN, fault)

    @property
    def sheds_flex(self) -> bool:
        """Return whether flex calls have to wait."""
        return self.flex.left(self.inner_gate.clock()) > 0

    def record_rebuy(self, job: Job, event: JobEvent) -> None:
        """Count an unknown job that is bought again, or that is not because the lane has bought enough again."""
        if isinstance(event, Deferred) and event.fault.cause is Cause.UNKNOWN:
            self.rebuys += 1
        is_held = isinstance(event, Unknown) and (event.fault.final or self.policy.why_not_again(job) is not None)
        if isinstance(event, Unknown) and not is_held:
            self.rebuys_refused += 1

    def record_settlement(self, job: Job, settlement: Settlement) -> None:
        """Count what an attempt at *job*, once it is in the ledger, brought and cost."""
        event = settlement.event
        self.usd += settlement.charge.usd or 0
        self.credits += settlement.charge.credits or 0
        if isinstance(event, Delivery | PartialDelivery | Incomplete):
            self.images += len(event.outcome.artifacts)
        if isinstance(event, Exhausted):
            self.failed += 1
        if isinstance(event, Unknown):
            self.unknown += 1
        if isinstance(event, Delivery):
            self.done += 1
            if job.task.provider != self.provider and not (job.route and job.route.any_order):
                self.failed_over[job.task.provider] += 1

    def ended(self, sent_at: float) -> None:
        """Record a call without an outcome: cut off, or failed on this machine."""
        self.in_flight -= 1
        for gate in self.gates:
            gate.answered(sent_at)

    def record_unreadable(self, job: Job, sent_at: float | None, message: str = "the answer could not be read") -> None:
        """Record a call for *job* whose answer was paid for and cannot be read.

        *sent_at* None: an earlier run sent it.
        """
        if sent_at is not None:
            self.ended(sent_at)
        fault = Fault(cause=Cause.SPOILED, message=message, charged=Charged.YES)
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
        self.interrupt()  # It may wait for a turn for this model.

    def close(self, why: Closure, fault: Fault | None = None, limit: BudgetLimit | None = None) -> None:
        """Take no more jobs in this run; calls in flight end as usual. *limit*: the budget that is used up."""
        if self.closed is None:
            self.closed, self.fault, self.limit = why, fault, limit
        self.interrupt()

    def reopen(self) -> None:
        """Take jobs again: the user has fixed what closed the lane."""
        self.closed = self.fault = self.limit = None
        self.denied, self.models, self._permitted = {}, self._permitted or self.models, None
        self.breaker, self.flex = Breaker(policy=self.policy), FlexPause(policy=self.policy, has_end=self.flex.has_end)

    def notify(self) -> None:
        """Wake the lane because something changed."""
        self.changed.set()
        self.changed = Event()

    def drain(self) -> None:
        """Send nothing more, and end every wait, also those of its batch lane."""
        self.draining = True
        self.uploads.interrupt()
        self.interrupt()

    def interrupt(self) -> None:
        """End every wait of the lane at once."""
        self._waits.interrupt()
        for gate in self.gates:
            gate.wire.notify()
        self.notify()

    def interruptible(self) -> AbstractContextManager[object]:
        """Let ``interrupt`` end the waits inside."""
        return self._waits.interruptible()

    async def wait_for_change(self, seconds: float | None, since: Event | None = None) -> None:
        """Wait until something changes, or has changed since the event *since*; at most *seconds*."""
        changed = since or self.changed  # ``interrupt`` sets it, too.
        with move_on_after(math.inf if seconds is None else seconds):
            await changed.wait()

    def _release(self, outcome: Outcome, sent_at: float) -> None:
        """Release the call's places at the gates; a refusal because of a limit came from the inner gate."""
        self.in_flight -= 1
        inner = self.inner_gate
        if inner is not self.account_gate:
            self.account_gate.answered(sent_at)
        if isinstance(outcome, Delivered):
            inner.answered(sent_at, outcome.limit)
        elif outcome.fault.cause is Cause.THROTTLED:
            inner.throttled(sent_at, outcome.fault.retry_after, outcome.fault.limit)
        else:
            inner.answered(sent_at)
