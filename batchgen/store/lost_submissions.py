"""Submissions of a lost database, taken in again from their notes. SQL on an open transaction.

Until all its calls are here, a submission is ``building``; its note stays the truth, so that a run that is cut off
meanwhile is repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from ..errors import StaleClaim
from ..job import State
from ..task import Task
from . import submissions
from .load_record import forget
from .repair import RECOVERED
from .rows import encode_task, listed_texts
from .shared_tables import runners, shared_budgets
from .submission_table import submissions as submission_table
from .submissions import Submission, SubmissionState
from .tables import artifacts, attempts, jobs, ledger
from .totals import reopen


@dataclass(frozen=True, kw_only=True, slots=True)
class SentJob:
    """A job as it was when it was claimed for a submission."""

    key: str
    task: Task
    fingerprint: str
    output: str
    sidecar: bool
    wanted: int
    delivered: int
    claim: int
    tries: int
    doubts: int  #: attempts whose outcome cannot be known


@dataclass(frozen=True, kw_only=True, slots=True)
class SentCall:
    """A call in the file of a submission."""

    id: str  #: of the attempt
    job: SentJob
    provider: str
    model: str
    mode: str
    estimate_usd: int | None
    estimate_credits: int | None
    started_at: datetime


def states(connection: Connection, ids: Sequence[str]) -> dict[str, SubmissionState]:
    """Return the states of those submissions that the database has, but those that another runner builds just now."""
    table, others = submission_table, select(runners.c.id)
    wanted = select(table.c.id, table.c.state, table.c.run_id.in_(others).label("busy"))
    rows = connection.execute(wanted.where(table.c.id.in_(listed_texts(ids)))).all()
    return {
        row.id: SubmissionState.SUBMITTING if row.busy and row.state == "building" else SubmissionState(row.state)
        for row in rows
    }


def begin(connection: Connection, submission: Submission) -> None:
    """Add a submission whose calls follow, unless it is here already."""
    known = select(submission_table.c.id).where(submission_table.c.id == submission.id)
    if connection.execute(known).first() is None:
        submissions.add(connection, replace(submission, run_id=RECOVERED, state=SubmissionState.BUILDING))
    connection.execute(delete(shared_budgets))  # They are summed up again by the next claim.
    forget(connection, submission.batch_id)


def add_calls(connection: Connection, *, submission: Submission, calls: Sequence[SentCall], now: datetime) -> int:
    """Open those of *calls* that the database lacks, and return their number; the others become calls of *submission*.

    A call that was settled before is known by its sidecar, the log or its slot.
    """
    mine = attempts.c.id.in_(listed_texts(call.id for call in calls))
    known = set(connection.execute(select(attempts.c.id).where(mine)).scalars())
    connection.execute(update(attempts).where(mine).values(submission_id=submission.id))
    lacking = [call for call in calls if call.id not in known]
    keys = listed_texts(call.job.key for call in lacking)
    rows = connection.execute(select(jobs).where(jobs.c.batch_id == submission.batch_id, jobs.c.key.in_(keys)))
    stored = {row.key: row for row in rows}
    for call in lacking:
        _open(connection, submission, call, stored.get(call.job.key), now)
    return len(lacking)


def complete(connection: Connection, submission: Submission) -> None:
    """Let a run look for the batch, now that all its calls are here; raise StaleClaim if another run has it in hand."""
    here = update(submission_table).where(submission_table.c.id == submission.id)
    here = here.where(submission_table.c.state == SubmissionState.BUILDING.value)
    facts = {
        "state": submission.state.value,
        "input_file": submission.input_file,
        "body_sha256": submission.body_sha256,
        "remote_id": submission.remote_id,
        "submitted_at": submission.submitted_at,
        "run_id": RECOVERED,
    }
    if connection.execute(here.values(**facts)).rowcount != 1:
        raise StaleClaim(f"submission {submission.id} was changed by another run")


def _open(
    connection: Connection, submission: Submission, call: SentCall, stored: Row[Any] | None, now: datetime
) -> None:
    sent = call.job
    if stored is None:
        place = {"batch_id": submission.batch_id, "key": sent.key, "priority": 0, "position": 0, "tags": "[]"}
        dates = {"orphaned_at": now, "created_at": now}
        added = insert(jobs).values(**_in_flight(sent, now), **place, **dates, delivered=sent.delivered)
        job_id = connection.execute(added.returning(jobs.c.id)).scalar_one()
    else:
        job_id = stored.id
        _put_back(connection, stored, call, now)
    facts = {
        "id": call.id,
        "job_id": job_id,
        "claim": sent.claim,
        "run_id": RECOVERED,
        "provider": call.provider,
        "model": call.model,
        "account": submission.account,
        "mode": call.mode,
        "submission_id": submission.id,
        "estimate_usd": call.estimate_usd,
        "estimate_credits": call.estimate_credits,
    }
    connection.execute(insert(attempts).values(**facts, state="open", started_at=call.started_at))


def _in_flight(sent: SentJob, now: datetime) -> dict[str, Any]:
    """Return the columns of a job whose call is out, as they were."""
    return {
        "kind": sent.task.kind.value,
        "provider": sent.task.provider,
        "model": sent.task.model,
        "task": encode_task(sent.task),
        "fingerprint": sent.fingerprint,
        "output": sent.output,
        "sidecar": sent.sidecar,
        "wanted": sent.wanted,
        "state": State.RUNNING.value,
        "cause": None,
        "message": None,
        "claim": sent.claim,
        "tries": sent.tries,
        "doubts": sent.doubts,
        "not_before": None,
        "updated_at": now,
    }


def _put_back(connection: Connection, stored: Row[Any], call: SentCall, now: datetime) -> None:
    """Bring a job back to where it was when its call was out, unless that call had ended: it is only booked then."""
    sent, this = call.job, update(jobs).where(jobs.c.id == stored.id)
    if _is_over(connection, stored, call):
        # Its next call must have a claim of its own.
        if stored.state != State.RUNNING.value and stored.claim < sent.claim:
            connection.execute(this.values(claim=sent.claim))
        return
    replaced = update(artifacts).where(artifacts.c.job_id == stored.id, artifacts.c.superseded_at.is_(None))
    connection.execute(replaced.where(artifacts.c.ordinal >= sent.delivered).values(superseded_at=now))
    if stored.provider != sent.task.provider:  # The sums of the ledger are by the provider of the job.
        reopen(connection, ledger.c.attempt_id.in_(select(attempts.c.id).where(attempts.c.job_id == stored.id)))
    delivered = min(stored.delivered, sent.delivered)
    connection.execute(this.values(**_in_flight(sent, now), delivered=delivered))


def _is_over(connection: Connection, stored: Row[Any], call: SentCall) -> bool:
    """Return whether a later call was made for the job, so that this one had ended."""
    later = (attempts.c.job_id == stored.id, attempts.c.started_at > call.started_at)
    return connection.execute(select(attempts.c.id).where(*later).limit(1)).first() is not None
