"""Run lock: one run at a time per job database on SQLite, and per batch and shard on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..database_url import Database, DatabaseUrl
from ..files import lock
from ..files.lock import Holder


@contextmanager
def hold(
    database: Database,
    *,
    command: str,
    batch: str | None = None,
    shard: tuple[int, int] | None = None,
    wait: float = 0.0,
) -> Iterator[None]:
    """Hold the run lock, or wait *wait* seconds for it; raise AlreadyRunning or StoreError.

    On SQLite it is that of the whole database; on PostgreSQL that of *batch* (None: of all) or of one of its shards.
    """
    if isinstance(database, DatabaseUrl):
        from . import postgres_lock

        with postgres_lock.hold(database, batch, shard, wait):
            yield
    else:
        with lock.hold(database, command=command, wait=wait):
            yield


def holder(database: Database, batch: str | None = None) -> Holder | None:
    """Return a process that works on the job database (or on this batch); None if there seems to be none."""
    if isinstance(database, DatabaseUrl):
        from . import postgres_lock

        return postgres_lock.holder(database, batch)
    return lock.holder(database)


def holders(database: DatabaseUrl) -> list[Holder]:
    """Return every process that works on a job database on PostgreSQL, the oldest first."""
    from . import postgres_lock

    return postgres_lock.holders(database)
