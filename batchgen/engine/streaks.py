"""What several jobs in a row, ended in the same bad way, tell of an account.  Decisions with a memory: pure, no clock.

One odd job is no reason to close a lane, so each of these asks for several jobs, or for a second call to make sure.
Calls that were in flight when the suspicion arose met the same weather: only one sent later can confirm it.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import Enum, auto

#: So many different jobs in a row without an image, though each was paid for: one more call finds out.
FRUITLESS_JOBS = 3
#: So many different jobs in a row that a firewall refused: it refuses this client, not these prompts.
BLOCKED_JOBS = 3


class StreakVerdict(Enum):
    """What one more outcome tells."""

    NOTHING = auto()
    SUSPECT = auto()  #: one more call has to go out to find out
    CONFIRMED = auto()
    OWN = auto()  #: the job's own trouble: others got through meanwhile


@dataclass(kw_only=True, slots=True)
class Fruitless:
    """Answers in a row that were paid for and held no image that can be used."""

    answers: int = 0
    jobs: set[int] = field(default_factory=set)
    odd: set[int] = field(default_factory=set)  #: jobs without one before, after which others got theirs
    suspected_at: float | None = None

    def note(self, job: int, now: float, sent_at: float) -> StreakVerdict:
        """Take note of one more, to a call sent at *sent_at*."""
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
        """Begin anew: an image came."""
        self.answers, self.suspected_at = 0, None
        self.odd |= self.jobs
        self.jobs.clear()

    @property
    def tried(self) -> AbstractSet[int]:
        """Return the jobs of which one more answer tells less than that of any other."""
        return self.jobs if self.suspected_at is None else self.jobs | self.odd

    def message(self, words: str) -> str:
        """Return them as one sentence; *words* are the provider's of the last one."""
        return f"{self.answers} answers in a row, to {len(self.jobs)} jobs, brought no image; the last: {words}"


@dataclass(kw_only=True, slots=True)
class Blocked:
    """Jobs in a row that were turned away before the provider looked at them."""

    jobs: set[int] = field(default_factory=set)

    def note(self, job: int) -> StreakVerdict:
        """Take note of one more."""
        self.jobs.add(job)
        return StreakVerdict.CONFIRMED if len(self.jobs) >= BLOCKED_JOBS else StreakVerdict.NOTHING

    def clear(self) -> None:
        """Begin anew: one got through."""
        self.jobs.clear()

    def message(self, words: str) -> str:
        """Return them as one sentence; *words* are the provider's of the last one."""
        return f"{len(self.jobs)} jobs in a row were blocked; the last: {words}"


@dataclass(kw_only=True, slots=True)
class Denials:
    """An account's calls that were denied, though others had been carried out before in this run."""

    suspected_at: float | None = None
    _worked: bool = False  #: a call was carried out in this run
    _asked_again: set[int] = field(default_factory=set)  #: jobs denied since
    _overtaken: set[int] = field(default_factory=set)  #: jobs denied before, and one sent later got through

    def note(self, job: int, now: float, sent_at: float) -> StreakVerdict:
        """Take note of a call of *job*, sent at *sent_at*, that was denied."""
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
        """Take note of a call sent at *sent_at* that was carried out, with an image or without."""
        self._worked = True
        if self.suspected_at is not None and sent_at >= self.suspected_at:
            self.suspected_at = None
            self._overtaken |= self._asked_again
            self._asked_again.clear()
