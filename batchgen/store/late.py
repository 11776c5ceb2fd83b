"""Late answers: to attempts that were closed as unknown, or whose jobs were cancelled. SQL on an open transaction.

A runner that was stopped for longer than its lease, and continues, has answers to attempts that another runner has
closed as unknown meanwhile. They were paid for: their cost replaces the amount at risk, and their images complete the
job, unless it has been claimed again since. So do the images of a call that was in flight when its job was cancelled.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from ..fault import Cause, Charged
from ..job import Attempt, Delivery, Incomplete, Job, PartialDelivery, Settlement, State, advance
from .compare_and_set import swap
from .rows import AttemptRow
from .settlement import artifact_rows, closed_attempt, ledger_row
from .tables import artifacts, attempts, jobs, ledger
from .totals import recount

#: What states how many images there are, and not what they cost.
_USAGE = ("images", "input_tokens", "output_tokens")
#: What the first booking of an attempt decided: a budget of a day counts it on that day.
_FIXED = ("attempt_id", "batch_id", "run_id", "provider", "model", "kind", "at")


def correct(
    connection: Connection, attempt_row: AttemptRow, batch_id: int, settlement: Settlement, now: datetime
) -> bool:
    """Book what an attempt that was closed as unknown has cost; return False if there is nothing to correct."""
    attempt_id = attempts.c.id == attempt_row.id
    facts = closed_attempt(attempt_row, settlement, now)
    booked = connection.execute(select(ledger).where(ledger.c.attempt_id == attempt_row.id)).one_or_none()
    if booked is None or facts["cause"] == Cause.UNKNOWN.value:
        return False
    row = ledger_row(attempt_row, batch_id, settlement, now)
    if booked.charged == Charged.YES.value:  # The user has looked up what it cost; the message states that.
        del facts["message"]
        changes = {name: row[name] for name in _USAGE}
    else:
        changes = {name: value for name, value in row.items() if name not in _FIXED}
    unknown = update(attempts).where(attempt_id, attempts.c.cause == Cause.UNKNOWN.value)
    if connection.execute(unknown.values(**facts)).rowcount == 0:
        return False
    connection.execute(update(ledger).where(ledger.c.id == booked.id).values(**changes))
    recount(connection, ledger.c.attempt_id == attempt_row.id)
    return True


def deliver(connection: Connection, before: Job, settlement: Settlement, now: datetime) -> Job | None:
    """Bring a job to the state that a late answer means; None if it is another's by now, and files are superseded."""
    after = job_after(before, settlement, was_unknown=before.cause == Cause.UNKNOWN.value)
    for file in artifact_rows(settlement, now, stale=after is None):
        connection.execute(insert(artifacts).values(file))
    if after is not None:
        swap(connection, before, after, now)
    return after


def is_superseded(connection: Connection, attempt: Attempt) -> bool:
    """Return whether the names of an attempt's files are another's by now.

    Its job has been claimed again or changed since, or has files that the user supplied.
    """
    columns = jobs.c.claim, jobs.c.fingerprint, jobs.c.delivered
    latest = connection.execute(select(*columns).where(jobs.c.id == attempt.job_id)).one_or_none()
    return latest is not None and tuple(latest) != (attempt.claim, attempt.fingerprint, attempt.ordinal)


def job_after(job: Job, settlement: Settlement, *, was_unknown: bool = False) -> Job | None:
    """Return a job that is not in flight after an answer to its last call; None if that concerns it no longer.

    *was_unknown*: the call was closed as unknown, and nothing was decided about the job since. Otherwise the user has
    cancelled or requeued it, and only images can change that. A job that stays cancelled keeps them, and gets no more.
    """
    attempt, event = settlement.attempt, settlement.event
    asked = job.claim, job.fingerprint, job.delivered
    if asked != (attempt.claim, attempt.fingerprint, attempt.ordinal):
        return None
    if job.state not in {State.UNKNOWN, State.PENDING, State.FAILED, State.CANCELLED}:
        return None
    is_cancelled = job.state is State.CANCELLED
    has_images = isinstance(event, Delivery | PartialDelivery | Incomplete)
    if not has_images and (is_cancelled or not was_unknown):
        return None
    before = replace(
        job,
        state=job.state if is_cancelled else State.RUNNING,
        cause=None,
        message=None,
        not_before=None,
        unknown_attempts=max(0, job.unknown_attempts - was_unknown),
    )
    return advance(before, event)
