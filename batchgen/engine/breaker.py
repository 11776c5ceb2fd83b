"""Whether a lane can go on: what its outcomes, one after another, say of the provider.

A decision with a memory: pure, no clock.  Like a circuit breaker it opens (a pause, longer each round), lets one call
at a time through to find out, and closes again with the first answer; or it gives the provider up for this run.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from enum import StrEnum

from ..fault import FIREWALL, Cause, Fault, Scope
from ..job import Delivered, Job, Outcome
from .retry import Policy
from .streaks import Blocked, Denials, Fruitless, StreakVerdict

#: So many rounds a provider that never answered may be out of reach, each after a longer pause, before it is given up.
UNREACHED_ROUNDS = 10
#: So many times in a row a provider may take a call and not answer.  After the first, one call at a time goes out.
DOUBT_ROUNDS = 3
#: Rounds out of reach from which on one call at a time goes out.
PROBE_ROUNDS = 3
#: So many errors in a row, of so many jobs, are trouble of the provider, not of a job.
ERRORS, ERROR_JOBS = 10, 5
#: So many jobs, the first of all, that are refused in the same words: a mistake in the settings, not in the jobs.
ALIKE_JOBS = 5


class Closure(StrEnum):
    """Why a lane takes no more jobs in this run."""

    MONEY = "money"  #: the provider says that the account cannot pay
    DENIED = "denied"  #: key or path refused, or every job in the same way
    DOWN = "down"  #: out of reach, out of order or too busy for too long, or out of reach for good
    DOUBT = "doubt"  #: takes calls and does not answer: each may cost money
    NO_IMAGE = "no-image"  #: takes money and sends no image, whatever the job
    BUDGET = "budget"  #: the next call might overstep the user's own cap


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the lane: closed, or closed for one model, or paused for so many seconds, or none of it."""

    close: Closure | None = None
    pause: float | None = None
    model: str | None = None  #: the model that is denied to the account
    why: Fault | None = None  #: what closed it, where that is more than the last outcome


_NOTHING = Verdict()
#: Who is busy may still be busy after these.
_TELLS_NOTHING_NEW = (Cause.THROTTLED, Cause.UNREACHED, Cause.UNKNOWN)


