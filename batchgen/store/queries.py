"""Which jobs are selected, and what setting right asks of them and of attempts.  SQL on an open connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select, true

from ..planning.selection import ORPHANED, Selection
from .records import DeliveredFile
from .repair import RECOVERED
from .rows import listed, to_artifact
from .tables import artifacts, attempts, jobs, ledger


def selected(batch_id: int, selection: Selection, *more: ColumnElement[bool]) -> tuple[ColumnElement[bool], ...]:
    """Return what the selected jobs of a batch fulfil, and *more*; a limit is left to the caller."""
    fulfilled = (jobs.c.batch_id == batch_id, *_conditions(selection), *more)
    if selection.sample is None:
        return fulfilled
    # The seed is bound as text because it may be an integer of any length.
    drawn = select(jobs.c.id).where(*fulfilled).order_by(func.sample_key(jobs.c.key, str(selection.seed)), jobs.c.key)
    return (jobs.c.id.in_(drawn.limit(selection.sample).correlate(None)),)


def _conditions(selection: Selection) -> Iterator[ColumnElement[bool]]:
    if selection.ids:
        yield or_(*(func.named(jobs.c.key, pattern) for pattern in selection.ids))
    if selection.tags:
        carried = func.json_each(jobs.c.tags).table_valued("value")
        yield exists().select_from(carried).where(carried.c.value.in_(selection.tags))
    for column, values in (
        (jobs.c.provider, selection.providers),
        (jobs.c.model, selection.models),
        (jobs.c.kind, selection.kinds),
        (jobs.c.cause, selection.causes),
    ):
        if values:
            yield column.in_(values)
    if selection.shard is not None:
        number, parts = selection.shard
        yield func.shard_of(jobs.c.key, parts) == number
    gone, states = jobs.c.orphaned_at.is_not(None), [state for state in selection.states if state != ORPHANED]
    if not selection.states:
        yield true() if selection.orphaned else ~gone
    else:
        here = jobs.c.state.in_(states) if selection.orphaned else jobs.c.state.in_(states) & ~gone
        yield here | gone if ORPHANED in selection.states else here


def files(connection: Connection, ids: Sequence[int]) -> list[DeliveredFile]:
    """Return the files that these jobs count on, job by job."""
    wanted = select(artifacts, jobs.c.key, jobs.c.orphaned_at).join(jobs).where(jobs.c.id.in_(listed(ids)))
    page = wanted.where(artifacts.c.superseded_at.is_(None)).order_by(jobs.c.id, artifacts.c.ordinal, artifacts.c.id)
    return [
        DeliveredFile(
            job_id=row.job_id,
            key=row.key,
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
    rows = connection.execute(wanted.where(attempts.c.id.in_(listed(ids)), ~func.coalesce(partly, False)))
    return {row.id: (row.state, row.cause) for row in rows}


def newest_attempt(connection: Connection, batch_id: int) -> datetime | None:
    """Return when the batch's last call went out."""
    wanted = select(func.max(attempts.c.started_at)).select_from(attempts.join(jobs)).where(jobs.c.batch_id == batch_id)
    moment: datetime | None = connection.execute(wanted).scalar()
    return moment
