"""The one writer.  Every INSERT and UPDATE of batchgen is in this file, in ``swap`` and in ``mending``.  A doer.

Every update of a job is a compare-and-set on its id, state, claim and what else tells two forms of it apart: no
row changed means that the job moved on without us.  Verbs return when what they wrote is durable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from anyio import to_thread
from sqlalchemy import Connection, Row, bindparam, func, insert, select, text, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert as upsert

from ..errors import BatchgenError, NotFound, StaleJob
from ..job import Attempt, Cancelled, Claimed, Job, Requeued, Revised, Settlement, State, advance
from ..task import Artifact
from . import mending
from .booking import artifact_rows, closed_attempt, ledger_row
from .committer import Committer
from .rows import PLAN_COLUMNS, moving, plan_columns, to_job
from .swap import SWAP, known_as, supersede, swap
from .tables import artifacts, attempts, batches, jobs, ledger, micros, runs
from .values import Intake, Loaded, Planned, Trace

CHUNK = 5_000  #: jobs loaded in one transaction: bounds the log, and what an interruption repeats


class Writer:
    """The job table's verbs.  Have its lock (``batchgen.lock``) and ``migrate.ensure`` first."""

    def __init__(self, path: Path, *, patience: float = 120.0) -> None:
        self._line = Committer(path, patience=patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def commits(self) -> int:
        """Return how many transactions were committed."""
        return self._line.commits

    def close(self) -> None:
        """Write what still waits and end; every later call raises StoreError."""
        self._line.close()

    async def open_batch(self, name: str, manifest: str, folder: str, now: datetime) -> int:
        """Return the id of the batch *name*, made or brought up to date."""
        return await self._line.submit(partial(_open_batch, name=name, manifest=manifest, folder=folder, now=now))

    async def load(self, batch_id: int, planned: Iterable[Planned], now: datetime) -> Loaded:
        """Make the batch's jobs those of *planned*, in that order; say what that changed.

        New ones are added, changed ones revised (their files superseded), absent ones orphaned.  May be
        interrupted between chunks: loading again completes it, and nothing is orphaned before the end.
        """
        last = await self._line.submit(_last_job)
        seen = bytearray(last + 1)  # a byte a job: a set of a million ids would take 60 MB
        rest, tally = enumerate(planned), Loaded()
        while chunk := await to_thread.run_sync(lambda: list(islice(rest, CHUNK))):
            tally += await self._line.submit(partial(_merge, batch_id=batch_id, chunk=chunk, seen=seen, now=now))
        absent = await self._line.submit(partial(_absent, batch_id=batch_id, seen=seen))
        for start in range(0, len(absent), CHUNK):
            tally += await self._line.submit(partial(_orphan, ids=absent[start : start + CHUNK], now=now))
        return tally

    async def begin_run(self, run_id: str, batch_id: int, *, command: str, pid: int, host: str, now: datetime) -> None:
        """Note that a run began."""
        row = {"id": run_id, "batch_id": batch_id, "started_at": now, "pid": pid, "host": host, "command": command}
        await self._line.submit(partial(_add_run, row=row))

    async def end_run(self, run_id: str, exit_code: int, now: datetime) -> None:
        """Note how a run ended."""
        await self._line.submit(partial(_end_run, run_id=run_id, exit_code=exit_code, now=now))

    async def claim(  # noqa: PLR0917 - the order of a sentence: this job, by this attempt, for that price
        self,
        job: Job,
        attempt: Attempt,
        run_id: str,
        estimate_usd: int | None,
        estimate_credits: int | None,
        now: datetime,
    ) -> Job:
        """Open *attempt* for *job* and reserve its price (nano-USD, milli-credits); raise StaleJob if it moved on.

        Shield this from cancellation: a claim whose waiter left is an open attempt that nobody carries out.
        """
        after = advance(job, Claimed(at=now))
        if (attempt.job_id, attempt.claim) != (after.id, after.claim):
            raise StaleJob(
                f"attempt {attempt.id} was made for claim {attempt.claim}, not for {after.claim} of {job.key}"
            )
        row = {
            "id": attempt.id,
            "job_id": job.id,
            "claim": after.claim,
            "run_id": run_id,
            "provider": attempt.task.provider,
            "model": attempt.task.model,
            "state": "open",
            "estimate_usd": estimate_usd,
            "estimate_credits": estimate_credits,
            "started_at": now,
        }
        return await self._line.submit(partial(_claim, before=job, after=after, row=row, now=now))

    async def settle(self, settlement: Settlement, now: datetime) -> Job:
        """Write all that an ended attempt brought, in one transaction, and return the job as it is then.

        Settling again changes nothing.  A job that moved on raises StaleJob, but only after attempt, files and
        ledger row are durable: the money was spent.
        """
        return await self._line.submit(partial(_settle, settlement=settlement, now=now))

    async def move(self, job: Job, event: Requeued | Cancelled | Revised) -> Job:
        """Carry out what a person decided about *job*; raise StaleJob if it moved on, IllegalEvent if it may not."""
        after = advance(job, event)
        return await self._line.submit(partial(_move, before=job, after=after, now=event.at))

    async def drop(self, job: Job, event: Cancelled, *, free: bool) -> Job:
        """Give a job up; *free*: a person looked its calls in doubt up, and they were not charged."""
        after = advance(job, event)
        return await self._line.submit(partial(mending.drop, before=job, after=after, free=free, now=event.at))

    async def adopt(self, job: Job, attempt_id: str, file: Artifact, now: datetime) -> Job:
        """Take in a published file that a person brought; *attempt_id* is the call it belongs to, or a new one."""
        return await self._line.submit(partial(mending.adopt, before=job, attempt_id=attempt_id, file=file, now=now))

    async def take_in(
        self, batch_id: int, traces: Sequence[Trace], now: datetime, *, last: bool
    ) -> tuple[Intake, list[Trace]]:
        """Take in what traces on disk tell and the table does not know; again changes nothing.

        Returns what that was, and the files that wait for one before them; *last*: there is none to wait for.
        """
        return await self._line.submit(partial(mending.take_in, batch_id=batch_id, traces=traces, last=last, now=now))


# --- batches and runs ---------------------------------------------------------


def _open_batch(connection: Connection, *, name: str, manifest: str, folder: str, now: datetime) -> int:
    facts = {"manifest": manifest, "folder": folder, "updated_at": now}
    statement = upsert(batches).values(name=name, created_at=now, **facts)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=facts))
    return int(connection.execute(select(batches.c.id).where(batches.c.name == name)).scalar_one())


