"""Repair: applies decisions of the user, and attempts recovered from disk. SQL on an open transaction."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    type_coerce,
    update,
)

from ..errors import NotFound, StaleClaim
from ..fault import Cause, Charged
from ..fingerprint import unchanged
from ..job import Adopted, Cancelled, Claimed, Job, State, Supplied, advance
from ..route import askable
from ..task import Artifact, Basis
from .compare_and_set import swap
from .dialects import Number
from .load_record import forget
from .records import RecoveredAttempt, RecoveryCounts, UnknownAttempt
from .rows import artifact_row, encode_task, to_job
from .shared_tables import shared_budgets
from .tables import EPOCH, artifacts, attempts, jobs, ledger, micros
from .totals import recount

#: The run id of attempts that were recovered from disk.
RECOVERED = "recovered"
#: The message of an attempt whose file the user supplied; stored, so it must not change.
SUPPLIED = "a person brought the file"  #: in databases of all versions, so the text stays


# --- decisions of the user ----------------------------------------------------


def drop(connection: Connection, *, before: Job, after: Job, free: bool, now: datetime) -> Job:
    """Give a job up; *free*: its unknown attempts were looked up, and were not charged."""
    swap(connection, before, after, now)
    if free:
        nothing = {"usd": 0, "credits": None, "basis": Basis.PRICED.value, "charged": Charged.NO.value}
        settled = update(ledger).where(
            ledger.c.attempt_id.in_(select(attempts.c.id).where(*_unknown_attempts(before.id)))
        )
        connection.execute(settled.values(**nothing, at_risk_usd=None, at_risk_credits=None))
        recount(connection, ledger.c.attempt_id.in_(select(attempts.c.id).where(attempts.c.job_id == before.id)))
    return after


def clamp_waits(connection: Connection, *, batch_id: int, now: datetime, longest: timedelta) -> int:
    """Shorten the waits of pending jobs that a wrong clock made too long; return how many there were.

    A job that was changed in the future, by this clock, waits as long after *now* as it should have after that change;
    no job waits longer than *longest*.
    """
    wait = func.min(func.max(_ticks(jobs.c.not_before) - _ticks(jobs.c.updated_at), 0), micros(EPOCH + longest))
    # Literals, so that SQLite uses the partial index of waiting jobs.
    waiting = text("jobs.state = 'pending' AND jobs.not_before IS NOT NULL AND jobs.orphaned_at IS NULL")
    wrong = or_(jobs.c.updated_at > now, jobs.c.not_before > now + longest)
    clamped = update(jobs).where(jobs.c.batch_id == batch_id, waiting, jobs.c.not_before > now, wrong)
    return connection.execute(clamped.values(not_before=micros(now) + wait, updated_at=now)).rowcount


def _ticks(column: ColumnElement[datetime | None]) -> ColumnElement[int]:
    """Return a time as the integer that is stored."""
    return type_coerce(column, Number)


def cancel(connection: Connection, *, wanted: Sequence[Job], now: datetime) -> list[Job]:
    """Cancel those of *wanted* that have not changed, and return them as they were."""
    cancelled = []
    for before in wanted:
        with suppress(StaleClaim):
            swap(connection, before, advance(before, Cancelled(at=now)), now)
            cancelled.append(before)
    return cancelled


def adopt(connection: Connection, *, before: Job, attempt_id: str, file: Artifact, now: datetime) -> Job:
    """Adopt a file that the user supplied for *before*; *attempt_id* is the attempt that made it, or a new id."""
    # A refusal must come before anything is written: the other commands of its group are committed.
    after = _counted(connection, before, file, now)
    if after is None:
        raise NotFound(f"job {before.key} is {before.state} and lacks no file")
    batch_id = connection.execute(select(jobs.c.batch_id).where(jobs.c.id == before.id)).scalar_one()
    row = connection.execute(select(attempts).where(attempts.c.id == attempt_id)).one_or_none()
    if row is None:
        # No attempt of batchgen can have made this file, so it cost nothing.
        _insert_attempt(
            connection, before, attempt_id, state="delivered", started_at=now, ended_at=now, message=SUPPLIED
        )
        free = {"usd": 0, "basis": Basis.PRICED.value, "charged": Charged.NO.value, "images": 1}
        _insert_ledger(connection, batch_id, before, attempt_id, now, **free)
    else:
        delivered = {"state": "delivered", "cause": None, "message": SUPPLIED}
        connection.execute(update(attempts).where(attempts.c.id == attempt_id).values(**delivered))
        _settle_unknown(connection, row)
        recount(connection, ledger.c.attempt_id == attempt_id)
    connection.execute(insert(artifacts).values(artifact_row(before.id, attempt_id, file, now, superseded_at=None)))
    return after


def _settle_unknown(connection: Connection, attempt: Row[Any]) -> None:
    """Book an unknown attempt at its estimated cost: its file exists, so it was carried out."""
    row = connection.execute(select(ledger).where(ledger.c.attempt_id == attempt.id)).one()
    facts: dict[str, Any] = {"images": row.images + 1, "charged": Charged.YES.value}
    if row.charged == Charged.MAYBE.value:
        facts |= {"at_risk_usd": None, "at_risk_credits": None}
        if row.credits is None:
            facts["credits"] = attempt.estimate_credits
        if row.usd is None:
            facts["usd"] = attempt.estimate_usd
            facts["basis"] = (Basis.UNKNOWN if attempt.estimate_usd is None else Basis.ESTIMATED).value
    elif row.charged == Charged.NO.value:
        del facts["charged"]
    connection.execute(update(ledger).where(ledger.c.id == row.id).values(**facts))


def _unknown_attempts(job_id: int) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for a job's attempts whose charge is unknown."""
    row = ledger.alias()
    booked = (row.c.attempt_id == attempts.c.id, row.c.charged == Charged.MAYBE.value, row.c.usd.is_(None))
    return attempts.c.job_id == job_id, attempts.c.cause == Cause.UNKNOWN.value, exists().where(*booked)


