"""Late answers: what is known of an attempt after it was closed as unknown. SQL on an open transaction.

A runner that was stopped for longer than its lease, and continues, has answers to attempts that another runner has
closed as unknown meanwhile. They were paid for: their cost replaces the amount at risk, and their images complete the
job, unless it has been claimed again since.
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
    after = _after(before, settlement)
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


def _after(job: Job, settlement: Settlement) -> Job | None:
    """Return the job as it would be if the answer had come in time; None if anything else happened to it since."""
    attempt, event = settlement.attempt, settlement.event
    asked = job.claim, job.fingerprint, job.delivered
    if asked != (attempt.claim, attempt.fingerprint, attempt.ordinal):
        return None
    if job.state not in {State.UNKNOWN, State.PENDING, State.FAILED}:
        return None
    was_requeued = job.cause != Cause.UNKNOWN.value
    if was_requeued and not isinstance(event, Delivery | PartialDelivery | Incomplete):
        return None
    in_flight = replace(
        job,
        state=State.RUNNING,
        cause=None,
        message=None,
        not_before=None,
        unknown_attempts=job.unknown_attempts if was_requeued else max(0, job.unknown_attempts - 1),
    )
    return advance(in_flight, event)
