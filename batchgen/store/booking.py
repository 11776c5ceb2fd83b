"""Booking: the row of the ledger for an ended attempt, also where its job was deleted. SQL on an open transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, literal_column, select, update

from ..errors import BatchgenError, NotFound
from ..job import Settlement
from . import late
from .fixed import FixedChange
from .rows import AttemptRow
from .settlement import closed_attempt, ledger_row
from .shared_budgets import SharedBudgets
from .tables import attempts, ledger, runs
from .totals import close_block_of


def book(connection: Connection, attempt_row: AttemptRow, row: dict[str, Any], shared: SharedBudgets | None) -> None:
    """Add a row to the ledger, and replace what its attempt had reserved in shared budgets."""
    close_block_of(connection, _BOOK.insert(connection, row))
    if shared is not None:
        shared.settle(connection, attempt_row, row)


def book_without_job(
    connection: Connection,
    attempt_row: AttemptRow | None,
    settlement: Settlement,
    shared: SharedBudgets | None,
    now: datetime,
) -> BatchgenError:
    """Book the cost of an attempt that was deleted, or whose job was; return the error for its caller."""
    gone = f"The job database no longer has job {settlement.attempt.key}: it was deleted while it was in flight."
    batch_id = None if attempt_row is None else connection.scalar(_BATCH, {"wanted_run": attempt_row.run_id})
    if attempt_row is None or batch_id is None:
        return NotFound(f"{gone} Its cost could not be booked")
    if attempt_row.state == "open":
        CLOSE.execute(connection, {"known_id": attempt_row.id} | closed_attempt(attempt_row, settlement, now))
        book(connection, attempt_row, ledger_row(attempt_row, batch_id, settlement, now), shared)
    else:
        late.correct(connection, attempt_row, batch_id, settlement, now)
    return NotFound(f"{gone} Its cost is in the ledger")


_BATCH = select(runs.c.batch_id).where(runs.c.id == bindparam("wanted_run"))
_BOOK = FixedChange(insert(ledger))
CLOSE = FixedChange(
    update(attempts).where(attempts.c.id == bindparam("known_id"), attempts.c.state == literal_column("'open'"))
)
