"""Which pending jobs may be sent: conditions and orders.  SQL expressions.

States are written out, not bound: only so does SQLite see that the small indexes ``jobs_waiting`` and ``jobs_routed``
serve.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import ColumnElement, exists, false, func, or_, select, text

from .records import Wanted
from .tables import jobs


def due(wanted: Wanted, now: datetime) -> Iterator[ColumnElement[bool]]:
    """Yield what the jobs fulfil that may be sent at *now*."""
    yield from pending(wanted)
    if wanted.waiting is None:
        yield or_(jobs.c.not_before.is_(None), jobs.c.not_before <= now)
    elif wanted.waiting:
        yield jobs.c.not_before.is_not(None)
        yield jobs.c.not_before <= now
    else:
        yield jobs.c.not_before.is_(None)


def waiting(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    """Yield what the jobs fulfil that wait for their time, or whose time has come."""
    yield from pending(wanted)
    yield jobs.c.not_before.is_not(None)


def in_turn(wanted: Wanted) -> tuple[ColumnElement[object], ...]:
    """Return the order of sending: of jobs that wait for their time, the one that has waited longest first."""
    if wanted.waiting:
        return (jobs.c.not_before,)
    return (jobs.c.priority.desc(), jobs.c.position)


def pending(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    """Yield what the jobs fulfil that may be sent at some time."""
    yield text("jobs.state = 'pending' AND jobs.orphaned_at IS NULL")  # type: ignore[misc]
    yield jobs.c.provider == wanted.provider
    listed = sorted(wanted.models.named)
    if wanted.models.only:
        yield jobs.c.model.in_(listed) if listed else false()
    elif listed:
        yield jobs.c.model.not_in(listed)
    if wanted.by is not None:
        other = func.json_each(jobs.c.route, "$.others").table_valued("value")
        yield jobs.c.route.is_not(None)
        yield exists(select(other.c.value).where(other.c.value == wanted.by))
