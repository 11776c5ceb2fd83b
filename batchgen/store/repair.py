"""Setting the job table right: what a person decided, and what traces on disk tell.  SQL on an open transaction."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, exists, func, insert, select, update

from ..errors import NotFound, StaleClaim
from ..fault import Cause, Charged
from ..fingerprint import unchanged
from ..job import Adopted, Cancelled, Claimed, Job, State, Supplied, advance
from ..route import askable
from ..task import Artifact, Basis
from .compare_and_set import swap
from .records import RecoveredAttempt, RecoveryCounts, UnknownAttempt
from .rows import encode_task, to_job
from .tables import artifacts, attempts, jobs, ledger

#: The run of attempts that no run of this table made.
RECOVERED = "recovered"
#: What the row of an attempt says whose file a person brought.
BROUGHT = "a person brought the file"


# --- what a person decided ----------------------------------------------------


def drop(connection: Connection, *, before: Job, after: Job, free: bool, now: datetime) -> Job:
    """Give a job up; *free*: its calls in doubt were looked up and not charged."""
    swap(connection, before, after, now)
    if free:
        nothing = {"usd": 0, "credits": None, "basis": Basis.PRICED.value, "charged": Charged.NO.value}
        released = update(ledger).where(ledger.c.attempt_id.in_(select(attempts.c.id).where(*_doubtful(before.id))))
        connection.execute(released.values(**nothing, at_risk_usd=None, at_risk_credits=None))
    return after


def cancel(connection: Connection, *, wanted: Sequence[Job], now: datetime) -> list[Job]:
    """Cancel those of *wanted* that are still as they were seen, and return them as they were."""
    cancelled = []
    for before in wanted:
        with suppress(StaleClaim):
            swap(connection, before, advance(before, Cancelled(at=now)), now)
            cancelled.append(before)
    return cancelled


def adopt(connection: Connection, *, before: Job, attempt_id: str, file: Artifact, now: datetime) -> Job:
    """Take a file in that a person brought for *before*; *attempt_id* is the call that made it, or a new one."""
    batch_id = connection.execute(select(jobs.c.batch_id).where(jobs.c.id == before.id)).scalar_one()
    row = connection.execute(select(attempts).where(attempts.c.id == attempt_id)).one_or_none()
    if row is None:
        # batchgen made no call that could have brought it, so none that cost anything
        _insert_attempt(
            connection, before, attempt_id, state="delivered", started_at=now, ended_at=now, message=BROUGHT
        )
        free = {"usd": 0, "basis": Basis.PRICED.value, "charged": Charged.NO.value, "images": 1}
        _insert_ledger(connection, batch_id, before, attempt_id, now, **free)
    else:
        brought = {"state": "delivered", "cause": None, "message": BROUGHT}
        connection.execute(update(attempts).where(attempts.c.id == attempt_id).values(**brought))
        _settle_doubt(connection, row)
    after = _counted(connection, before, file, now)
    if after is None:
        raise NotFound(f"job {before.key} is {before.state} and lacks no file")
    _insert_artifact(connection, before.id, attempt_id, file, now, superseded_at=None)
    return after


def _settle_doubt(connection: Connection, attempt: Row[Any]) -> None:
    """Book a call in doubt as what it was estimated to cost: its file is there, so it was carried out."""
    row = connection.execute(select(ledger).where(ledger.c.attempt_id == attempt.id)).one()
    facts: dict[str, Any] = {"images": row.images + 1, "charged": Charged.YES.value}
    if row.charged == Charged.MAYBE.value:
        facts |= {"at_risk_usd": None, "at_risk_credits": None}
        if row.credits is None:
            facts["credits"] = attempt.estimate_credits
        if row.usd is None:
            known = attempt.estimate_usd is not None
            facts["usd"] = attempt.estimate_usd
            facts["basis"] = (Basis.ESTIMATED if known else Basis.UNKNOWN).value
    elif row.charged == Charged.NO.value:
        del facts["charged"]
    connection.execute(update(ledger).where(ledger.c.id == row.id).values(**facts))


def _doubtful(job_id: int) -> tuple[ColumnElement[bool], ...]:
    """Select a job's calls whose charge nobody knows."""
    row = ledger.alias()
    booked = (row.c.attempt_id == attempts.c.id, row.c.charged == Charged.MAYBE.value, row.c.usd.is_(None))
    return attempts.c.job_id == job_id, attempts.c.cause == Cause.UNKNOWN.value, exists().where(*booked)


# --- what traces on disk tell -------------------------------------------------


def take_in(
    connection: Connection, *, batch_id: int, traces: Sequence[RecoveredAttempt], last: bool, now: datetime
) -> tuple[RecoveryCounts, list[RecoveredAttempt]]:
    """Take in what the table does not know; return what that was, and the files that wait for one before them.

    *last*: nothing comes after, so what still waits is kept without counting.
    """
    total, waiting = RecoveryCounts(), []
    for trace in traces:
        intake, waits = _take_in(connection, batch_id, trace, last, now)
        total += intake
        if waits:
            waiting.append(trace)
    return total, waiting


