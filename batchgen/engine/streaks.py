"""Streaks of bad outcomes: several jobs in a row that ended alike, which may be the account's fault. No clock.

One odd job is no reason to close a lane, so each streak needs several jobs, or a second call to confirm. Calls that
were in flight when the suspicion arose prove nothing: only one sent later can confirm it.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import Enum, auto

#: So many different jobs in a row that were paid for without an image are suspect; one more call decides.
FRUITLESS_JOBS = 3
#: If a firewall refuses so many different jobs in a row, it refuses this client and not the prompts.
BLOCKED_JOBS = 3


class StreakVerdict(Enum):
    """Conclusion from one more outcome."""

    NOTHING = auto()
    SUSPECT = auto()  #: one more call decides
    CONFIRMED = auto()
    OWN = auto()  #: the job's own problem: others got through meanwhile


@dataclass(kw_only=True, slots=True)
class Fruitless:
    """Answers in a row that were paid for and held no usable image."""

    answers: int = 0
    jobs: set[int] = field(default_factory=set)
    odd: set[int] = field(default_factory=set)  #: jobs without one before, after which others got theirs
    suspected_at: float | None = None

    def note(self, job: int, now: float, sent_at: float) -> StreakVerdict:
        """Record one more, to a call sent at *sent_at*."""
        if job in self.odd and self.suspected_at is None:
            return StreakVerdict.NOTHING
        self.answers += 1
        self.jobs.add(job)
        if self.suspected_at is not None:
            return StreakVerdict.CONFIRMED if sent_at >= self.suspected_at else StreakVerdict.SUSPECT
        if len(self.jobs) < FRUITLESS_JOBS:
            return StreakVerdict.NOTHING
        self.suspected_at = now
        return StreakVerdict.SUSPECT

    def clear(self) -> None:
        """Start over: an image came."""
        self.answers, self.suspected_at = 0, None
        self.odd |= self.jobs
        self.jobs.clear()

    @property
    def tried(self) -> AbstractSet[int]:
        """Return the jobs whose next answer proves less than that of any other job."""
        return self.jobs if self.suspected_at is None else self.jobs | self.odd

    def message(self, words: str) -> str:
        """Return the streak as a sentence; *words* is the provider's last message."""
        return f"{self.answers} answers in a row, to {len(self.jobs)} jobs, brought no image; the last: {words}"


@dataclass(kw_only=True, slots=True)
class Blocked:
    """Jobs in a row that were refused before the provider looked at them."""

    jobs: set[int] = field(default_factory=set)

    def note(self, job: int) -> StreakVerdict:
        """Record one more."""
        self.jobs.add(job)
        return StreakVerdict.CONFIRMED if len(self.jobs) >= BLOCKED_JOBS else StreakVerdict.NOTHING

    def clear(self) -> None:
        """Start over: a job got through."""
        self.jobs.clear()

    def message(self, words: str) -> str:
        """Return the streak as a sentence; *words* is the provider's last message."""
        return f"{len(self.jobs)} jobs in a row were blocked; the last: {words}"


@dataclass(kw_only=True, slots=True)
class Denials:
    """Denied calls of an account whose earlier calls in this run were carried out."""

    suspected_at: float | None = None
    _worked: bool = False  #: a call was carried out in this run
    _asked_again: set[int] = field(default_factory=set)  #: jobs denied since
    _overtaken: set[int] = field(default_factory=set)  #: jobs denied before, and one sent later got through

    def note(self, job: int, now: float, sent_at: float) -> StreakVerdict:
        """Record a denied call of *job* that was sent at *sent_at*."""
        own = job in self._overtaken
        if not self._worked or (self.suspected_at is not None and sent_at >= self.suspected_at and not own):
            return StreakVerdict.CONFIRMED
        if self.suspected_at is None:
            self.suspected_at = now
        if own:
            return StreakVerdict.OWN
        self._asked_again.add(job)
        return StreakVerdict.SUSPECT

    def worked(self, sent_at: float) -> None:
        """Record a call sent at *sent_at* that was carried out, with an image or without."""
        self._worked = True
        if self.suspected_at is not None and sent_at >= self.suspected_at:
            self.suspected_at = None
            self._overtaken |= self._asked_again
            self._asked_again.clear()
