"""Which jobs a run may send, where somebody selected some.  SQL on an open connection.

What is selected is looked up once, when the run starts: a lane that asks for its next jobs must not go through all
those between them that are not for this run, again and again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, exists, func, literal, or_, select

from ..job import State
from ..selection import Selection
from .asking import selected
from .rows import listed
from .tables import EPOCH, Instant, batches, jobs

#: Jobs looked at together.
PAGE = 500

_PENDING = (jobs.c.state == State.PENDING.value, jobs.c.orphaned_at.is_(None))
_GOING = jobs.c.state.in_((State.PENDING.value, State.RUNNING.value))
_IN_TURN = (jobs.c.priority.desc(), jobs.c.position)


class Scope:
    """The jobs that a run may send: ids by provider, in the order of sending.  A page that is over is forgotten."""

    def __init__(self, chosen: Iterable[tuple[int, str]]) -> None:
        ids: dict[str, list[int]] = {}
        for number, provider in chosen:
            ids.setdefault(provider, []).append(number)
        self._pages = {
            provider: [tuple(many[start : start + PAGE]) for start in range(0, len(many), PAGE)]
            for provider, many in ids.items()
        }

    def due(self, connection: Connection, provider: str, limit: int, now: datetime) -> list[Row[Any]]:
        """Return the rows of the next jobs that a lane may send at *now*, in order."""
        ready = or_(jobs.c.not_before.is_(None), jobs.c.not_before <= now)
        wanted = select(jobs, batches.c.name.label("batch_name")).join(batches).where(*_PENDING, ready)
        found: list[Row[Any]] = []
        for page in tuple(self._pages.get(provider, ())):
            here = wanted.where(jobs.c.id.in_(listed(page))).order_by(*_IN_TURN).limit(limit - len(found))
            rows = connection.execute(here).all()
            if not rows and not connection.scalar(select(exists().where(jobs.c.id.in_(listed(page)), _GOING))):
                self._pages[provider].remove(page)
            found += rows
            if len(found) == limit:
                break
        return found

    def next_due(self, connection: Connection, provider: str) -> datetime | None:
        """Return when the next pending job of a lane may be sent (1970 for at once); None where nothing is pending."""
        first = select(func.min(func.coalesce(jobs.c.not_before, literal(EPOCH, Instant)))).where(*_PENDING)
        pages = self._pages.get(provider, ())
        moments = (connection.scalar(first.where(jobs.c.id.in_(listed(page)))) for page in pages)
        return min((moment for moment in moments if moment is not None), default=None)


def resolve(connection: Connection, batch_id: int, selection: Selection) -> Scope:
    """Return the scope of a run that starts now.

    A sample and a limit count jobs that are pending.  Without them, jobs that an earlier run left open belong to it,
    for they may turn out to be pending.
    """
    fulfilled = selected(batch_id, selection, *_PENDING) if selection.counted else selected(batch_id, selection, _GOING)
    fulfilled = (*fulfilled, jobs.c.orphaned_at.is_(None))
    if selection.limit is not None:
        # the first of the manifest, as the plan counts them
        first = select(jobs.c.id).where(*fulfilled).order_by(jobs.c.position).limit(selection.limit)
        fulfilled = (jobs.c.id.in_(first.correlate(None)),)
    return _scope(connection, *fulfilled)


def those(connection: Connection, ids: Iterable[int]) -> Scope:
    """Return the scope of a run that sends these jobs and no others."""
    return _scope(connection, jobs.c.id.in_(listed(ids)))


def _scope(connection: Connection, *fulfilled: ColumnElement[bool]) -> Scope:
    wanted = select(jobs.c.id, jobs.c.provider).where(*fulfilled).order_by(*_IN_TURN)
    return Scope((number, provider) for number, provider in connection.execute(wanted))
