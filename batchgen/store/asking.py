"""Questions that setting right asks: which jobs, which files, which attempts are known.  SQL on an open connection."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select, text

from .mending import RECOVERED
from .rows import to_artifact
from .tables import artifacts, attempts, jobs, ledger
from .values import Selection, StandingFile


def conditions(selection: Selection) -> Iterator[ColumnElement[bool]]:
    """Yield what a job has to fulfil to be selected."""
    if selection.ids:
        yield or_(*(jobs.c.key.op("GLOB")(pattern) for pattern in selection.ids))
    if selection.tags:
        carried = func.json_each(jobs.c.tags).table_valued("value")
        yield exists().select_from(carried).where(carried.c.value.in_(selection.tags))
    for column, values in (
        (jobs.c.provider, selection.providers),
        (jobs.c.model, selection.models),
        (jobs.c.kind, selection.kinds),
        (jobs.c.state, selection.states),
        (jobs.c.cause, selection.causes),
    ):
        if values:
            yield column.in_(values)
    if not selection.orphaned:
        yield jobs.c.orphaned_at.is_(None)


def files(connection: Connection, batch_id: int, selection: Selection, after: int, limit: int) -> list[StandingFile]:
    """Return a page of the files that jobs count on, by the number of their rows from *after* on."""
    wanted = select(artifacts, jobs.c.key, jobs.c.orphaned_at).join(jobs)
    wanted = wanted.where(jobs.c.batch_id == batch_id, artifacts.c.superseded_at.is_(None), artifacts.c.id > after)
    page = wanted.where(*conditions(selection)).order_by(artifacts.c.id).limit(limit)
    return [
        StandingFile(
            job_id=row.job_id,
            key=row.key,
            artifact_id=row.id,
            orphaned=row.orphaned_at is not None,
            file=to_artifact(row),
        )
        for row in connection.execute(page)
    ]


def attempt_states(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, str | None]]:
    """Return state and cause of those of *ids* that the table knows whole.

    One that was taken in from traces and has not all its files yet is left out.
    """
    of_it = (artifacts.c.job_id == attempts.c.job_id, artifacts.c.attempt_id == attempts.c.id)
    taken = select(func.count()).where(*of_it).scalar_subquery()
    partly = (attempts.c.run_id == RECOVERED) & (attempts.c.state == "delivered") & (ledger.c.images > taken)
    wanted = select(attempts.c.id, attempts.c.state, attempts.c.cause).select_from(attempts.outerjoin(ledger))
    listed = select(text("value")).select_from(func.json_each(json.dumps(list(ids))))
    rows = connection.execute(wanted.where(attempts.c.id.in_(listed), ~func.coalesce(partly, False)))
    return {row.id: (row.state, row.cause) for row in rows}


def newest_attempt(connection: Connection, batch_id: int) -> datetime | None:
    """Return when the batch's last call went out."""
    wanted = select(func.max(attempts.c.started_at)).select_from(attempts.join(jobs)).where(jobs.c.batch_id == batch_id)
    moment: datetime | None = connection.execute(wanted).scalar()
    return moment
