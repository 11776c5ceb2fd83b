"""Marks of pictures in the job database, and the database's own id.

They are written without the run lock, as a guest beside a run, in short transactions.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, bindparam, delete, func, select
from sqlalchemy.exc import DBAPIError

from ..database_url import Database
from ..errors import NotFound
from ..job import State
from ..mark import NO_PICTURE, Mark
from ..planning.marks import Merge, PicturePlace, Result, StoredState, merge
from .connection import brief_engine
from .database_errors import explain
from .dialects import upsert
from .guest import write_as_guest
from .judging import still_counts
from .picture_tables import marks
from .records import StoredMark
from .rows import listed, listed_texts
from .tables import artifacts, jobs, properties

#: Entries that are merged in one transaction: a run waits for it.
CHUNK = 2_000

_ID = "id"


# --- the database's id --------------------------------------------------------


def database_id(path: Database) -> str:
    """Return the id of the database at *path*, 32 hexadecimal digits, and make one if it has none; raise StoreError."""
    wanted = select(properties.c.value).where(properties.c.name == _ID)
    try:
        with brief_engine(path) as engine, engine.connect() as connection:
            stored: str | None = connection.scalar(wanted)
    except (DBAPIError, sqlite3.Error) as error:
        raise explain(error, path) from error
    if stored is not None:
        return stored

    def make(connection: Connection) -> str:
        connection.execute(upsert(connection, properties).values(name=_ID, value=uuid4().hex).on_conflict_do_nothing())
        return str(connection.scalar(wanted))

    return write_as_guest(path, make)


# --- queries ------------------------------------------------------------------


_RECORDS = (
    select(marks, jobs.c.key, still_counts(marks, jobs).label("counts"))
    .join(jobs)
    .order_by(jobs.c.position, marks.c.ordinal)
)


def of_batch(connection: Connection, batch_id: int) -> list[StoredMark]:
    """Return all marks of a batch in the order of its manifest, those of replaced pictures included."""
    return [_record(row) for row in connection.execute(_RECORDS.where(marks.c.batch_id == batch_id))]


def of_jobs(connection: Connection, ids: Iterable[int]) -> dict[int, list[StoredMark]]:
    """Return the marks of these jobs by job id."""
    by_job: dict[int, list[StoredMark]] = {}
    for row in connection.execute(_RECORDS.where(marks.c.job_id.in_(listed(ids)))):
        by_job.setdefault(row.job_id, []).append(_record(row))
    return by_job


def state_of_marks(connection: Connection, batch_id: int) -> tuple[object, ...]:
    """Return the number of marks and the time of the last one: other values where any mark has changed."""
    wanted = select(func.count(), func.max(marks.c.marked_at)).where(marks.c.batch_id == batch_id)
    return tuple(connection.execute(wanted).one())


def _record(row: Row[Any]) -> StoredMark:
    return StoredMark(
        job_id=row.job_id,
        artifact_id=row.artifact_id,
        key=row.key,
        ordinal=row.ordinal,
        sha256=row.sha256,
        mark=row.mark,
        stars=row.stars,
        note=row.note,
        at=row.marked_at,
        replaced=not row.counts,
    )


# --- changes ------------------------------------------------------------------


def write(path: Database, batch_id: int, entries: Iterable[Mark], *, latest: bool = False) -> Merge:
    """Merge *entries* into the marks of a batch, as ``planning.marks.merge`` does; raise NotFound, StoreError.

    Each transaction takes some of them, so that a run that writes at the same time hardly waits.
    """
    changes, results, rest = list[Mark](), Counter[Result](), iter(entries)
    while chunk := list(islice(rest, CHUNK)):
        merged = write_as_guest(path, partial(_write, batch_id, chunk, latest))
        changes += merged.changes
        results.update(merged.results)
    return Merge(changes=changes, results=results)


def remove(path: Database, removed: Iterable[StoredMark]) -> None:
    """Remove marks, unless they have changed since they were read; raise StoreError."""
    place = (marks.c.job_id == bindparam("job"), marks.c.ordinal == bindparam("place"))
    values = [{"job": mark.job_id, "place": mark.ordinal, "moment": mark.at} for mark in removed]
    if values:
        same = delete(marks).where(*place, marks.c.marked_at == bindparam("moment"))
        write_as_guest(path, lambda connection: connection.execute(same, values))


def _write(batch_id: int, entries: Sequence[Mark], latest: bool, connection: Connection) -> Merge:
    ids, files, state = _read_places(connection, batch_id, entries)
    if absent := [entry.key for entry in entries if entry.key not in ids]:
        raise NotFound(f"no job in this batch has the id {absent[0]}")
    merged = merge(entries, state, latest=latest)
    changes = [(ids[mark.key], files.get((ids[mark.key], mark.ordinal)), mark) for mark in merged.changes]
    _put(connection, batch_id, changes)
    return merged


def compare(connection: Connection, batch_id: int, entries: Sequence[Mark]) -> Merge:
    """Return what ``write`` would do with *entries*; those of unknown jobs count as replaced."""
    return merge(entries, _read_places(connection, batch_id, entries)[2])


def _read_places(
    connection: Connection, batch_id: int, entries: Iterable[Mark]
) -> tuple[dict[str, int], dict[tuple[int, int], Any], StoredState]:
    """Return the jobs of *entries*, the files at each place of them, and their pictures and marks."""
    wanted = select(jobs.c.key, jobs.c.id, jobs.c.state).where(jobs.c.batch_id == batch_id)
    rows = connection.execute(wanted.where(jobs.c.key.in_(listed_texts({entry.key for entry in entries})))).all()
    ids, files = {row.key: row.id for row in rows}, _files(connection, rows)
    return ids, files, _stored_state(connection, ids, files)


def _files(connection: Connection, rows: Sequence[Any]) -> dict[tuple[int, int], Any]:
    """Return the row of the file at each place of these jobs; see ``still_counts``. Current ones take precedence."""
    done = {row.id for row in rows if row.state == State.DONE.value}
    wanted = select(
        artifacts.c.id, artifacts.c.job_id, artifacts.c.ordinal, artifacts.c.sha256, artifacts.c.superseded_at
    )
    wanted = wanted.where(artifacts.c.job_id.in_(listed(row.id for row in rows)))
    wanted = wanted.order_by(artifacts.c.superseded_at.is_(None), artifacts.c.id)
    return {
        (file.job_id, file.ordinal): file
        for file in connection.execute(wanted)
        if file.superseded_at is None or file.job_id not in done
    }


def _stored_state(connection: Connection, ids: Mapping[str, int], files: Mapping[tuple[int, int], Any]) -> StoredState:
    keys = {job_id: key for key, job_id in ids.items()}
    pictures = {PicturePlace(keys[job_id], ordinal): file.sha256 for (job_id, ordinal), file in files.items()}
    with_picture = {job_id for (job_id, _), file in files.items() if file.superseded_at is None}
    pictures |= {PicturePlace(key, NO_PICTURE): "" for key, job_id in ids.items() if job_id not in with_picture}
    counting, replaced = dict[PicturePlace, Mark](), dict[PicturePlace, Mark]()
    for mark in (mark for of_job in of_jobs(connection, keys).values() for mark in of_job):
        (replaced if mark.replaced else counting)[PicturePlace(mark.key, mark.ordinal)] = mark
    return StoredState(pictures=pictures, marks=counting, replaced=replaced)


def _put(connection: Connection, batch_id: int, changes: Sequence[tuple[int, Any, Mark]]) -> None:
    """Write marks, and remove those that are empty."""
    empty = [{"job": job_id, "place": mark.ordinal} for job_id, _, mark in changes if mark.is_empty]
    if empty:
        connection.execute(
            delete(marks).where(marks.c.job_id == bindparam("job"), marks.c.ordinal == bindparam("place")), empty
        )
    values = [
        {
            "batch_id": batch_id,
            "job_id": job_id,
            "ordinal": mark.ordinal,
            "artifact_id": None if file is None else file.id,
            "sha256": mark.sha256,
            "mark": mark.mark,
            "stars": mark.stars,
            "note": mark.note,
            "marked_at": mark.at,
        }
        for job_id, file, mark in changes
        if not mark.is_empty
    ]
    if values:
        statement = upsert(connection, marks)
        update = {name: statement.excluded[name] for name in values[0] if name not in {"batch_id", "job_id", "ordinal"}}
        connection.execute(statement.on_conflict_do_update(index_elements=["job_id", "ordinal"], set_=update), values)
