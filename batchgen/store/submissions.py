"""Submissions: files of calls that a provider answers within a day. SQL on an open transaction.

Each step of a submission is committed before the next one begins, so that the next run knows what may exist at the
provider: ``building`` (nothing does), ``submitting`` (perhaps), ``submitted`` (it does), ``downloaded`` (its files are
on this disk), ``collected`` (every call is settled) or ``released`` (nothing of it was carried out).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, or_, select, update

from ..errors import StaleClaim
from ..job import Job
from .records import AttemptRecord
from .rows import listed, listed_texts, to_attempt, to_job
from .shared_tables import runners
from .submission_table import submissions
from .tables import OPEN, attempts, batches, jobs, runs


class SubmissionState(StrEnum):
    """How far a submission is."""

    BUILDING = "building"  #: its calls are being claimed and its file uploaded: nothing of it can be carried out
    SUBMITTING = "submitting"  #: its batch may exist at the provider
    SUBMITTED = "submitted"  #: its batch exists at the provider
    DOWNLOADED = "downloaded"  #: its results are on the disk of its run
    COLLECTED = "collected"  #: all its calls are settled
    RELEASED = "released"  #: given up before it was carried out: nothing was charged


#: States in which calls are still to be settled.
LIVE = (
    SubmissionState.BUILDING,
    SubmissionState.SUBMITTING,
    SubmissionState.SUBMITTED,
    SubmissionState.DOWNLOADED,
)
#: How the message of a submission begins that the provider was asked to cancel.
_CANCELLATION = "cancellation requested"


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """A submission as the job database stores it."""

    id: str  #: 32 hex digits; also in the metadata of its batch at the provider
    batch_id: int
    run_id: str  #: that has it in hand
    provider: str
    account: str | None = None
    endpoint: str
    model: str
    state: SubmissionState = SubmissionState.BUILDING
    body_sha256: str | None = None  #: of the uploaded file
    input_file: str | None = None  #: the provider's id of that file
    remote_id: str | None = None  #: the provider's id of the batch
    created_at: datetime
    submitted_at: datetime | None = None
    deadline_at: datetime | None = None  #: when the provider gives up what is not done
    collect_by: datetime | None = None  #: when its results vanish at the provider
    counts: Mapping[str, int] = field(default_factory=dict)  #: as the provider states them: for display only
    output_file: str | None = None
    error_file: str | None = None
    polled_at: datetime | None = None
    message: str | None = None

    @property
    def is_live(self) -> bool:
        """Return whether calls of it are still to be settled."""
        return self.state in LIVE

    @property
    def cancellation(self) -> str | None:
        """Return the message that its cancellation was requested; None if that is not recorded."""
        return self.message if self.message is not None and self.message.startswith(_CANCELLATION) else None


def add(connection: Connection, submission: Submission) -> None:
    """Add a submission that is being built."""
    connection.execute(insert(submissions), _row(submission))


def change(connection: Connection, *, before: Submission, after: Submission) -> Submission:
    """Commit a step of a submission; raise StaleClaim if another run has changed it meanwhile."""
    values = _row(after)
    changed = {name: value for name, value in values.items() if value != _row(before)[name]}
    if not changed:
        return after
    current = update(submissions).where(submissions.c.id == before.id, submissions.c.run_id == before.run_id)
    current = current.where(submissions.c.state == before.state.value)
    if connection.execute(current.values(**changed)).rowcount != 1:
        raise StaleClaim(f"submission {before.id} was changed by another run")
    return after


def note_cancellation(connection: Connection, *, submission_id: str) -> None:
    """Record that the provider was asked to cancel a batch, unless it has ended meanwhile."""
    asked = update(submissions).where(submissions.c.id == submission_id)
    asked = asked.where(submissions.c.state == SubmissionState.SUBMITTED.value)
    connection.execute(asked.values(message=f"{_CANCELLATION}: what is carried out by then is collected"))


def take_over(connection: Connection, *, batch_id: int, run_id: str) -> list[Submission]:
    """Return the live submissions of a batch that no other living runner has in hand; they are *run_id*'s now."""
    others = select(runners.c.id).where(runners.c.id != run_id)
    free = update(submissions).where(submissions.c.batch_id == batch_id, submissions.c.state.in_(LIVE))
    connection.execute(free.where(submissions.c.run_id.not_in(others)).values(run_id=run_id))
    return _selected(connection, submissions.c.batch_id == batch_id, submissions.c.run_id == run_id, live=True)