@dataclass(kw_only=True, slots=True)
class Breaker:
    """How a provider has been doing.  Times are seconds on one clock, of any origin."""

    policy: Policy
    misses: int = 0  #: rounds in a row in which it was out of reach
    doubts: int = 0  #: rounds in a row in which nobody knows what became of a call
    since: float | None = None  #: when it stopped taking calls; None: it takes them
    _silent: float | None = None  #: since when it neither did nor refused anything
    throttles: int = 0  #: rounds in a row in which it asked for a pause
    _heard: bool = False  #: it answered a call of this run
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
        """Return whether a call that is in flight is one that it took: what it refuses comes back at once."""
        return not (self.misses or self.doubts or self.troubled or self.suspected)

    @property
    def probing(self) -> bool:
        """Return whether one call at a time is enough to find out how it is doing."""
        return self.doubts > 0 or self.misses >= PROBE_ROUNDS or self.troubled or self.suspected

    @property
    def suspected(self) -> bool:
        """Return whether the next call decides if the lane closes."""
        return self._fruitless.suspected_at is not None or self._denials.suspected_at is not None

    @property
    def fruitless(self) -> AbstractSet[int]:
        """Return the jobs that were paid for without an image: one more call for any other tells more."""
        return self._fruitless.tried

    def alone(self, job: int) -> bool:
        """Return whether the last denial was one of *job* alone: the provider takes others."""
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
        """Take note of how a call for *job*, as it was claimed, ended at *now*; *spread* in [0, 1) sets pauses apart.

        *paused*: the lane pauses already.  Calls in flight meet the same weather: they are one round, not many.
        *sent_at*: when the call went out; None: just now.
        """
        sent_at = now if sent_at is None else sent_at
        if isinstance(outcome, Delivered):
            return self._delivered(sent_at)
        fault, first = outcome.fault, not paused
        self._own = None
        self.doubts = self.doubts if fault.cause is Cause.UNKNOWN else 0
        self._busy = self._busy if fault.cause in _TELLS_NOTHING_NEW else None
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
                return self._in_doubt(fault, now, spread, first)
            case Cause.ERROR:
                return self._error(job, fault, now, spread, first)
        return self._answered(job, fault, now, sent_at)

    def _answered(self, job: Job, fault: Fault, now: float, sent_at: float) -> Verdict:
        """Take note of an answer about one job: refused, invalid, or without an image that can be used."""
        self._recover()
        if fault.cause is Cause.REFUSED and fault.code == FIREWALL:
            return self._turned_away(job, fault)
        self._blocked.clear()
        if fault.cause is Cause.INVALID:
            return self._refused(job.id, fault)
        self._refusals = None
        self._denials.worked(sent_at)  # who answers like this takes the key
        return _NOTHING if fault.cause is Cause.REFUSED else self._no_image(job, fault, now, sent_at)

    def unreadable(self, job: Job, fault: Fault, now: float, sent_at: float) -> Verdict:
        """Take note of an answer for *job* that was paid for and could not be read: *fault* says why."""
        self._recover()
        self._busy = None
        self._blocked.clear()
        self._denials.worked(sent_at)
        return self._no_image(job, fault, now, sent_at)

    def _delivered(self, sent_at: float) -> Verdict:
        self._recover()
        self._refusals = self._busy = self._own = None
        self._fruitless.clear()
        self._blocked.clear()
        self._denials.worked(sent_at)
        return _NOTHING

    def _denied(self, job: Job, fault: Fault, now: float, sent_at: float, spread: float) -> Verdict:
        if fault.scope is not Scope.ACCOUNT:
            self._recover()
            return Verdict(model=job.task.model) if fault.scope is Scope.MODEL else self._turned_away(job, fault)
        finding = self._denials.note(job.id, now, sent_at)
        if finding is StreakVerdict.CONFIRMED:
            return Verdict(close=Closure.DENIED)
        self._stopped(now)
        self._own = job.id if finding is StreakVerdict.OWN else None
        return Verdict(pause=self._pause(fault, 1, spread))

    def _turned_away(self, job: Job, fault: Fault) -> Verdict:
        if self._blocked.note(job.id) is not StreakVerdict.CONFIRMED:
            return _NOTHING
        return Verdict(close=Closure.DENIED, why=replace(fault, message=self._blocked.message(fault.message)))

    def _no_image(self, job: Job, fault: Fault, now: float, sent_at: float) -> Verdict:
        if self._fruitless.note(job.id, now, sent_at) is not StreakVerdict.CONFIRMED:
            return _NOTHING
        return Verdict(close=Closure.NO_IMAGE, why=replace(fault, message=self._fruitless.message(fault.message)))

    def _throttled(self, fault: Fault, now: float, spread: float, first: bool) -> Verdict:
        self._stopped(now)
        self.misses, self._silent, self._heard = 0, None, True
        self.throttles += first
        pause = self._pause(fault, self.throttles, spread)
        if fault.retry_after is not None:  # who says how long is waited for
            self._busy = None
        elif self._busy is None:
            self._busy = now
        elif now - self._busy >= self.policy.patience:
            return Verdict(Closure.DOWN, pause)
        return Verdict(pause=pause)

    def _recover(self) -> None:
        self.misses = self.doubts = self.throttles = self._errors = self._rounds = 0
        self.since = self._silent = None
        self._heard = True
        self._failing.clear()

    def _stopped(self, now: float) -> None:
        self.since = now if self.since is None else self.since

    def _unreached(self, fault: Fault, now: float, spread: float, first: bool) -> Verdict:
        self._stopped(now)
        self._silent = now if self._silent is None else self._silent
        self.misses += first
        given_up = self._given_up(now) if self._heard else self.misses >= UNREACHED_ROUNDS
        return Verdict(Closure.DOWN if given_up or fault.final else None, self._pause(fault, self.misses, spread))

    def _in_doubt(self, fault: Fault, now: float, spread: float, first: bool) -> Verdict:
        self._stopped(now)
        self.doubts += first
        close = Closure.DOUBT if self.doubts >= DOUBT_ROUNDS else None
        return Verdict(close, self._pause(fault, self.doubts, spread))

    def _error(self, job: Job, fault: Fault, now: float, spread: float, first: bool) -> Verdict:
        self.misses, self._heard = 0, True
        self._errors += 1
        if job.tries == 1:  # a job that failed before says nothing of others
            self._failing.add(job.id)
        if not self.troubled:
            return _NOTHING
        self._stopped(now)
        self._silent = now if self._silent is None else self._silent
        self._rounds += first
        return Verdict(Closure.DOWN if self._given_up(now) else None, self._pause(fault, self._rounds, spread))

    def _refused(self, job: int, fault: Fault) -> Verdict:
        if self._refusals is None:
            return _NOTHING
        alike = self._refusals.setdefault((fault.status, fault.code, fault.message), set())
        alike.add(job)
        return Verdict(close=Closure.DENIED) if len(alike) >= ALIKE_JOBS else _NOTHING

    def _given_up(self, now: float) -> bool:
        return self._silent is not None and now - self._silent >= self.policy.patience

    def _pause(self, fault: Fault, number: int, spread: float) -> float:
        return fault.retry_after if fault.retry_after is not None else self.policy.backoff(max(1, number), spread)
