"""Totals of the ledger: its sums by block, so that a question about a million rows reads a few thousand.

A block is ``BLOCK`` rows of the ledger in the order of their ids. The transaction that books its last row closes it: it
adds the rows up into ``ledger_totals``, a row for each combination of the columns in ``_KEYS``. Queries read these sums
and add the rows of the open block. Times are rounded down to quarters of an hour, in which the days of all time zones
begin; of a period that begins or ends within a quarter, the rows of that quarter are read.

A closed block is a function of its rows alone. A change of a booked row or of its job's provider must therefore be
followed by ``recount`` or ``reopen``; for ``db check``, ``differing_blocks`` compares all blocks with their rows.
Closing costs 4 us a booking; ``usage`` of a million bookings takes 0.02 s instead of 2.8.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Subquery,
    TextClause,
    and_,
    case,
    delete,
    except_,
    func,
    insert,
    select,
    text,
    type_coerce,
    union_all,
)

from .dialects import LEDGER, TOTALS, Number, is_postgres, lock_rows_of
from .shared_tables import shared_budgets
from .tables import EPOCH, Instant, attempts, jobs, ledger, ledger_totals, micros
from .usage_groups import ALWAYS, Period

#: The note on a connection that blocks have become full.
_FULL = "full blocks"
#: Rows of the ledger in a block; a change needs a migration that adds all of them up again.
BLOCK = 1_000

_QUARTER = timedelta(minutes=15)
_TICKS = micros(EPOCH + _QUARTER)
_at = type_coerce(ledger.c.at, Number)
_quarter = type_coerce(_at - _at % _TICKS, Instant)

_UNPRICED = and_(ledger.c.charged != "no", ledger.c.usd.is_(None))
_UNESTIMATED = and_(_UNPRICED, ledger.c.credits.is_(None), ledger.c.at_risk_usd.is_(None))
#: A literal, so that SQLite uses the partial index of attempts at risk.
AT_RISK = text("ledger.charged = 'maybe' AND ledger.usd IS NULL")


def _count(condition: ColumnElement[bool] | TextClause) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


#: What the rows of a block are grouped by, and what is added up, by the columns of ``ledger_totals``.
_KEYS: dict[str, ColumnElement[Any]] = {
    "batch_id": ledger.c.batch_id,
    "run_id": ledger.c.run_id,
    "provider": ledger.c.provider,
    "model": ledger.c.model,
    "home": func.coalesce(jobs.c.provider, ""),  # "": the job was deleted
    "outcome": func.coalesce(attempts.c.cause, attempts.c.state, ""),
    "basis": ledger.c.basis,
    "quarter": _quarter,
}
_SUMS: dict[str, ColumnElement[Any]] = {
    "attempts": func.count(),
    "images": func.sum(ledger.c.images),
    "input_tokens": func.sum(ledger.c.input_tokens),
    "output_tokens": func.sum(ledger.c.output_tokens),
    "credits": func.sum(ledger.c.credits),
    "usd": func.sum(ledger.c.usd),
    "at_risk_usd": func.sum(ledger.c.at_risk_usd),
    "at_risk_credits": func.sum(ledger.c.at_risk_credits),
    "unpriced": _count(_UNPRICED),
    "unestimated": _count(_UNESTIMATED),
    "at_risk": _count(AT_RISK),
    "last_sent_at": func.max(attempts.c.started_at),
}
_COLUMNS = ("block", *_KEYS, *_SUMS)


# --- closing blocks -----------------------------------------------------------


def close_block_of(connection: Connection, ledger_id: int) -> None:
    """Close the block of a row that was booked last, if it is full."""
    if ledger_id % BLOCK == 0:
        close_full_blocks(connection)


def close_full_blocks(connection: Connection) -> None:
    """Close the blocks that have become full: on SQLite now, on PostgreSQL after the commit."""
    if is_postgres(connection):
        connection.info[_FULL] = True
    else:
        _close_full_blocks(connection)


def close_after_commit(connection: Connection) -> None:
    """Close full blocks in a transaction of its own where several runners book, without any other transaction.

    A number of the ledger is given out before its row is committed, so that a block must not be closed while
    transactions are open that may book: each of them holds the lock of the ledger together with the others.
    """
    if is_postgres(connection) and connection.info.pop(_FULL, False):
        with connection.begin():
            lock_rows_of(connection, LEDGER)  # Before the totals, as in every transaction that books.
            _lock_totals(connection)
            _close_full_blocks(connection)


def _lock_totals(connection: Connection) -> None:
    """Wait until no other transaction changes blocks: each must see the rows that the other one has changed."""
    lock_rows_of(connection, TOTALS)


def _close_full_blocks(connection: Connection) -> None:
    first = connection.scalar(select(_first_open_block())) or 0
    full = (connection.scalar(select(func.max(ledger.c.id))) or 0) // BLOCK
    if full > first:
        _add_up(connection, ledger.c.id > first * BLOCK, ledger.c.id <= full * BLOCK)


def recount(connection: Connection, *changed: ColumnElement[bool]) -> None:
    """Add up the closed blocks again that contain *changed* rows of the ledger."""
    _lock_totals(connection)
    connection.execute(delete(shared_budgets))  # They are summed up again by the next claim.
    closed = _block() < _first_open_block()
    for block in connection.execute(select(_block()).distinct().where(closed, *changed)).scalars().all():
        connection.execute(delete(ledger_totals).where(ledger_totals.c.block == block))
        _add_up(connection, ledger.c.id > block * BLOCK, ledger.c.id <= (block + 1) * BLOCK)


def reopen(connection: Connection, *changed: ColumnElement[bool]) -> None:
    """Open the blocks from the first one that contains *changed* rows of the ledger; the next run closes them."""
    _lock_totals(connection)
    if (first := connection.scalar(select(func.min(_block())).where(*changed))) is not None:
        connection.execute(delete(ledger_totals).where(ledger_totals.c.block >= first))


def rebuild(connection: Connection) -> None:
    """Add up all blocks again."""
    lock_rows_of(connection, LEDGER)
    _lock_totals(connection)
    connection.execute(delete(ledger_totals))
    _close_full_blocks(connection)


def differing_blocks(connection: Connection) -> int:
    """Return the number of blocks whose sums are not those of their rows; this reads the whole ledger."""
    closed = select(*(ledger_totals.c[name] for name in _COLUMNS))
    rows = _block_sums(_block() < _first_open_block())
    different = union_all(select(except_(closed, rows).subquery()), select(except_(rows, closed).subquery())).subquery()
    return connection.scalar(select(func.count(different.c.block.distinct()))) or 0


def _add_up(connection: Connection, *which: ColumnElement[bool]) -> None:
    connection.execute(insert(ledger_totals).from_select(_COLUMNS, _block_sums(*which)))


def _block_sums(*which: ColumnElement[bool], **more: ColumnElement[Any]) -> Select[Any]:
    """Return the sums of the rows of the ledger for which *which* is true, by block, and by *more* columns."""
    keys = {"block": _block(), **_KEYS, **more}
    columns = [column.label(name) for name, column in {**keys, **_SUMS}.items()]
    source = ledger.outerjoin(attempts, attempts.c.id == ledger.c.attempt_id)
    source = source.outerjoin(jobs, jobs.c.id == attempts.c.job_id)
    return select(*columns).select_from(source).where(*which).group_by(*keys.values())


def _block() -> ColumnElement[int]:
    return (ledger.c.id - 1) // BLOCK


def _first_open_block() -> ColumnElement[int]:
    return select(func.coalesce(func.max(ledger_totals.c.block) + 1, 0)).scalar_subquery()


# --- reading ------------------------------------------------------------------


def bookings(period: Period = ALWAYS) -> Subquery:
    """Return everything booked in a period, as rows with the columns of ``ledger_totals``."""
    closed = select(*(ledger_totals.c[name] for name in _COLUMNS))
    edges = set()
    if period.since is not None:
        since = _quarter_of(period.since)
        closed = closed.where(ledger_totals.c.quarter >= period.since)
        edges |= {since} - {period.since}
    if period.until is not None:
        until = _quarter_of(period.until)
        closed = closed.where(ledger_totals.c.quarter < until)
        edges |= {until} - {period.until}
    parts = [closed, _block_sums(ledger.c.id > _first_open_block() * BLOCK, *_within(period))]
    if edges:
        parts.append(_in_closed_blocks(edges, period))
    return union_all(*parts).subquery("bookings")


def bookings_by(period: Period, **columns: ColumnElement[Any]) -> Subquery:
    """Return everything booked in a period, grouped by *columns* too; this reads all its rows."""
    return _block_sums(*_within(period), **columns).subquery("bookings")


def _in_closed_blocks(quarters: set[datetime], period: Period) -> Select[Any]:
    """Return what was booked in a period and in one of *quarters*, from the rows of closed blocks."""
    blocks = select(ledger_totals.c.block).distinct().where(ledger_totals.c.quarter.in_(quarters)).subquery()
    in_block = and_(ledger.c.id > blocks.c.block * BLOCK, ledger.c.id <= (blocks.c.block + 1) * BLOCK)
    ids = select(ledger.c.id).join(blocks, in_block)
    return _block_sums(ledger.c.id.in_(ids), _quarter.in_(quarters), *_within(period))


def _within(period: Period) -> list[ColumnElement[bool]]:
    """Return the conditions for rows of the ledger that were booked in a period."""
    since = [] if period.since is None else [ledger.c.at >= period.since]
    return since if period.until is None else [*since, ledger.c.at < period.until]


def _quarter_of(moment: datetime) -> datetime:
    """Return the beginning of the quarter hour that contains *moment*."""
    return EPOCH + micros(moment) // _TICKS * _QUARTER
