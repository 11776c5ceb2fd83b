"""Facts of pictures and suspects in the job database.

They are written without the run lock, as a guest beside a run, in short transactions: they can be measured again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from ..database_url import Database
from ..picture import VERSION, PictureFacts, Suspect
from ..task import Task
from .dialects import upsert
from .guest import write_as_guest
from .picture_tables import picture_facts, suspects
from .rows import decode_task, listed, listed_texts
from .tables import artifacts, attempts, jobs, properties

_COLUMNS = {"size_bytes": "bytes"}
_FIELDS = tuple(name for name in PictureFacts.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class PictureRow:
    """A current picture of a job, and what made it."""

    job_id: int
    key: str
    ordinal: int
    artifact_id: int
    task: Task
    sha256: str
    provider: str
    model: str


def pictures(connection: Connection, batch_id: int) -> list[PictureRow]:
    """Return the current pictures of a batch, in the order of the manifest."""
    columns = (jobs.c.id, jobs.c.key, artifacts.c.ordinal, artifacts.c.id, jobs.c.task, artifacts.c.sha256)
    source = artifacts.join(jobs).join(attempts, attempts.c.id == artifacts.c.attempt_id)
    wanted = select(*columns, attempts.c.provider, attempts.c.model).select_from(source)
    rows = connection.execute(wanted.where(*_current(batch_id)).order_by(jobs.c.position, artifacts.c.ordinal))
    return [PictureRow(*row[:4], decode_task(row[4]), *row[5:]) for row in rows]


def of_hashes(connection: Connection, hashes: Iterable[str]) -> dict[str, PictureFacts]:
    """Return the facts of files by the hash of their content; those never examined are missing."""
    rows = connection.execute(select(picture_facts).where(picture_facts.c.sha256.in_(listed_texts(hashes))))
    return {
        row.sha256: PictureFacts(**{name: getattr(row, _COLUMNS.get(name, name)) for name in _FIELDS}) for row in rows
    }


def suspects_of_jobs(connection: Connection, ids: Iterable[int]) -> dict[int, list[Suspect]]:
    """Return the suspects among the current files of these jobs by job id."""
    current = (suspects.c.job_id.in_(listed(ids)), artifacts.c.superseded_at.is_(None))
    source = suspects.join(artifacts, artifacts.c.id == suspects.c.artifact_id)
    wanted = select(suspects).select_from(source).where(*current).order_by(suspects.c.id)
    by_job: dict[int, list[Suspect]] = {}
    for row in connection.execute(wanted):
        by_job.setdefault(row.job_id, []).append(
            Suspect(
                job_id=row.job_id,
                ordinal=row.ordinal,
                artifact_id=row.artifact_id,
                kind=row.kind,
                detail=row.detail,
                other_job_id=row.other_job_id,
                other_ordinal=row.other_ordinal,
            )
        )
    return by_job


def suspect_counts(connection: Connection, batch_id: int) -> Mapping[str, int]:
    """Return how many suspects a batch has of each kind."""
    source = suspects.join(artifacts, artifacts.c.id == suspects.c.artifact_id)
    counts = select(suspects.c.kind, func.count()).select_from(source)
    counts = counts.where(suspects.c.batch_id == batch_id, artifacts.c.superseded_at.is_(None))
    return Counter({row.kind: row[1] for row in connection.execute(counts.group_by(suspects.c.kind))})


def is_examined(connection: Connection, batch_id: int) -> bool:
    """Return whether the suspects of a batch were ever looked for."""
    return examined_state(connection, batch_id) is not None


def state_of_pictures(connection: Connection, batch_id: int) -> str:
    """Return a text that changes with the pictures of a batch, their jobs, and what is known of them."""
    figures = select(func.count(), func.max(artifacts.c.id), func.sum(artifacts.c.id), func.max(jobs.c.updated_at))
    files = connection.execute(figures.select_from(artifacts.join(jobs)).where(*_current(batch_id))).one()
    facts = connection.execute(select(func.count(), func.max(picture_facts.c.examined_at))).one()
    return " ".join(map(str, (VERSION, *files, *facts)))


def examined_state(connection: Connection, batch_id: int) -> str | None:
    """Return the state of the pictures of a batch when its suspects were written last; None: never."""
    return connection.scalar(select(properties.c.value).where(properties.c.name == _property(batch_id)))


def write_facts(path: Database, facts: Sequence[PictureFacts], now: datetime) -> None:
    """Replace the facts of these files; raise StoreError."""
    values = [
        {_COLUMNS.get(name, name): getattr(each, name) for name in _FIELDS} | {"examined_at": now} for each in facts
    ]
    if not values:
        return

    def write(connection: Connection) -> None:
        statement = upsert(connection, picture_facts)
        update = {name: statement.excluded[name] for name in values[0] if name != "sha256"}
        connection.execute(statement.on_conflict_do_update(index_elements=["sha256"], set_=update), values)

    write_as_guest(path, write)


def replace_suspects(path: Database, batch_id: int, found: Sequence[Suspect], state: str) -> None:
    """Replace all suspects of a batch; *state* is that of its pictures when they were found. Raises StoreError."""
    values = [
        {name: getattr(each, name) for name in Suspect.__dataclass_fields__} | {"batch_id": batch_id} for each in found
    ]

    def write(connection: Connection) -> None:
        connection.execute(delete(suspects).where(suspects.c.batch_id == batch_id))
        if values:
            connection.execute(insert(suspects), values)
        note = upsert(connection, properties).values(name=_property(batch_id), value=state)
        connection.execute(note.on_conflict_do_update(index_elements=["name"], set_={"value": state}))

    write_as_guest(path, write)


def _current(batch_id: int) -> tuple[ColumnElement[bool], ...]:
    return jobs.c.batch_id == batch_id, artifacts.c.superseded_at.is_(None), jobs.c.orphaned_at.is_(None)


def _property(batch_id: int) -> str:
    return f"suspects of batch {batch_id}"
