"""Jobs that wait for others of their batch: stored when a plan is loaded, and left out of what is due.

A batch without chains has no rows here, and its queries do not mention the table.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, insert, or_, select

from ..job import Job, State
from .records import StoredArtifact
from .rows import listed_texts, to_artifact, to_job
from .tables import artifacts, batches, jobs, needs

_parent = jobs.alias("parent")
_DONE = State.DONE.value


#: States of jobs that no run sends until the user acts.
_ENDED = frozenset({State.FAILED.value, State.UNKNOWN.value, State.CANCELLED.value})


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingJob:
    """A pending job that waits for others."""

    key: str
    parent: str  #: the first job that it waits for
    ended: str | None = None  #: the job without which no run sends it; None: a run may
    state: str | None = None  #: of the ended job


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


def waiting(connection: Connection, batch_id: int) -> list[WaitingJob]:
    """Return the pending jobs that wait for others, in the order of the manifest."""
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
    pairs = list(connection.execute(rows.order_by(jobs.c.position, jobs.c.id, needs.c.parent)))
    ended = _ended((key, parent, state) for key, parent, state in pairs)
    first = {key: parent for key, parent, _ in reversed(pairs)}
    found = []
    for key in dict.fromkeys(key for key, _, _ in pairs):
        cause, state = ended.get(key, (None, None))
        found.append(WaitingJob(key=key, parent=first[key], ended=cause, state=state))
    return found


def _ended(pairs: Iterable[tuple[str, str, str | None]]) -> dict[str, tuple[str, str]]:
    """Return the ended job that each waiting job waits for, directly or through others, and its state."""
    children: dict[str, list[str]] = {}
    ended: dict[str, tuple[str, str]] = {}
    for key, parent, state in pairs:
        children.setdefault(parent, []).append(key)
        if state in _ENDED:
            ended.setdefault(key, (parent, str(state)))
    queue = deque(ended)
    while queue:
        key = queue.popleft()
        for child in children.get(key, ()):
            if child not in ended:
                ended[child] = ended[key]
                queue.append(child)
    return ended


def jobs_of(connection: Connection, batch_id: int, wanted: Collection[str]) -> list[Job]:
    """Return the jobs of a batch with these keys, in the order of the manifest."""
    rows = select(jobs, batches.c.name.label("batch_name")).join(batches)
    rows = rows.where(jobs.c.batch_id == batch_id, jobs.c.key.in_(listed_texts(wanted)), jobs.c.orphaned_at.is_(None))
    return [to_job(row, row.batch_name) for row in connection.execute(rows.order_by(jobs.c.position))]


def images(connection: Connection, batch: str, parents: Collection[str]) -> dict[tuple[str, int], StoredArtifact]:
    """Return the current files of the jobs *parents* of a batch, by key and number of the image, counted from 1."""
    rows = select(artifacts, jobs.c.key).join(jobs, jobs.c.id == artifacts.c.job_id).join(batches)
    rows = rows.where(
        batches.c.name == batch, jobs.c.key.in_(listed_texts(parents)), artifacts.c.superseded_at.is_(None)
    )
    return {(row.key, row.ordinal + 1): to_artifact(row) for row in connection.execute(rows)}