def _take_in(
    connection: Connection, batch_id: int, trace: RecoveredAttempt, last: bool, now: datetime
) -> tuple[RecoveryCounts, bool]:
    job = _job(connection, batch_id, trace, now)
    known = connection.execute(select(attempts.c.state).where(attempts.c.id == trace.id)).one_or_none()
    intake = RecoveryCounts()
    if known is None:
        if trace.live and _may_revive(job, trace):
            return _revive(connection, job, trace, now), False
        intake += _book(connection, batch_id, job, trace)
        if trace.file is not None and _same(job, trace) and job.state is State.PENDING:
            # its number stands behind the call that was made for it
            after = replace(job, claim=max(job.claim + 1, trace.claim))
            swap(connection, job, after, now)
            job = after
    if trace.file is None or _has(connection, job.id, trace.id, trace.file.ordinal):
        return intake, False
    placed, waits = _place(connection, job, trace, trace.file, last, now)
    return intake + placed, waits


def _job(connection: Connection, batch_id: int, trace: RecoveredAttempt, now: datetime) -> Job:
    """Return the trace's job; one that the manifest does not name any more is made, as an orphan, for its ledger."""
    named = select(jobs).where(jobs.c.batch_id == batch_id, jobs.c.key == trace.key)
    row = connection.execute(named).one_or_none()
    if row is None:
        task = trace.task
        facts = {
            "kind": task.kind.value,
            "provider": task.provider,
            "model": task.model,
            "task": encode_task(task),
            "fingerprint": trace.fingerprint,
            "output": trace.output,
            "wanted": trace.wanted,
            "state": State.PENDING.value,
        }
        none = dict.fromkeys(("priority", "position", "delivered", "claim", "tries", "doubts"), 0)
        dates = {"orphaned_at": now, "created_at": now, "updated_at": now}
        whole = facts | none | dates | {"batch_id": batch_id, "key": trace.key, "sidecar": True, "tags": "[]"}
        connection.execute(insert(jobs).values(**whole))
        row = connection.execute(named).one()
    return to_job(row, "")


def _may_revive(job: Job, trace: RecoveredAttempt) -> bool:
    # the slot is read by the rules of the provider that was asked
    asked = trace.task.provider in askable(job.task.provider, job.route)
    return _same(job, trace) and asked and job.state is State.PENDING


def _same(job: Job, trace: RecoveredAttempt) -> bool:
    """Tell whether a trace is of what *job* asks for now; an older version may have marked it by another rule."""
    return unchanged(trace.fingerprint, job.task, job.fingerprint)


def _revive(connection: Connection, job: Job, trace: RecoveredAttempt, now: datetime) -> RecoveryCounts:
    """Open the attempt again: whoever finishes what a killed run left will finish it from its slot."""
    before_claim = replace(job, claim=max(job.claim, trace.claim - 1))
    after = advance(before_claim, Claimed(at=now))
    swap(connection, job, after, now)
    estimates = {"estimate_usd": trace.estimate.usd, "estimate_credits": trace.estimate.credits}
    facts = {"state": "open", "started_at": trace.at, "account": trace.account}
    _insert_attempt(connection, _as_asked(after, trace), trace.id, **facts, **estimates)
    return RecoveryCounts(attempts=1, revived=1)


def _as_asked(job: Job, trace: RecoveredAttempt) -> Job:
    """Return *job* with the provider and the model that a trace's call went to."""
    return replace(job, task=replace(job.task, provider=trace.task.provider, model=trace.task.model))


def _book(connection: Connection, batch_id: int, job: Job, trace: RecoveredAttempt) -> RecoveryCounts:
    """Write the attempt and its one ledger row."""
    in_doubt = trace.cause is Cause.UNKNOWN
    job = _as_asked(job, trace)
    _insert_attempt(
        connection,
        replace(job, claim=max(job.claim, trace.claim)),
        trace.id,
        state="missed" if trace.cause else "delivered",
        started_at=trace.at,
        ended_at=trace.at,
        account=trace.account,
        cause=trace.cause.value if trace.cause else None,
        message=trace.message,
        estimate_usd=trace.estimate.usd,
        estimate_credits=trace.estimate.credits,
    )
    _insert_ledger(
        connection,
        batch_id,
        job,
        trace.id,
        trace.at,
        usd=trace.charge.usd,
        credits=trace.charge.credits,
        basis=trace.charge.basis.value,
        charged=(Charged.MAYBE if in_doubt else Charged.YES).value,
        at_risk_usd=trace.estimate.usd if in_doubt else None,
        at_risk_credits=trace.estimate.credits if in_doubt else None,
        images=trace.usage.images,
        input_tokens=trace.usage.input_tokens,
        output_tokens=trace.usage.output_tokens,
    )
    return RecoveryCounts(attempts=1, doubtful=int(in_doubt), usd=trace.charge.usd or 0)