def _add_run(connection: Connection, *, row: dict[str, Any]) -> None:
    connection.execute(insert(runs), row)


def _end_run(connection: Connection, *, run_id: str, exit_code: int, now: datetime) -> None:
    ended = update(runs).where(runs.c.id == run_id, runs.c.ended_at.is_(None))
    connection.execute(ended.values(ended_at=now, exit_code=exit_code))


# --- one job ------------------------------------------------------------------


def _claim(connection: Connection, *, before: Job, after: Job, row: dict[str, Any], now: datetime) -> Job:
    swap(connection, before, after, now)
    connection.execute(insert(attempts), row)
    return after


def _move(connection: Connection, *, before: Job, after: Job, now: datetime) -> Job:
    swap(connection, before, after, now)
    if after.delivered < before.delivered:
        supersede(connection, [before.id], now)
    return after


def _settle(connection: Connection, *, settlement: Settlement, now: datetime) -> Job | BatchgenError:
    attempt, event = settlement.attempt, settlement.event
    row = connection.execute(_JOB, {"wanted_job": attempt.job_id}).one_or_none()
    opened = connection.execute(_ATTEMPT, {"wanted_attempt": attempt.id}).one_or_none()
    if row is None or opened is None:
        raise NotFound(f"No attempt {attempt.id} of job {attempt.key}: the job table is older than this result.")
    before = to_job(row, attempt.batch)
    if opened.state != "open":
        return before
    current = before.state is State.RUNNING and before.claim == attempt.claim
    after = advance(before, event) if current else before
    connection.execute(_CLOSE, {"known_id": opened.id} | closed_attempt(opened, settlement, now))
    if files := artifact_rows(settlement, now, stale=not current):
        connection.execute(insert(artifacts), files)
    connection.execute(insert(ledger), ledger_row(opened, row.batch_id, settlement, now))
    if not current:
        return StaleJob(f"job {before.key} is {before.state} at claim {before.claim}; attempt {attempt.id} was booked")
    swap(connection, before, after, now)
    return after


_JOB = select(jobs).where(jobs.c.id == bindparam("wanted_job"))
_ATTEMPT = select(attempts).where(attempts.c.id == bindparam("wanted_attempt"))
_CLOSE = update(attempts).where(attempts.c.id == bindparam("known_id"), attempts.c.state == "open")


