"""Changes of the job database: which jobs of a batch changed since a moment, found at little cost by a server."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError

from ..database_url import Database, DatabaseUrl
from .connection import reading
from .database_errors import explain
from .rows import listed_texts
from .tables import EPOCH, IS_REMOTE, OPEN, attempts, jobs, micros

#: A job carries the moment of its change, which is before that of its commit: by as long as a slow disk takes.
OVERLAP = timedelta(seconds=15)

#: What differs after each commit. On PostgreSQL also after those of other databases, which costs a query.
_VERSION = {"sqlite": "PRAGMA data_version", "postgresql": "SELECT CAST(pg_current_snapshot() AS text)"}
#: The columns in which two states of a job differ.
_FACTS = (
    *(jobs.c.updated_at, jobs.c.state, jobs.c.claim, jobs.c.delivered, jobs.c.orphaned_at),
    # The id of a remote task is committed after the claim, and changes no column of the job.
    select(func.count()).where(attempts.c.job_id == jobs.c.id, OPEN, IS_REMOTE).scalar_subquery(),
)


@dataclass(slots=True)
class Changes:
    """Watches a job database through one connection of its own, which is only used by one thread at a time."""

    path: Database
    _connection: Connection | None = None
    _file: tuple[int, int] = (0, 0)  #: device and inode of the open database
    _version: object = 0
    _recent: dict[int, tuple[object, ...]] = field(default_factory=dict)  #: jobs reported within the overlap

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection.engine.dispose()
            self._connection = None

    def happened(self) -> bool:
        """Return whether anything was committed since the last call; raise StoreError."""
        try:
            connection = self._open()
            version = connection.exec_driver_sql(_VERSION[connection.dialect.name]).scalar_one()
            self._end()
        except (DBAPIError, sqlite3.Error) as error:
            self.close()
            raise explain(error, self.path) from error
        before, self._version = self._version, version
        return before != self._version

    def changed(self, batch_id: int, since: datetime) -> list[int]:
        """Return the ids of jobs that changed since about *since* and were not returned yet; raise StoreError."""
        try:
            asked = select(jobs.c.id, *_FACTS).where(jobs.c.batch_id == batch_id, jobs.c.updated_at >= since - OVERLAP)
            rows = {row[0]: tuple(row[1:]) for row in self._open().execute(asked)}
            self._end()
        except (DBAPIError, sqlite3.Error) as error:
            self.close()
            raise explain(error, self.path) from error
        fresh = [job_id for job_id, facts in rows.items() if self._recent.get(job_id) != facts]
        self._recent = rows
        return fresh

    @property
    def was_replaced(self) -> bool:
        """Return whether another file has taken the place of the open database: it was recovered, or moved."""
        return self._connection is not None and _identity(self.path) != self._file

    def _open(self) -> Connection:
        if self._connection is None or self.was_replaced:
            self.close()
            self._file, self._version = _identity(self.path), 0
            self._recent.clear()
            self._connection = reading(self.path).connect()
        return self._connection

    def _end(self) -> None:
        """End the transaction: an open one would keep showing the same snapshot."""
        if self._connection is not None:
            self._connection.rollback()


def _identity(path: Database) -> tuple[int, int]:
    if isinstance(path, DatabaseUrl):
        return 0, 0
    with suppress(OSError):
        facts = path.stat()
        return facts.st_dev, facts.st_ino
    return 0, 0


def cursor(moment: datetime) -> int:
    """Return *moment* as a number that a page hands in again."""
    return micros(moment)


def moment_of(cursor: int) -> datetime:
    """Return the moment of a cursor; raise OverflowError for a number beyond all dates."""
    return EPOCH + timedelta(microseconds=cursor)


def state_of_jobs(connection: Connection, batch_id: int, keys: Iterable[str]) -> str:
    """Return a hash of what a run changes of these jobs: another one where any of them has changed."""
    wanted = select(jobs.c.id, *_FACTS).where(jobs.c.batch_id == batch_id, jobs.c.key.in_(listed_texts(keys)))
    digest = hashlib.sha256()
    for row in connection.execute(wanted.order_by(jobs.c.id)):
        digest.update(repr(tuple(row)).encode())
    return digest.hexdigest()
