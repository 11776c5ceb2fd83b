"""Circuit breaker: decides from the outcomes of a lane whether it pauses, probes, works or closes. No clock.

It opens (a pause, longer each round), lets one call at a time through as a probe, and closes again with the first
answer; or it gives the provider up for this run.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from ..fault import FIREWALL, Cause, Fault, Scope
from ..job import Delivered, Job, Outcome
from .closure import Closure
from .retry import Policy
from .streaks import Blocked, Denials, Fruitless, StreakVerdict

#: Rounds, each after a longer pause, after which a provider that never answered is given up.
UNREACHED_ROUNDS = 10
#: Rounds of calls that were taken and not answered after which the lane closes; after the first it probes.
DOUBT_ROUNDS = 3
#: Rounds out of reach after which the lane probes with one call at a time.
PROBE_ROUNDS = 3
#: So many errors in a row, of so many jobs, are the provider's fault and not a job's.
ERRORS, ERROR_JOBS = 10, 5
#: If so many first jobs are refused with the same message, the settings are wrong and not the jobs.
ALIKE_JOBS = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """Decision for the lane: close it, deny it one model, pause it for some seconds, or nothing."""

    close: Closure | None = None
    pause: float | None = None
    model: str | None = None  #: the model that is denied to the account
    why: Fault | None = None  #: why it closes, if the last outcome alone does not show it


_NOTHING = Verdict()
#: After these outcomes an overloaded provider may still be overloaded.
_STILL_BUSY = (Cause.THROTTLED, Cause.UNREACHED, Cause.UNKNOWN)


@dataclass(kw_only=True, slots=True)
class Breaker:
    """Recent outcomes of a lane. Times are seconds on one clock, of any origin."""

    policy: Policy
    unreachable_rounds: int = 0  #: rounds in a row in which it was out of reach
    unanswered_rounds: int = 0  #: rounds in a row in which calls were not answered
    since: float | None = None  #: when it stopped taking calls; None: it takes them
    _failing_since: float | None = None  #: since when it has answered nothing but errors
    throttles: int = 0  #: rounds in a row in which it asked for a pause
    _has_answered: bool = False  #: it has answered a call of this run
    _rounds: int = 0  #: of pauses because of errors
    _errors: int = 0  #: in a row
    _failing: set[int] = field(default_factory=set)  #: the jobs that met them at their first try
    _fruitless: Fruitless = field(default_factory=Fruitless)
    _blocked: Blocked = field(default_factory=Blocked)
    _denials: Denials = field(default_factory=Denials)
    _own: int | None = None  #: the job whose last denial was its own
    _busy: float | None = None  #: since when all its answers were that it is busy, without a stated wait
    _refusals: dict[tuple[object, ...], set[int]] | None = field(default_factory=dict)  #: None: something else came

    @property
    def troubled(self) -> bool:
        """Return whether errors come one after another, whatever the job."""
        return self._errors >= ERRORS and len(self._failing) >= ERROR_JOBS

    @property
    def taking(self) -> bool:
        """Return whether calls in flight were accepted: refused ones come back at once."""
        return not (self.unreachable_rounds or self.unanswered_rounds or self.troubled or self.suspected)

    @property
    def probing(self) -> bool:
        """Return whether one call at a time goes out as a probe."""
        return self.unanswered_rounds > 0 or self.unreachable_rounds >= PROBE_ROUNDS or self.troubled or self.suspected

    @property
    def suspected(self) -> bool:
        """Return whether the next call decides if the lane closes."""
        return self._fruitless.suspected_at is not None or self._denials.suspected_at is not None

    @property
    def fruitless(self) -> AbstractSet[int]:
        """Return the jobs that were paid for without an image: a call for any other job proves more."""
        return self._fruitless.tried

    def alone(self, job: int) -> bool:
        """Return whether the last denial concerned *job* only: the provider takes others."""
        return self._own == job

    def record(
        self,
        job: Job,
        outcome: Outcome,
        now: float,
        spread: float,
        *,
        paused: bool,
        sent_at: float | None = None,
    ) -> Verdict:
        """Record how a call for *job* (as it was claimed) ended at *now*; *spread* in [0, 1) varies the pauses.

        *paused*: the lane pauses already, so that calls in flight count as one round. *sent_at*: when the call went
        out; None: just now.
        """
        sent_at = now if sent_at is None else sent_at
        if isinstance(outcome, Delivered):
            return self._delivered(sent_at)
        fault, first = outcome.fault, not paused
        self._own = None
        self.unanswered_rounds = self.unanswered_rounds if fault.cause is Cause.UNKNOWN else 0
        self._busy = self._busy if fault.cause in _STILL_BUSY else None
        match fault.cause:
            case Cause.MONEY:
                return Verdict(close=Closure.MONEY)
            case Cause.DENIED:
                return self._denied(job, fault, now, sent_at, spread)
            case Cause.THROTTLED:
                return self._throttled(fault, now, spread, first)
            case Cause.UNREACHED:
                return self._unreached(fault, now, spread, first)
            case Cause.UNKNOWN:
                return self._unanswered(fault, now, spread, first)
            case Cause.ERROR:
                return self._error(job, fault, now, spread, first)
        return self._answered(job, fault, now, sent_at)

    def _answered(self, job: Job, fault: Fault, now: float, sent_at: float) -> Verdict:
        """Record an answer about one job: refused, invalid, or without a usable image."""
        self._reset()
        if fault.cause is Cause.REFUSED and fault.code == FIREWALL:
            return self._blocked_job(job, fault)
        self._blocked.clear()
        if fault.cause is Cause.INVALID:
            return self._refused(job.id, fault)
        self._refusals = None
        self._denials.worked(sent_at)  # The provider accepted the key.
        return _NOTHING if fault.cause is Cause.REFUSED else self._no_image(job, fault, now, sent_at)

    def unreadable(self, job: Job, fault: Fault, now: float, sent_at: float) -> Verdict:
        """Record an answer for *job* that was paid for and could not be read because of *fault*."""
        self._reset()
        self._busy = None
        self._blocked.clear()
        self._denials.worked(sent_at)
        return self._no_image(job, fault, now, sent_at)

    def _delivered(self, sent_at: float) -> Verdict:
        self._reset()
        self._refusals = self._busy = self._own = None
        self._fruitless.clear()
        self._blocked.clear()
        self._denials.worked(sent_at)
        return _NOTHING

    def _denied(self, job: Job, fault: Fault, now: float, sent_at: float, spread: float) -> Verdict:
        if fault.scope is not Scope.ACCOUNT:
            self._reset()
            return Verdict(model=job.task.model) if fault.scope is Scope.MODEL else self._blocked_job(job, fault)
        finding = self._denials.note(job.id, now, sent_at)
        if finding is StreakVerdict.CONFIRMED:
            return Verdict(close=Closure.DENIED)
        self._mark_stopped(now)
        self._own = job.id if finding is StreakVerdict.OWN else None
        return Verdict(pause=self._pause(fault, 1, spread))

    def _blocked_job(self, job: Job, fault: Fault) -> Verdict:
        if self._blocked.note(job.id) is not StreakVerdict.CONFIRMED:
            return _NOTHING
        return Verdict(close=Closure.DENIED, why=replace(fault, message=self._blocked.message(fault.message)))

    def _no_image(self, job: Job, fault: Fault, now: float, sent_at: float) -> Verdict:
        if self._fruitless.note(job.id, now, sent_at) is not StreakVerdict.CONFIRMED:
            return _NOTHING
        return Verdict(close=Closure.NO_IMAGE, why=replace(fault, message=self._fruitless.message(fault.message)))

    def _throttled(self, fault: Fault, now: float, spread: float, first: bool) -> Verdict:
        self._mark_stopped(now)
        self.unreachable_rounds, self._failing_since, self._has_answered = 0, None, True
        self.throttles += first
        pause = self._pause(fault, self.throttles, spread)
        if fault.retry_after is not None:  # A provider that names the wait is waited for.
            self._busy = None
        elif self._busy is None:
            self._busy = now
        elif now - self._busy >= self.policy.patience:
            return Verdict(Closure.DOWN, pause)
        return Verdict(pause=pause)

    def _reset(self) -> None:
        self.unreachable_rounds = self.unanswered_rounds = self.throttles = self._errors = self._rounds = 0
        self.since = self._failing_since = None
        self._has_answered = True
        self._failing.clear()

    def _mark_stopped(self, now: float) -> None:
        self.since = now if self.since is None else self.since

    def _unreached(self, fault: Fault, now: float, spread: float, first: bool) -> Verdict:
        self._mark_stopped(now)
        self._failing_since = now if self._failing_since is None else self._failing_since
        self.unreachable_rounds += first
        given_up = self._given_up(now) if self._has_answered else self.unreachable_rounds >= UNREACHED_ROUNDS
        return Verdict(
            Closure.DOWN if given_up or fault.final else None, self._pause(fault, self.unreachable_rounds, spread)
        )

    def _unanswered(self, fault: Fault, now: float, spread: float, first: bool) -> Verdict:
        self._mark_stopped(now)
        self.unanswered_rounds += first
        close = Closure.DOUBT if self.unanswered_rounds >= DOUBT_ROUNDS else None
        return Verdict(close, self._pause(fault, self.unanswered_rounds, spread))

    def _error(self, job: Job, fault: Fault, now: float, spread: float, first: bool) -> Verdict:
        self.unreachable_rounds, self._has_answered = 0, True
        self._errors += 1
        if job.tries == 1:  # a job that failed before says nothing of others
            self._failing.add(job.id)
        if not self.troubled:
            return _NOTHING
        self._mark_stopped(now)
        self._failing_since = now if self._failing_since is None else self._failing_since
        self._rounds += first
        return Verdict(Closure.DOWN if self._given_up(now) else None, self._pause(fault, self._rounds, spread))

    def _refused(self, job: int, fault: Fault) -> Verdict:
        if self._refusals is None or fault.status is None:
            return _NOTHING  # Without a status it is not the provider that refused, such as for a photo that is gone.
        alike = self._refusals.setdefault((fault.status, fault.code, fault.message), set())
        alike.add(job)
        return Verdict(close=Closure.DENIED) if len(alike) >= ALIKE_JOBS else _NOTHING

    def _given_up(self, now: float) -> bool:
        return self._failing_since is not None and now - self._failing_since >= self.policy.patience

    def _pause(self, fault: Fault, number: int, spread: float) -> float:
        return fault.retry_after if fault.retry_after is not None else self.policy.backoff(max(1, number), spread)