def of_batch(connection: Connection, batch_id: int, *, live: bool = False) -> list[Submission]:
    """Return the submissions of a batch, oldest first; with *live*, only those with calls that are not settled."""
    return _selected(connection, submissions.c.batch_id == batch_id, live=live)


def ended(connection: Connection, ids: Sequence[str]) -> list[str]:
    """Return which of *ids* are submissions whose calls are all settled, of whatever batch."""
    wanted = select(submissions.c.id).where(submissions.c.id.in_(listed_texts(ids)))
    return list(connection.execute(wanted.where(submissions.c.state.not_in(LIVE))).scalars())


def find(connection: Connection, batch_id: int, start: str) -> list[Submission]:
    """Return the submissions of a batch whose id, or whose id at the provider, begins with *start*."""
    ids = (submissions.c.id, submissions.c.remote_id)
    of = or_(*(func.substr(column, 1, len(start)) == start for column in ids))
    return _selected(connection, submissions.c.batch_id == batch_id, of)


def known(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Return which of *ids* are those of submissions."""
    found = select(submissions.c.id).where(submissions.c.id.in_(listed_texts(ids)))
    return set(connection.execute(found).scalars())


def open_calls(connection: Connection, submission_id: str) -> list[tuple[Job, AttemptRecord]]:
    """Return the calls of a submission that are not settled, with their jobs, in the order of its file."""
    calls = select(attempts, runs.c.spool).outerjoin(runs, runs.c.id == attempts.c.run_id)
    calls = calls.where(attempts.c.submission_id == submission_id, OPEN)
    records = [to_attempt(row) for row in connection.execute(calls).mappings()]
    wanted = select(jobs, batches.c.name.label("batch_name")).join(batches)
    owners = {record.job_id: record for record in records}
    rows = connection.execute(wanted.where(jobs.c.id.in_(listed(owners))))
    return sorted(((to_job(row, row.batch_name), owners[row.id]) for row in rows), key=lambda call: call[1].id)


def sent_calls(connection: Connection, submission: Submission) -> list[str]:
    """Return the ids of all calls in the file of a submission: those that had not ended when it was submitted."""
    ids = select(attempts.c.id).where(attempts.c.submission_id == submission.id)
    if submission.submitted_at is not None:
        ids = ids.where(or_(attempts.c.ended_at.is_(None), attempts.c.ended_at >= submission.submitted_at))
    return list(connection.execute(ids.order_by(attempts.c.id)).scalars())


def open_counts(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """Return how many calls of each submission are not settled."""
    left = select(attempts.c.submission_id, func.count()).where(attempts.c.submission_id.in_(listed_texts(ids)))
    left = left.where(OPEN).group_by(attempts.c.submission_id)
    return {row[0]: row[1] for row in connection.execute(left)}


def _selected(connection: Connection, *where: Any, live: bool = False) -> list[Submission]:  # noqa: ANN401 - clauses
    wanted = select(submissions).where(*where).order_by(submissions.c.created_at, submissions.c.id)
    if live:
        wanted = wanted.where(submissions.c.state.in_(LIVE))
    return [_submission(row) for row in connection.execute(wanted).mappings()]


def _submission(row: RowMapping) -> Submission:
    facts = dict(row) | {"state": SubmissionState(row["state"]), "counts": json.loads(row["counts"] or "{}")}
    return Submission(**facts)


def _row(submission: Submission) -> dict[str, Any]:
    row = asdict(replace(submission, counts=dict(submission.counts)))
    return row | {"state": submission.state.value, "counts": json.dumps(row["counts"]) if row["counts"] else None}
