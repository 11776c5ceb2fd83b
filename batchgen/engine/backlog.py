"""Backlog: the due jobs of one provider, which its lanes and those of other providers take.

Only a page of them is in memory, never the whole table. New jobs and retries are separate: a retry goes first when
its time has come, but only so often that new jobs are sent as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from anyio import Lock

from ..job import Delivery, Job, Settlement
from ..store.records import DueFilter

#: After a retry, so many new jobs go before the next retry, if there are any.
NEW_PER_RETRY = 1
#: Jobs that have been in memory for so long are looked up again: they may have been cancelled.
STALE = timedelta(seconds=30)

#: Returns the wanted jobs that are due at a time, in order.
Lookup = Callable[[DueFilter, datetime], Awaitable[list[Job]]]
#: Returns when the first retry is due; None: there is none.
NextRetry = Callable[[DueFilter], Awaitable[datetime | None]]


class BacklogState(Enum):
    """What is known of the job database beyond the jobs in memory."""

    UNREAD = auto()  #: neither new jobs nor the time of the first retry
    MORE = auto()  #: there may be more new jobs
    DRY = auto()  #: there are no more new jobs


@dataclass(kw_only=True, slots=True)
class Backlog:
    """The jobs of one provider that are left to do, in order."""

    wanted: DueFilter
    lookup: Lookup
    next_retry: NextRetry
    in_flight: set[int]  #: ids of jobs that a lane took and has not settled; one set for all backlogs of a run
    retry_at: datetime | None = None  #: when the first retry that is not in memory is due; None: there is none
    state: BacklogState = BacklogState.UNREAD
    _new: dict[int, Job] = field(default_factory=dict)
    _retries: dict[int, Job] = field(default_factory=dict)
    _returned_for: datetime | None = None  #: earliest time of a job that was returned since retries were read last
    _new_since_retry: int = NEW_PER_RETRY
    _read_at: datetime | None = None
    _filling: Lock = field(default_factory=Lock)

    async def first(self, now: datetime, may: Callable[[Job], bool], *, far: bool = False) -> Job | None:
        """Return the next due job that the caller *may* take; it remains here until ``take``.

        *far*: rather a job far from the previous ones, to distinguish trouble of the provider from that of a few jobs.
        """
        if self._filling.locked() or self._needs_reading(now):
            async with self._filling:
                await self._fill(now)
        retry = next(filter(may, self._retries.values()), None)
        new = next(filter(may, reversed(self._new.values()) if far else self._new.values()), None)
        if far and new is not None:
            return new
        if retry is not None and (new is None or self._new_since_retry >= NEW_PER_RETRY):
            return retry
        return new

    def holds(self, job: Job) -> bool:
        """Return whether *job* is still here as ``first`` returned it, so that no other lane took it."""
        return job is self._new.get(job.id) or job is self._retries.get(job.id)

    def take(self, job: Job) -> None:
        """Remove a job that ``first`` returned."""
        self._new_since_retry = 0 if job.id in self._retries else self._new_since_retry + 1
        self.forget(job.id)

    def forget(self, number: int) -> None:
        """Remove a job that another lane took."""
        self._new.pop(number, None)
        self._retries.pop(number, None)

    def returned(self, not_before: datetime | None) -> None:
        """Record that a job is pending again, at once or from *not_before* on."""
        if not_before is not None:
            self._wait_until(not_before)
        elif self.state is BacklogState.DRY:
            self.state = BacklogState.MORE

    def reread(self) -> None:
        """Record that jobs may have become due, at once or later, which are not in memory."""
        self.state = BacklogState.UNREAD

    @property
    def empty(self) -> bool:
        """Return whether no job is pending, as far as this run knows; never while the table is read."""
        is_read = self.state is BacklogState.DRY and not self._filling.locked()
        return is_read and self.retry_at is None and not self.has_due

    @property
    def more_at(self) -> datetime | None:
        """Return when to look up retries beyond those in memory; None: not before something changes."""
        return None if self._retries else self.retry_at

    @property
    def has_due(self) -> bool:
        """Return whether due jobs are in memory."""
        return bool(self._new or self._retries)

    def _needs_reading(self, now: datetime) -> bool:
        """Return whether the job database may hold jobs that should be in memory."""
        if self.state is BacklogState.UNREAD or self._is_stale(now):
            return True
        if not self._new and self.state is BacklogState.MORE:
            return True
        return not self._retries and self.retry_at is not None and self.retry_at <= now

    def _is_stale(self, now: datetime) -> bool:
        return self._read_at is not None and now - self._read_at > STALE and self.has_due

    async def _fill(self, now: datetime) -> None:
        """Read the job database where nothing is in memory; jobs may be returned during each read."""
        if self._is_stale(now):
            self.state = BacklogState.UNREAD
            self._new.clear()
            self._retries.clear()
        if self.state is BacklogState.UNREAD:
            self._wait_until(await self.next_retry(self._wanted(waiting=True)))
            self.state = BacklogState.MORE
        if not self._new and self.state is BacklogState.MORE:
            self.state, self._read_at = BacklogState.DRY, now  # A job that is returned meanwhile sets it to MORE.
            jobs = await self.lookup(self._wanted(waiting=False), now)
            self._new |= self._available(jobs)
            if jobs:
                self.state = BacklogState.MORE
        if not self._retries and self.retry_at is not None and self.retry_at <= now:
            self._returned_for = None
            jobs = await self.lookup(self._wanted(waiting=True), now)
            next_retry = await self.next_retry(self._wanted(waiting=True))
            self._retries |= self._available(jobs)
            self.retry_at = _earlier(next_retry, self._returned_for)

    def _wait_until(self, moment: datetime | None) -> None:
        self.retry_at = _earlier(self.retry_at, moment)
        self._returned_for = _earlier(self._returned_for, moment)

    def _wanted(self, *, waiting: bool) -> DueFilter:
        return replace(self.wanted, waiting=waiting)

    def _available(self, jobs: list[Job]) -> dict[int, Job]:
        return {job.id: job for job in jobs if job.id not in self.in_flight}


def are_left(backlogs: Mapping[str, Sequence[Backlog]], lanes: Container[str]) -> bool:
    """Return whether these *lanes* have jobs left, which others may wait for; *backlogs* are those of each lane."""
    return any(not backlog.empty for name, of_lane in backlogs.items() if name in lanes for backlog in of_lane)


def look_again(
    backlogs: Mapping[str, Sequence[Backlog]],
    chained: bool,
    wake: Callable[[], None],
    _lane: object,
    _opened: object,
    settlement: Settlement | None,
) -> None:
    """Let lanes look up due jobs again after a settlement that may have made some due."""
    if may_make_due(chained, settlement):
        for backlog in (each for of_lane in backlogs.values() for each in of_lane):
            backlog.reread()
        wake()


def may_make_due(chained: bool, settlement: Settlement | None) -> bool:
    """Return whether jobs may have become due that no backlog has.

    If jobs are *chained*, others may have waited for one that is done. A call of a submission may be pending again, and
    so may a job that the user has changed while it was in flight.
    """
    if settlement is None or settlement.revised:
        return settlement is not None
    is_done = isinstance(settlement.event, Delivery)
    return chained if is_done else settlement.attempt.submission is not None


def _earlier(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)