# --- loading a plan -----------------------------------------------------------

#: Where a job is done or under way, what was asked for stays on record as it was.
_LOOKS = ("output", "sidecar", "tags", "priority", "position")

_LISTED = select(jobs).where(
    jobs.c.batch_id == bindparam("of_batch"),
    jobs.c.key.in_(select(text("value")).select_from(func.json_each(bindparam("keys")))),
)


_START = {"state": State.PENDING.value, "delivered": 0, "claim": 0, "tries": 0, "doubts": 0}
#: Past the typing of SQLAlchemy, which takes longer than SQLite itself: plans come by the hundred thousand.
_ADD = str(
    insert(jobs).compile(
        column_keys=[*PLAN_COLUMNS, "key", "fingerprint", *_START, "batch_id", "created_at", "updated_at"],
        dialect=sqlite.dialect(paramstyle="named"),
    )
)


def _last_job(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(jobs.c.id), 0))).scalar_one())


def _merge(
    connection: Connection, *, batch_id: int, chunk: list[tuple[int, Planned]], seen: bytearray, now: datetime
) -> Loaded:
    keys = json.dumps([planned.key for _, planned in chunk], ensure_ascii=False)
    known = {row.key: row for row in connection.execute(_LISTED, {"of_batch": batch_id, "keys": keys})}
    fresh, revised, touched, busy, returned = [], [], [], 0, 0
    for position, planned in chunk:
        facts, row = plan_columns(position, planned), known.get(planned.key)
        if row is None:
            fresh.append(facts | {"key": planned.key, "fingerprint": planned.fingerprint})
            continue
        if row.id < len(seen):
            seen[row.id] = 1
        returned += row.orphaned_at is not None
        if row.fingerprint != planned.fingerprint and row.state != State.RUNNING:
            revised.append((row, facts | {"fingerprint": planned.fingerprint}))
            continue
        busy += row.fingerprint != planned.fingerprint
        names = _LOOKS if row.state in {State.DONE, State.RUNNING} else PLAN_COLUMNS
        if row.orphaned_at is not None or any(facts[name] != getattr(row, name) for name in names):
            touched.append((row, {name: facts[name] for name in names}))
    _insert(connection, batch_id, fresh, now)
    _revise(connection, revised, now)
    _touch(connection, touched, now)
    kept = len(chunk) - len(fresh) - len(revised) - busy
    return Loaded(new=len(fresh), changed=len(revised), kept=kept, busy=busy, returned=returned)


def _insert(connection: Connection, batch_id: int, fresh: list[dict[str, Any]], now: datetime) -> None:
    if not fresh:
        return
    moment = micros(now)
    start = _START | {"batch_id": batch_id, "created_at": moment, "updated_at": moment}
    connection.exec_driver_sql(_ADD, [facts | start for facts in fresh])


def _revise(connection: Connection, revised: list[tuple[Row[Any], dict[str, Any]]], now: datetime) -> None:
    rows, old = [], []
    for row, facts in revised:
        before = to_job(row, "")
        after = advance(before, Revised(at=now))
        rows.append(known_as(before) | moving(after) | facts | {"orphaned_at": None, "updated_at": now})
        if before.delivered:
            old.append(before.id)
    if rows:
        connection.execute(SWAP, rows)
    if old:
        supersede(connection, old, now)


def _touch(connection: Connection, touched: list[tuple[Row[Any], dict[str, Any]]], now: datetime) -> None:
    for names in (_LOOKS, PLAN_COLUMNS):
        rows = [
            known_as(row) | {"orphaned_at": None, "updated_at": now} | facts
            for row, facts in touched
            if len(facts) == len(names)
        ]
        if rows:
            connection.execute(SWAP, rows)


def _absent(connection: Connection, *, batch_id: int, seen: bytearray) -> list[int]:
    present = select(jobs.c.id).where(jobs.c.batch_id == batch_id, jobs.c.orphaned_at.is_(None))
    return [number for number in connection.execute(present).scalars() if number < len(seen) and not seen[number]]


def _orphan(connection: Connection, *, ids: list[int], now: datetime) -> Loaded:
    gone = update(jobs).where(jobs.c.id == bindparam("known_id"), jobs.c.orphaned_at.is_(None))
    connection.execute(gone, [{"known_id": number, "orphaned_at": now, "updated_at": now} for number in ids])
    return Loaded(orphaned=len(ids))
