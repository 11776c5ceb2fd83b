"""Retry policy: decides from an outcome whether and when a job is tried again. No clock, no I/O."""

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

#: Attempts in all at a job whose answers hold no image, or a spoiled one.
EMPTY_TRIES = 3
SPOILED_TRIES = 2

#: Why an unknown job is not bought again although its policy allows it.
SUBMITTED = "the call was accepted, and what became of it can be looked up at the provider only"
REBUYS_USED_UP = "this run has bought again as many unknown jobs as it may (the provider's concurrency)"


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
        """Return why *job*, which is unknown, must not be bought again; None if it may be."""
        if not self.buy_again:
            return "on_unknown: hold"
        if job.unknown_attempts:
            return "it was unknown before"
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
    """Return the event that an outcome means for the job.

    *job* is as it was claimed, so its ``tries`` count this attempt. *spread* in [0, 1) spreads retries over time.
    *may_rebuy* False: this run has bought enough unknown jobs again. *troubled*: the provider answers every job with
    errors, so a first error is not held against the job unless it may have been charged. *alone*: the provider takes
    other jobs, so a denial concerns this job.
    """
    if isinstance(outcome, Delivered):
        return _delivered(job, outcome, policy, now)
    fault, later = outcome.fault, now + timedelta(seconds=policy.backoff(job.tries, spread))
    if _own_for_good(fault, alone=alone):
        return Exhausted(at=now, fault=fault)
    match fault.cause:
        case Cause.THROTTLED | Cause.UNREACHED | Cause.MONEY | Cause.DENIED:
            # The lane pauses or closes and the job is due once it opens; a lane that does not pause sends others first.
            soon = now + timedelta(seconds=policy.backoff(1, spread)) if _is_busy(fault) else None
            return Released(at=now, fault=fault, not_before=soon)
        case Cause.REFUSED | Cause.INVALID:
            return Exhausted(at=now, fault=fault)
        case Cause.UNKNOWN:
            why = SUBMITTED if fault.final else policy.why_not_again(job) or (None if may_rebuy else REBUYS_USED_UP)
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


def _is_busy(fault: Fault) -> bool:
    """Return whether a provider has too much to do and does not say for how long."""
    return fault.cause is Cause.THROTTLED and fault.retry_after is None


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
