"""Try again?  When?  A pure question, answered in one place (the table of DESIGN section 6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from ..fault import Cause, Charged, Fault, Scope
from ..job import (
    Deferred,
    Delivered,
    Delivery,
    Event,
    Exhausted,
    Incomplete,
    Job,
    Outcome,
    PartialDelivery,
    Released,
    Unknown,
)

#: An answer without an image is worth this many attempts in all, a spoiled one that many: one new try.
EMPTY_TRIES = 3
SPOILED_TRIES = 2

#: Why a job in doubt is not bought again that would be, were it the only one.
BEYOND = "this run has bought as many in doubt again as it may (the provider's concurrency)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """Retry policy of a lane: how often, and how patiently, a job is tried again."""

    attempts: int = 4  #: purchases of one job at most
    first_wait: float = 2.0  #: seconds after the first try; each further wait is twice as long
    max_wait: float = 300.0
    patience: float = 7200.0  #: seconds that a provider may be out of order before this run gives it up
    buy_again: bool = True  #: ``on_unknown: retry``; False is ``hold``

    def backoff(self, number: int, spread: float = 1.0) -> float:
        """Return seconds to wait after try *number* (from 1); *spread* in [0, 1) shortens it by up to half."""
        doublings = min(number - 1, 100)
        return min(self.first_wait * 2.0**doublings, self.max_wait) * (0.5 + spread / 2)

    def is_last(self, number: int) -> bool:
        """Return whether try *number* was the last one."""
        return number >= self.attempts

    def why_not_again(self, job: Job) -> str | None:
        """Return why *job*, in doubt, is not bought again, whatever else its run does; None where it may be."""
        if not self.buy_again:
            return "on_unknown: hold"
        if job.unknown_attempts:
            return "it was in doubt before"
        return "retry.attempts are used up" if self.is_last(job.tries) else None


def judge(
    job: Job,
    outcome: Outcome,
    policy: Policy,
    now: datetime,
    spread: float = 1.0,
    *,
    may_rebuy: bool = True,
    troubled: bool = False,
    alone: bool = False,
) -> Event:
    """Turn what came back into what happens to the job.

    *job* is as it was claimed, so its ``tries`` count this attempt.  *spread* in [0, 1) sets repeats apart in time.
    *may_rebuy* False: this run has bought enough again without knowing whether it had to.  *troubled*: the provider
    answers every job with errors, so the first error of a job that was never tried before is none of its own; but one
    that may have been charged is a purchase all the same, and ``attempts`` bounds those.
    *alone*: the provider takes other jobs, so a denial is this job's own.
    """
    if isinstance(outcome, Delivered):
        return _delivered(job, outcome, policy, now)
    fault, later = outcome.fault, now + timedelta(seconds=policy.backoff(job.tries, spread))
    if _own_for_good(fault, alone=alone):
        return Exhausted(at=now, fault=fault)
    match fault.cause:
        case Cause.THROTTLED | Cause.UNREACHED | Cause.MONEY | Cause.DENIED:
            # the lane waits or closes, and the job is due as soon as it is open; one that goes on takes others first
            busy = fault.cause is Cause.THROTTLED and fault.retry_after is None
            soon = now + timedelta(seconds=policy.backoff(1, spread))
            return Released(at=now, fault=fault, not_before=soon if busy else None)
        case Cause.REFUSED | Cause.INVALID:
            return Exhausted(at=now, fault=fault)
        case Cause.UNKNOWN:
            why = policy.why_not_again(job) or (None if may_rebuy else BEYOND)
            if why is None:
                return Deferred(at=now, fault=fault, not_before=later)
            return Unknown(at=now, fault=replace(fault, message=f"{fault.message}; not bought again: {why}"))
        case Cause.EMPTY | Cause.SPOILED | Cause.ERROR:
            free = fault.cause is Cause.ERROR and fault.charged is Charged.NO
            if troubled and free and job.tries == 1:
                return Released(at=now, fault=fault, not_before=later)
            most = {Cause.EMPTY: EMPTY_TRIES, Cause.SPOILED: SPOILED_TRIES}.get(fault.cause)
            if policy.is_last(job.tries) or (most is not None and job.tries >= most):
                return Exhausted(at=now, fault=fault)
            return Deferred(at=now, fault=fault, not_before=later)
        case _:
            assert_never(fault.cause)


def _delivered(job: Job, outcome: Delivered, policy: Policy, now: datetime) -> Event:
    """Return what happens to a job for which images came: all that it lacked, or some."""
    came = len(outcome.artifacts)
    if job.delivered + came >= job.wanted:
        return Delivery(at=now, outcome=outcome)
    if policy.is_last(job.tries):
        return Incomplete(at=now, outcome=outcome, fault=_some(job, came))
    rest = outcome.shortfall
    if rest is not None and (rest.cause in (Cause.REFUSED, Cause.INVALID) or _own_for_good(rest, alone=False)):
        # another purchase of the others would end in the same way
        why = replace(rest, message=f"{job.delivered + came} of {job.wanted} images came; {rest.message}")
        return Incomplete(at=now, outcome=outcome, fault=why)
    return PartialDelivery(at=now, outcome=outcome)


def _own_for_good(fault: Fault, *, alone: bool) -> bool:
    """Return whether a fault is the job's own, and stays."""
    if fault.cause is Cause.DENIED:
        return alone or fault.scope is Scope.JOB
    return fault.final and fault.cause in (Cause.EMPTY, Cause.SPOILED, Cause.ERROR)


def _some(job: Job, came: int) -> Fault:
    """Return why *job* is given up although its last purchase brought *came* of the images that were missing."""
    purchases = "1 purchase" if job.tries == 1 else f"{job.tries} purchases"
    message = f"{job.delivered + came} of {job.wanted} images came in {purchases}, and retry.attempts allows no more"
    return Fault(cause=Cause.EMPTY, message=message, charged=Charged.YES)
