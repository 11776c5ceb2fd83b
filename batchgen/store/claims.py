"""Claims: an attempt is opened, and its price reserved, before a byte is sent. SQL on an open transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from ..errors import StaleClaim
from ..job import Job
from ..task import Basis, Charge
from .compare_and_set import swap
from .fixed import FixedChange
from .shared_budgets import SharedBudgets
from .tables import attempts, jobs


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
    if shared is not None:
        _require_free(connection, before)
        estimate = Charge(usd=row["estimate_usd"], credits=row["estimate_credits"], basis=Basis.ESTIMATED)
        shared.reserve(connection, row["provider"], estimate, now)
    swap(connection, before, after, now)
    _OPEN.execute(connection, row)
    return after


def _require_free(connection: Connection, job: Job) -> None:
    """Lock the row of a job; raise StaleClaim if another transaction holds it.

    That one changes the job anyway, and all other claims of this transaction would wait for it.
    """
    row = select(jobs.c.id).where(jobs.c.id == job.id).with_for_update(skip_locked=True)
    if connection.execute(row).first() is None:
        raise StaleClaim(f"job {job.key} is being changed by another transaction")


_OPEN = FixedChange(insert(attempts))
