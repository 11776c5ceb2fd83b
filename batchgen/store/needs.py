"""Jobs that wait for others of their batch: stored when a plan is loaded, and left out of what is due.

A batch without chains has no rows here, and its queries do not mention the table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, insert, or_, select

from ..job import State
from .records import StoredArtifact
from .rows import listed_texts, to_artifact
from .tables import artifacts, batches, jobs, needs

_parent = jobs.alias("parent")
_DONE = State.DONE.value


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingJob:
    """A pending job, and the first job that it waits for."""

    key: str
    parent: str
    state: str | None  #: of the parent; None: it is missing from the job database


def _unmet() -> Select[tuple[str]]:
    """Return the query for the parents of a job that are not done."""
    of_parent = and_(_parent.c.batch_id == jobs.c.batch_id, _parent.c.key == needs.c.parent)
    rows = select(needs.c.parent).select_from(needs.outerjoin(_parent, of_parent))
    return rows.where(needs.c.job_id == jobs.c.id, or_(_parent.c.state.is_(None), _parent.c.state != _DONE))


def are_met() -> ColumnElement[bool]:
    """Return the condition for jobs whose parents are all done."""
    return ~exists(_unmet().correlate(jobs))


def exist(connection: Connection, batch_id: int) -> bool:
    """Return whether jobs of the batch wait for others."""
    rows = select(needs.c.job_id).join(jobs, jobs.c.id == needs.c.job_id).where(jobs.c.batch_id == batch_id)
    return connection.execute(rows.limit(1)).first() is not None


def keys(connection: Connection, batch_id: int) -> frozenset[str]:
    """Return the jobs of the batch that have parents."""
    rows = select(jobs.c.key).where(jobs.c.batch_id == batch_id, exists().where(needs.c.job_id == jobs.c.id))
    return frozenset(connection.execute(rows).scalars())


def store(connection: Connection, batch_id: int, parents: Mapping[str, Sequence[str]]) -> None:
    """Replace the parents of jobs, by their keys."""
    known = select(jobs.c.key, jobs.c.id).where(jobs.c.batch_id == batch_id, jobs.c.key.in_(listed_texts(parents)))
    ids = {row.key: row.id for row in connection.execute(known)}
    rows = [{"job_id": ids[key], "parent": parent} for key, of_job in parents.items() for parent in of_job]
    for job_id in ids.values():
        connection.execute(delete(needs).where(needs.c.job_id == job_id))
    if rows:
        connection.execute(insert(needs), rows)


def waiting(connection: Connection, batch_id: int) -> Iterator[WaitingJob]:
    """Yield the pending jobs that wait for others, in the order of the manifest."""
    of_parent = and_(_parent.c.batch_id == jobs.c.batch_id, _parent.c.key == needs.c.parent)
    rows = select(jobs.c.key, needs.c.parent, _parent.c.state).select_from(
        needs.join(jobs, jobs.c.id == needs.c.job_id).outerjoin(_parent, of_parent)
    )
    rows = rows.where(
        jobs.c.batch_id == batch_id,
        jobs.c.state == State.PENDING.value,
        jobs.c.orphaned_at.is_(None),
        or_(_parent.c.state.is_(None), _parent.c.state != _DONE),
    )
    last = None
    for key, parent, state in connection.execute(rows.order_by(jobs.c.position, jobs.c.id, needs.c.parent)):
        if key != last:
            yield WaitingJob(key=key, parent=parent, state=state)
        last = key


def images(connection: Connection, batch: str, parents: Collection[str]) -> dict[tuple[str, int], StoredArtifact]:
    """Return the current files of the jobs *parents* of a batch, by key and number of the image, counted from 1."""
    rows = select(artifacts, jobs.c.key).join(jobs, jobs.c.id == artifacts.c.job_id).join(batches)
    rows = rows.where(
        batches.c.name == batch, jobs.c.key.in_(listed_texts(parents)), artifacts.c.superseded_at.is_(None)
    )
    return {(row.key, row.ordinal + 1): to_artifact(row) for row in connection.execute(rows)}
