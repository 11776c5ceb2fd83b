"""Settling of an attempt: what it came to, in one transaction. SQL on an open transaction."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, insert

from ..errors import BatchgenError, StaleClaim
from ..job import Attempt, Job, Settlement, State, advance
from . import late
from .booking import CLOSE, book, book_without_job
from .compare_and_set import swap
from .fixed import FixedChange, FixedLookup
from .loading import Loading
from .rows import AttemptRow, JobRow, to_job
from .settlement import artifact_rows, closed_attempt, ledger_row
from .shared_budgets import SharedBudgets
from .tables import artifacts, attempts, jobs


def settle(
    connection: Connection,
    *,
    settlement: Settlement,
    loading: Loading | None,
    shared: SharedBudgets | None,
    now: datetime,
) -> Job | BatchgenError:
    """Write what an ended attempt leaves, and return its job after it; *loading* has the jobs that changed meanwhile.

    An error is returned rather than raised where the rows are to be committed all the same.
    """
    attempt, event = settlement.attempt, settlement.event
    if loading is not None:
        loading.lock(connection, attempt.key)
    row = _JOB.row(connection, {"wanted_job": attempt.job_id})
    attempt_row = _ATTEMPT.row(connection, {"wanted_attempt": attempt.id})
    if row is None or attempt_row is None:
        return book_without_job(connection, attempt_row, settlement, shared, now)
    before = to_job(row, attempt.batch)
    if attempt_row.state != "open":
        return _settle_late(connection, before, attempt_row, row.batch_id, settlement, now)
    is_current = before.state is State.RUNNING and before.claim == attempt.claim
    after = advance(before, event) if is_current else late.job_after(before, settlement)
    CLOSE.execute(connection, {"known_id": attempt_row.id} | closed_attempt(attempt_row, settlement, now))
    for file in artifact_rows(settlement, now, stale=after is None):
        _ADD_FILE.execute(connection, file)
    book(connection, attempt_row, ledger_row(attempt_row, row.batch_id, settlement, now), shared)
    if after is None:
        return _stale(before, attempt)
    swap(connection, before, after, now)
    # A job that was cancelled is not bought again as it was changed, unless a later load finds it so.
    return after if loading is None or not is_current else loading.revise_settled(connection, after, now)


def _settle_late(  # noqa: PLR0917 - see settle
    connection: Connection, before: Job, attempt_row: AttemptRow, batch_id: int, settlement: Settlement, now: datetime
) -> Job | BatchgenError:
    if not late.correct(connection, attempt_row, batch_id, settlement, now):
        return before
    return late.deliver(connection, before, settlement, now) or _stale(before, settlement.attempt)


def _stale(job: Job, attempt: Attempt) -> StaleClaim:
    return StaleClaim(f"job {job.key} is {job.state} at claim {job.claim}; attempt {attempt.id} was booked")


_JOB = FixedLookup(JobRow, jobs, jobs.c.id == bindparam("wanted_job"), locks=True)
_ATTEMPT = FixedLookup(AttemptRow, attempts, attempts.c.id == bindparam("wanted_attempt"))
_ADD_FILE = FixedChange(insert(artifacts))
