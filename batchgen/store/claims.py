"""Claims: an attempt is opened, and its price reserved, before a byte is sent; attempts that stayed open.

SQL on an open transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, literal_column, or_, select, update

from ..errors import StaleClaim
from ..job import Job, State
from ..planning.selection import shard_of
from ..task import Basis, Charge
from .compare_and_set import swap
from .fixed import FixedChange
from .records import AttemptRecord
from .rows import to_attempt, to_job
from .shared_budgets import SharedBudgets
from .shared_tables import runners
from .submission_table import submissions
from .tables import IS_REMOTE, OPEN, attempts, batch_of_job, batches, jobs, runs


def open_attempt(
    connection: Connection,
    *,
    before: Job,
    after: Job,
    row: dict[str, Any],
    shared: SharedBudgets | None,
    now: datetime,
) -> Job:
    """Claim a job for the attempt in *row*; raise StaleClaim if it has changed, OverBudget if no budget is left."""
    reserve = None
    if shared is not None:
        _require_free(connection, before)
        estimate = Charge(usd=row["estimate_usd"], credits=row["estimate_credits"], basis=Basis.ESTIMATED)
        reserve = shared.require_room(connection, row["provider"], estimate, now)
    swap(connection, before, after, now)
    _OPEN.execute(connection, row)
    if reserve is not None:
        reserve()
    return after


def _require_free(connection: Connection, job: Job) -> None:
    """Lock the row of a job; raise StaleClaim if another transaction holds it.

    That one changes the job anyway, and all other claims of this transaction would wait for it.
    """
    row = select(jobs.c.id).where(jobs.c.id == job.id).with_for_update(skip_locked=True)
    if connection.execute(row).first() is None:
        raise StaleClaim(f"job {job.key} is being changed by another transaction")


_OPEN = FixedChange(insert(attempts))


def remember(connection: Connection, *, attempt_id: str, handle: Mapping[str, Any]) -> None:
    """Record which remote task an open attempt has started."""
    _REMEMBER.execute(connection, {"known_id": attempt_id, "handle": json.dumps(dict(handle))})


_REMEMBER = FixedChange(
    update(attempts).where(attempts.c.id == bindparam("known_id"), attempts.c.state == literal_column("'open'"))
)


def open_attempts(
    connection: Connection,
    *,
    batch_id: int,
    run_id: str | None = None,
    shard: tuple[int, int] | None = None,
    building: bool = False,
) -> list[tuple[Job, AttemptRecord]]:
    """Return the open attempts of a batch, or of one of its shards, but those of runners other than *run_id*.

    Those of submissions are not among them: what became of them is known once a submission is collected. *building*:
    those of submissions that were not yet at the provider are.
    """
    left = select(attempts, runs.c.spool).join(jobs).outerjoin(runs, runs.c.id == attempts.c.run_id)
    left = left.where(OPEN, batch_of_job == batch_id)
    alone = attempts.c.submission_id.is_(None)
    unsent = select(submissions.c.id).where(submissions.c.state == "building")
    left = left.where(or_(alone, attempts.c.submission_id.in_(unsent)) if building else alone)
    left = left.where(attempts.c.run_id.not_in(select(runners.c.id).where(runners.c.id != (run_id or ""))))
    records = [to_attempt(row) for row in connection.execute(left.order_by(attempts.c.started_at)).mappings()]
    wanted = select(jobs, batches.c.name.label("batch_name")).join(batches)
    result = []
    for record in records:
        row = connection.execute(wanted.where(jobs.c.id == record.job_id)).one_or_none()
        if row is not None and (shard is None or shard_of(row.key, shard[1]) == shard[0]):
            result.append((to_job(row, row.batch_name), record))
    return result


def reserved_at_provider(connection: Connection, *, batch_id: int) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Return the open attempts that are at the provider, by provider and model: how many, nano-USD, milli-credits."""
    sums = (func.count(), func.sum(attempts.c.estimate_usd), func.sum(attempts.c.estimate_credits))
    asked = select(attempts.c.provider, attempts.c.model, *sums).select_from(attempts.join(jobs))
    asked = asked.where(OPEN, IS_REMOTE, batch_of_job == batch_id)
    rows = connection.execute(asked.group_by(attempts.c.provider, attempts.c.model))
    return {(row[0], row[1]): (int(row[2]), int(row[3] or 0), int(row[4] or 0)) for row in rows}


def keys_at_provider(connection: Connection, *, batch_id: int) -> frozenset[str]:
    """Return the keys of the jobs in flight that are at the provider."""
    asked = select(jobs.c.key).select_from(attempts.join(jobs))
    asked = asked.where(OPEN, IS_REMOTE, batch_of_job == batch_id)
    return frozenset(connection.execute(asked.where(jobs.c.state == State.RUNNING.value)).scalars())


def is_cancelled(connection: Connection, *, job_id: int) -> bool:
    """Return whether the user has cancelled a job."""
    return connection.execute(select(jobs.c.state).where(jobs.c.id == job_id)).scalar() == State.CANCELLED.value


def tasks_of_cancelled(connection: Connection, *, batch_id: int) -> int:
    """Return how many cancelled jobs of a batch have a remote task that has not ended."""
    found = select(func.count(attempts.c.job_id.distinct())).select_from(attempts.join(jobs))
    found = found.where(OPEN, attempts.c.handle.is_not(None), batch_of_job == batch_id)
    return int(connection.execute(found.where(jobs.c.state == State.CANCELLED.value)).scalar_one())


def at_provider(connection: Connection, *, batch_id: int, state: State | None = None) -> int:
    """Return how many jobs of a batch have a remote task or submission that has not ended.

    Of those in one *state*, only jobs of the manifest count, as they do in the numbers by state.
    """
    found = select(func.count(attempts.c.job_id.distinct())).select_from(attempts.join(jobs))
    found = found.where(OPEN, IS_REMOTE, batch_of_job == batch_id)
    if state is not None:
        found = found.where(jobs.c.state == state.value, jobs.c.orphaned_at.is_(None))
    return int(connection.execute(found).scalar_one())
