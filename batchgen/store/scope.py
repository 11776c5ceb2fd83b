"""Which jobs a run may send, where somebody selected some.  SQL on an open connection.

What is selected is looked up once, when the run starts: a lane that asks for its next jobs must not go through all
those between them that are not for this run, again and again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from threading import Lock
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, exists, func, select

from ..job import State
from ..planning.selection import Selection
from .due import due, in_turn, waiting
from .queries import selected
from .records import Wanted
from .rows import listed
from .tables import batches, jobs

#: Jobs looked at together.
PAGE = 500

_PENDING = (jobs.c.state == State.PENDING.value, jobs.c.orphaned_at.is_(None))
_GOING = jobs.c.state.in_((State.PENDING.value, State.RUNNING.value))
_IN_TURN = (jobs.c.priority.desc(), jobs.c.position)


class Scope:
    """The jobs that a run may send: ids by provider, in the order of sending.  A page that is over is forgotten.

    Lanes ask at once, each in a thread of its own: pages are tuples, and only ``_forget`` replaces one.
    """

    def __init__(self, chosen: Iterable[tuple[int, str]]) -> None:
        ids: dict[str, list[int]] = {}
        for number, provider in chosen:
            ids.setdefault(provider, []).append(number)
        self._forgetting = Lock()
        self._pages = {
            provider: tuple(tuple(many[start : start + PAGE]) for start in range(0, len(many), PAGE))
            for provider, many in ids.items()
        }

    def due(self, connection: Connection, wanted: Wanted, limit: int, now: datetime) -> list[Row[Any]]:
        """Return the rows of the next jobs that a lane may send at *now*, in order."""
        pending = select(jobs, batches.c.name.label("batch_name")).join(batches).where(*due(wanted, now))
        found: list[Row[Any]] = []
        for page in self._pages.get(wanted.provider, ()):
            here = pending.where(jobs.c.id.in_(listed(page))).order_by(*in_turn(wanted)).limit(limit - len(found))
            rows = connection.execute(here).all()
            if not rows and not connection.scalar(select(exists().where(jobs.c.id.in_(listed(page)), _GOING))):
                self._forget(wanted.provider, page)
            found += rows
            if len(found) == limit:
                break
        return found

    def _forget(self, provider: str, over: tuple[int, ...]) -> None:
        with self._forgetting:
            self._pages[provider] = tuple(page for page in self._pages[provider] if page is not over)

    def next_retry(self, connection: Connection, wanted: Wanted) -> datetime | None:
        """Return when the first of the jobs that wait for their time may be sent; None where none waits."""
        first = select(func.min(jobs.c.not_before)).where(*waiting(wanted))
        pages = self._pages.get(wanted.provider, ())
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