def _has(connection: Connection, job_id: int, attempt_id: str, ordinal: int) -> bool:
    # by the job as well: that is what the index knows
    mine = (artifacts.c.job_id == job_id, artifacts.c.attempt_id == attempt_id, artifacts.c.ordinal == ordinal)
    return connection.execute(select(artifacts.c.id).where(*mine)).first() is not None


def _place(  # noqa: PLR0917 - see take_in
    connection: Connection, job: Job, trace: RecoveredAttempt, file: Artifact, last: bool, now: datetime
) -> tuple[RecoveryCounts, bool]:
    """Let the job count on a file where it can; return whether the file waits for one before it."""
    stale: datetime | None = now
    done = 0
    if _same(job, trace) and job.state not in {State.CANCELLED, State.RUNNING}:
        mine = (artifacts.c.job_id == job.id, artifacts.c.superseded_at.is_(None), artifacts.c.ordinal == file.ordinal)
        if connection.execute(update(artifacts).where(*mine).values(superseded_at=now)).rowcount:
            stale = None  # the file that lies there now is this one
        elif (after := _counted(connection, job, file, now)) is not None:
            stale, done = None, int(after.state is State.DONE and job.state is not State.DONE)
        elif not last:
            return RecoveryCounts(), True
    _insert_artifact(connection, job.id, trace.id, file, trace.at, superseded_at=stale)
    return RecoveryCounts(files=1, done=done), False


def _counted(connection: Connection, job: Job, file: Artifact, now: datetime) -> Job | None:
    """Let a job have one file more: the next it lacks, or one beyond those it wants; None where it is neither."""
    beyond = job.state is State.DONE and file.ordinal >= job.wanted
    if not beyond and (file.ordinal != job.delivered or job.state is State.DONE):
        return None
    full = not beyond and job.delivered + 1 >= job.wanted
    after = advance(job, Adopted(at=now) if full else Supplied(at=now))
    swap(connection, job, after, now)
    return after


# --- rows ---------------------------------------------------------------------


def _insert_attempt(connection: Connection, job: Job, attempt_id: str, **facts: object) -> None:
    own = {"id": attempt_id, "job_id": job.id, "claim": job.claim, "run_id": RECOVERED}
    asked = {"provider": job.task.provider, "model": job.task.model}
    connection.execute(insert(attempts).values(**own, **asked, **facts))


def _insert_ledger(
    connection: Connection, batch_id: int, job: Job, attempt_id: str, at: datetime, **facts: object
) -> None:
    own = {"attempt_id": attempt_id, "batch_id": batch_id, "run_id": RECOVERED, "at": at}
    asked = {"provider": job.task.provider, "model": job.task.model, "kind": job.task.kind.value}
    connection.execute(insert(ledger).values(**own, **asked, **facts))


def _insert_artifact(
    connection: Connection,
    job_id: int,
    attempt_id: str,
    file: Artifact,
    at: datetime,
    *,
    superseded_at: datetime | None,
) -> None:
    connection.execute(
        insert(artifacts).values(
            job_id=job_id,
            attempt_id=attempt_id,
            ordinal=file.ordinal,
            path=file.path,
            sha256=file.sha256,
            bytes=file.size_bytes,
            width=file.width,
            height=file.height,
            mime=file.mime,
            created_at=at,
            superseded_at=superseded_at,
        )
    )


def attempt_of_supplied_file(connection: Connection, job_id: int) -> str | None:
    """Return the last call of a job that may have made the file a person brings; None where there is none."""
    brought = (attempts.c.job_id == job_id, attempts.c.message == BROUGHT)
    for which in (_doubtful(job_id), brought):
        found = select(attempts.c.id).where(*which).order_by(attempts.c.claim.desc()).limit(1)
        if (attempt_id := connection.execute(found).scalar()) is not None:
            return str(attempt_id)
    return None


def unknown_attempt(connection: Connection, job_id: int) -> UnknownAttempt | None:
    """Return a job's last call in doubt with what all such calls may have cost."""
    booked = select(func.sum(ledger.c.at_risk_usd), func.sum(ledger.c.at_risk_credits))
    usd, credits_ = connection.execute(booked.select_from(attempts.join(ledger)).where(*_doubtful(job_id))).one()
    call = (attempts.c.job_id == job_id, attempts.c.cause == Cause.UNKNOWN.value)
    wanted = select(attempts.c.id, attempts.c.started_at, attempts.c.request_id)
    row = connection.execute(wanted.where(*call).order_by(attempts.c.claim.desc()).limit(1)).one_or_none()
    if row is None:
        return None
    return UnknownAttempt(
        attempt_id=row.id, started_at=row.started_at, request_id=row.request_id, usd=usd, credits=credits_
    )