# --- attempts recovered from disk ---------------------------------------------


def add_recovered(
    connection: Connection, *, batch_id: int, traces: Sequence[RecoveredAttempt], last: bool, now: datetime
) -> tuple[RecoveryCounts, list[RecoveredAttempt]]:
    """Add what the database does not know; return counts, and the files that wait for an earlier one.

    *last*: no more files follow, so that files which still wait are kept as superseded.
    """
    total, waiting = RecoveryCounts(), []
    connection.execute(delete(shared_budgets))  # They are summed up again by the next claim.
    for trace in traces:
        intake, waits = _add_one(connection, batch_id, trace, last, now)
        total += intake
        if waits:
            waiting.append(trace)
    return total, waiting


def _add_one(
    connection: Connection, batch_id: int, trace: RecoveredAttempt, last: bool, now: datetime
) -> tuple[RecoveryCounts, bool]:
    job = _job(connection, batch_id, trace, now)
    existing = connection.execute(select(attempts.c.state).where(attempts.c.id == trace.id)).one_or_none()
    intake = RecoveryCounts()
    if existing is None:
        if trace.live and _may_revive(job, trace):
            return _revive(connection, job, trace, now), False
        intake += _book(connection, batch_id, job, trace)
        if trace.file is not None and _same(job, trace) and job.state is State.PENDING:
            # The claim of a job must be higher than those of its attempts.
            after = replace(job, claim=max(job.claim + 1, trace.claim))
            swap(connection, job, after, now)
            job = after
    if trace.file is None or _has(connection, job.id, trace.id, trace.file.ordinal):
        return intake, False
    placed, waits = _place(connection, job, trace, trace.file, last, now)
    return intake + placed, waits


def _job(connection: Connection, batch_id: int, trace: RecoveredAttempt, now: datetime) -> Job:
    """Return the job of a recovered attempt; create an orphaned one for its ledger if the database has none."""
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
        zeros = dict.fromkeys(("priority", "position", "delivered", "claim", "tries", "doubts"), 0)
        dates = {"orphaned_at": now, "created_at": now, "updated_at": now}
        whole = facts | zeros | dates | {"batch_id": batch_id, "key": trace.key, "sidecar": True, "tags": "[]"}
        connection.execute(insert(jobs).values(**whole))
        forget(connection, batch_id)
        row = connection.execute(named).one()
    return to_job(row, "")


def _may_revive(job: Job, trace: RecoveredAttempt) -> bool:
    # The slot must be read by the rules of the provider that was called.
    asked = trace.task.provider in askable(job.task.provider, job.route)
    return _same(job, trace) and asked and job.state is State.PENDING


def _same(job: Job, trace: RecoveredAttempt) -> bool:
    """Return whether an attempt requested what *job* requests now; its fingerprint may be by an older rule."""
    return unchanged(trace.fingerprint, job.task, job.fingerprint, trace.task)


