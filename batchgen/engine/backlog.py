"""Due jobs of one provider, as one lane or several may take them: a page in memory, never the table.

Jobs that never failed and jobs that are tried again stand in rows of their own: a retry goes first when its time has
come, but only so often that new jobs get on as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from anyio import Lock

from ..job import Job
from ..store.records import DueFilter

#: After a retry, so many new jobs go before the next one, where there are any.
NEW_PER_RETRY = 1
#: What has stood in memory for so long is looked up again: somebody may have cancelled it.
STALE = timedelta(seconds=30)

#: Looks up which of the jobs wanted are due at a time, in order.
Lookup = Callable[[DueFilter, datetime], Awaitable[list[Job]]]
#: Tells when the first of the jobs that wait for their time may go; None: none waits.
NextRetry = Callable[[DueFilter], Awaitable[datetime | None]]


@dataclass(kw_only=True, slots=True)
class Backlog:
    """What is left to do of one provider's jobs, in order."""

    wanted: DueFilter
    lookup: Lookup
    next_retry: NextRetry
    under_way: set[int]  #: ids of jobs that some lane took and has not settled; one set for all backlogs of a run
    retry_at: datetime | None = None  #: when the first of those that wait may go; None: none waits
    _new: dict[int, Job] = field(default_factory=dict)
    _again: dict[int, Job] = field(default_factory=dict)
    _dry: bool = False  #: the table has no new job beyond those in memory
    _back: bool = False  #: a job came back since the table was read last
    _known: bool = False  #: ``retry_at`` was looked up
    _noted: datetime | None = None  #: the earliest time for which a job came back since retries were read last
    _since_retry: int = NEW_PER_RETRY
    _read_at: datetime | None = None
    _filling: Lock = field(default_factory=Lock)

    async def first(self, now: datetime, may: Callable[[Job], bool], *, far: bool = False) -> Job | None:
        """Return the next due job that the caller *may* take; it stays here until ``take``.

        *far*: one that stands far from those before, to tell trouble of the provider from that of a few neighbours.
        """
        async with self._filling:
            await self._fill(now)
        again = next(filter(may, self._again.values()), None)
        new = next(filter(may, reversed(self._new.values()) if far else self._new.values()), None)
        if far and new is not None:
            return new
        if again is not None and (new is None or self._since_retry >= NEW_PER_RETRY):
            return again
        return new

    def holds(self, job: Job) -> bool:
        """Return whether *job* still stands here as ``first`` returned it: nobody took it since."""
        return job is self._new.get(job.id) or job is self._again.get(job.id)

    def take(self, job: Job) -> None:
        """Take out what ``first`` returned."""
        self._since_retry = 0 if job.id in self._again else self._since_retry + 1
        self.forget(job.id)

    def forget(self, number: int) -> None:
        """Leave out a job that another lane took."""
        self._new.pop(number, None)
        self._again.pop(number, None)

    def returned(self, not_before: datetime | None) -> None:
        """Take note that a job is pending again, at once or from *not_before* on."""
        if not_before is None:
            self._dry, self._back = False, True
        else:
            self._wait_until(not_before)

    @property
    def empty(self) -> bool:
        """Return whether nothing of it is pending, as far as this run knows."""
        return self._dry and self._known and self.retry_at is None and not self.held

    @property
    def more_at(self) -> datetime | None:
        """Return when retries beyond those in memory are to be looked up; None: not before something changes."""
        return None if self._again else self.retry_at

    @property
    def held(self) -> bool:
        """Return whether due jobs are in memory."""
        return bool(self._new or self._again)

    async def _fill(self, now: datetime) -> None:
        if self._read_at is not None and now - self._read_at > STALE and self.held:
            self._dry = self._known = False
            self._new.clear()
            self._again.clear()
        # while the table is read nothing may look empty, and no job that comes back then may be missed
        if not self._known:
            self._wait_until(await self.next_retry(self._row(waiting=True)))
            self._known = True
        if not self._new and not self._dry:
            self._back, self._read_at = False, now
            found = await self.lookup(self._row(waiting=False), now)
            self._new |= self._free(found)
            self._dry = not found and not self._back
        if not self._again and self.retry_at is not None and self.retry_at <= now:
            self._noted = None
            found = await self.lookup(self._row(waiting=True), now)
            following = await self.next_retry(self._row(waiting=True))
            self._again |= self._free(found)
            self.retry_at = _earlier(following, self._noted)

    def _wait_until(self, moment: datetime | None) -> None:
        self.retry_at, self._noted = _earlier(self.retry_at, moment), _earlier(self._noted, moment)

    def _row(self, *, waiting: bool) -> DueFilter:
        return replace(self.wanted, waiting=waiting)

    def _free(self, found: list[Job]) -> dict[int, Job]:
        return {job.id: job for job in found if job.id not in self.under_way}


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)
