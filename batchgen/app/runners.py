"""The runners of a job database on PostgreSQL; on SQLite the holder of the lock is the only one."""

from __future__ import annotations

from collections.abc import Sequence

from ..database_url import DatabaseUrl
from ..store import runners
from ..store.reader import Reader
from ..store.runners import RunnerRecord
from .project import Project


def runners_of(project: Project, reader: Reader, batch_id: int) -> Sequence[RunnerRecord]:
    """Return the runners of a batch, the oldest first; also those whose lease has ended."""
    return [each for each in _all(project, reader) if each.batch_id == batch_id]


def runners_elsewhere(project: Project, reader: Reader, batch_id: int | None = None) -> Sequence[RunnerRecord]:
    """Return the living runners of batches other than this one; None: of all."""
    return [each for each in _all(project, reader) if each.batch_id != batch_id and not each.silent]


def _all(project: Project, reader: Reader) -> Sequence[RunnerRecord]:
    return reader.ask(runners.records) if isinstance(project.db, DatabaseUrl) else ()