def _revive(connection: Connection, job: Job, trace: RecoveredAttempt, now: datetime) -> RecoveryCounts:
    """Open the attempt again, so that recovery of open attempts finishes it from its slot."""
    before_claim = replace(job, claim=max(job.claim, trace.claim - 1))
    after = advance(before_claim, Claimed(at=now))
    swap(connection, job, after, now)
    estimates = {"estimate_usd": trace.estimate.usd, "estimate_credits": trace.estimate.credits}
    facts = {"state": "open", "started_at": trace.at, "account": trace.account}
    _insert_attempt(connection, _as_sent(after, trace), trace.id, **facts, **estimates)
    return RecoveryCounts(attempts=1, revived=1)


def _as_sent(job: Job, trace: RecoveredAttempt) -> Job:
    """Return *job* with the provider and model that were called."""
    return replace(job, task=replace(job.task, provider=trace.task.provider, model=trace.task.model))


def _book(connection: Connection, batch_id: int, job: Job, trace: RecoveredAttempt) -> RecoveryCounts:
    """Insert the attempt and its ledger row."""
    unknown = trace.cause is Cause.UNKNOWN
    job = _as_sent(job, trace)
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
        charged=(Charged.MAYBE if unknown else Charged.YES).value,
        at_risk_usd=trace.estimate.usd if unknown else None,
        at_risk_credits=trace.estimate.credits if unknown else None,
        images=trace.usage.images,
        input_tokens=trace.usage.input_tokens,
        output_tokens=trace.usage.output_tokens,
    )
    return RecoveryCounts(attempts=1, unknown=int(unknown), usd=trace.charge.usd or 0)


def _has(connection: Connection, job_id: int, attempt_id: str, ordinal: int) -> bool:
    # The job is part of the condition because the index is on it.
    mine = (artifacts.c.job_id == job_id, artifacts.c.attempt_id == attempt_id, artifacts.c.ordinal == ordinal)
    return connection.execute(select(artifacts.c.id).where(*mine)).first() is not None


def _place(  # noqa: PLR0917 - see add_recovered
    connection: Connection, job: Job, trace: RecoveredAttempt, file: Artifact, last: bool, now: datetime
) -> tuple[RecoveryCounts, bool]:
    """Add a file to its job if possible; return whether the file waits for an earlier one."""
    stale: datetime | None = now
    done = 0
    if _same(job, trace) and job.state not in {State.CANCELLED, State.RUNNING}:
        mine = (artifacts.c.job_id == job.id, artifacts.c.superseded_at.is_(None), artifacts.c.ordinal == file.ordinal)
        if connection.execute(update(artifacts).where(*mine).values(superseded_at=now)).rowcount:
            stale = None  # this file has replaced the one at its path
        elif (after := _counted(connection, job, file, now)) is not None:
            stale, done = None, int(after.state is State.DONE and job.state is not State.DONE)
        elif not last:
            return RecoveryCounts(), True
    connection.execute(insert(artifacts).values(artifact_row(job.id, trace.id, file, trace.at, superseded_at=stale)))
    return RecoveryCounts(files=1, done=done), False


def _counted(connection: Connection, job: Job, file: Artifact, now: datetime) -> Job | None:
    """Add a file to a job if it is the next missing one, or beyond the wanted ones; otherwise return None."""
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


def attempt_of_supplied_file(connection: Connection, job_id: int) -> str | None:
    """Return the last attempt that may have made a file which the user supplies; None if there is none."""
    supplied = (attempts.c.job_id == job_id, attempts.c.message == SUPPLIED)
    for conditions in (_unknown_attempts(job_id), supplied):
        newest = select(attempts.c.id).where(*conditions).order_by(attempts.c.claim.desc()).limit(1)
        if (attempt_id := connection.execute(newest).scalar()) is not None:
            return str(attempt_id)
    return None


def unknown_attempt(connection: Connection, job_id: int) -> UnknownAttempt | None:
    """Return the last unknown attempt of a job, with what all such attempts may have cost."""
    booked = select(func.count(), func.sum(ledger.c.at_risk_usd), func.sum(ledger.c.at_risk_credits))
    number, usd, credits_ = connection.execute(
        booked.select_from(attempts.join(ledger)).where(*_unknown_attempts(job_id))
    ).one()
    call = (attempts.c.job_id == job_id, attempts.c.cause == Cause.UNKNOWN.value)
    wanted = select(attempts.c.id, attempts.c.started_at, attempts.c.request_id)
    row = connection.execute(wanted.where(*call).order_by(attempts.c.claim.desc()).limit(1)).one_or_none()
    if row is None:
        return None
    return UnknownAttempt(
        attempt_id=row.id,
        started_at=row.started_at,
        request_id=row.request_id,
        usd=usd,
        credits=credits_,
        at_risk=number > 0,
    )
