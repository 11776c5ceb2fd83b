"""The runners of a job database on PostgreSQL; on SQLite the holder of the lock is the only one."""

from __future__ import annotations

from collections.abc import Sequence

from ..database_url import DatabaseUrl
from ..files.lock import Holder
from ..store import run_lock, runners
from ..store.reader import Reader
from ..store.runners import RunnerRecord
from .project import Project


def runners_of(project: Project, reader: Reader, batch_id: int) -> Sequence[RunnerRecord]:
    """Return the runners of a batch, the oldest first; also those whose lease has ended."""
    return [each for each in _all(project, reader) if each.batch_id == batch_id]


def runners_elsewhere(project: Project, reader: Reader, batch_id: int | None = None) -> Sequence[RunnerRecord]:
    """Return the living runners of batches other than this one; None: of all."""
    return [each for each in _all(project, reader) if each.batch_id != batch_id and not each.silent]


def preparing(project: Project, reader: Reader, shown: Holder | None = None) -> Sequence[Holder]:
    """Return processes other than *shown* that work on the job database without a place among its runners yet."""
    if not isinstance(project.db, DatabaseUrl):
        return ()
    holders = run_lock.holders(project.db)  # first: one that has a place meanwhile is found there
    others = {(each.pid, each.host) for each in _all(project, reader)} | ({(shown.pid, shown.host)} if shown else set())
    return [each for each in holders if (each.pid, each.host) not in others]


def _all(project: Project, reader: Reader) -> Sequence[RunnerRecord]:
    return reader.ask(runners.records) if isinstance(project.db, DatabaseUrl) else ()
