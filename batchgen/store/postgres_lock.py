"""Run lock on PostgreSQL: per batch and shard, by advisory locks.

They belong to a connection of their own, and the server frees them when that ends. A run of all jobs of a batch
excludes its shards, and a command without a batch (``db upgrade``) excludes every run.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

from ..database_url import DatabaseUrl
from ..errors import AlreadyRunning, BatchgenError
from ..files import lock
from ..files.lock import Holder
from . import postgres

if TYPE_CHECKING:
    from .postgres import Dbapi

_POLL = 0.2  #: seconds between two tries while waiting
_CHECK = 5.0  #: seconds after which the connection of a lock is checked


@contextmanager
def hold(database: DatabaseUrl, batch: str | None, shard: tuple[int, int] | None, wait: float) -> Iterator[None]:
    """Hold the lock of *batch* (None: of all) or of one of its shards; see ``run_lock.hold``."""
    keeper = _Keeper(database, _steps(batch, shard))
    keeper.acquire(time.monotonic() + wait)
    keeper.start()
    try:
        yield
    finally:
        keeper.stop()


def holder(database: DatabaseUrl, batch: str | None) -> Holder | None:
    """Return a process that works on the job database, or on *batch*; None if there seems to be none."""
    with postgres.connect(database) as dbapi, postgres.plain_errors(database):
        return _holder(dbapi, "" if batch is None else f"batch {batch}") or _living(dbapi, batch)


def holders(database: DatabaseUrl) -> list[Holder]:
    """Return every process that works on the job database, the oldest first."""
    with postgres.connect(database) as dbapi, postgres.plain_errors(database):
        return _holders(dbapi, "")


def _steps(batch: str | None, shard: tuple[int, int] | None) -> list[tuple[str, bool]]:
    """Return the locks that are acquired in turn, and whether each is shared with others of its kind."""
    if batch is None:
        return [("", False)]
    if shard is None:
        return [("", True), (f"batch {batch}", False)]
    return [("", True), (f"batch {batch}", True), (f"batch {batch} shard {shard[0]}/{shard[1]}", False)]


class _Keeper:
    """Holds the locks, and acquires them again on a new connection when the old one was lost.

    Meanwhile the lease of a run keeps other runs of its jobs out.
    """

    def __init__(self, database: DatabaseUrl, steps: list[tuple[str, bool]]) -> None:
        self._database = database
        self._steps = steps
        self._dbapi: Dbapi | None = None
        self._stopped = Event()
        self._thread = Thread(target=self._keep, name="batchgen-run-lock", daemon=True)

    def acquire(self, deadline: float) -> None:
        self._dbapi = postgres.connect(self._database)
        try:
            with postgres.plain_errors(self._database):
                _acquire(self._dbapi, self._database, self._steps, deadline)
        except BaseException:
            self._dbapi.close()
            raise

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        if self._dbapi is not None:
            self._dbapi.close()

    def _keep(self) -> None:
        while not self._stopped.wait(_CHECK):
            with suppress(BatchgenError):  # The next check tries again.
                if self._dbapi is None or not postgres.is_alive(self._dbapi):
                    self.acquire(time.monotonic())


def _acquire(dbapi: Dbapi, database: DatabaseUrl, steps: list[tuple[str, bool]], deadline: float) -> None:
    for name, shared in steps:
        query = f"SELECT pg_try_advisory_lock{'_shared' if shared else ''}(%s)"
        while postgres.rows(dbapi, query, _number(dbapi, name)) != [(True,)]:
            if not _end_silent(dbapi, name) and time.monotonic() >= deadline:
                raise AlreadyRunning(_message(_holder(dbapi, name), database))
            time.sleep(_POLL)


def _end_silent(dbapi: Dbapi, name: str) -> bool:
    """End connections that hold a lock for runners whose lease has ended; return whether there were any.

    Their hosts are gone, or their processes were stopped; the server may notice neither for hours.
    """
    if postgres.rows(dbapi, "SELECT to_regclass('runners')") == [(None,)]:
        return False
    return any(ended for (ended,) in postgres.rows(dbapi, _END_SILENT, _number(dbapi, name)))


def _number(dbapi: Dbapi, name: str) -> int:
    """Return the number of a lock: PostgreSQL knows them by numbers, one set for all schemas of a database."""
    [(schema,)] = postgres.rows(dbapi, "SELECT current_schema()")
    return int.from_bytes(hashlib.sha256(f"batchgen {schema} {name}".encode()).digest()[:8], "big", signed=True)


_OF_LOCK = """
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid <> pg_backend_pid()
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND (CAST(classid AS bigint) << 32) | CAST(objid AS bigint) = %s
"""
_HOLDERS = (
    "SELECT application_name, to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    f"{_OF_LOCK} ORDER BY backend_start"
)
#: Connections of runners by the name that they have there; a process with the number of an earlier one began later.
_SILENT = """
SELECT FROM runners WHERE application_name = left('batchgen ' || runners.pid || '@' || runners.host, 63)
AND lease_until < extract(epoch FROM clock_timestamp()) * 1000000
AND extract(epoch FROM backend_start) * 1000000 < heartbeat_at
"""
_END_SILENT = f"SELECT pg_terminate_backend(pid) {_OF_LOCK} AND EXISTS ({_SILENT})"
#: Runners whose lease holds, also where their lock was lost with its connection.
_LIVING = """
SELECT runners.pid, runners.host, runners.machine,
to_char(to_timestamp(runners.started_at / 1000000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
FROM runners JOIN batches ON batches.id = batch_id
WHERE lease_until > extract(epoch FROM clock_timestamp()) * 1000000 AND batches.name = coalesce(%s, batches.name)
ORDER BY runners.id
"""


def _holder(dbapi: Dbapi, name: str) -> Holder | None:
    return next(iter(_holders(dbapi, name)), None)


def _holders(dbapi: Dbapi, name: str) -> list[Holder]:
    """Return the processes that hold a lock, the oldest first."""
    return [_process(name, since) for name, since in postgres.rows(dbapi, _HOLDERS, _number(dbapi, name))]


def _process(application: str | None, since: str) -> Holder:
    """Return the process that its connection's name states."""
    pid, host = 0, "another host"
    with suppress(ValueError):
        number, _, host = (application or "").removeprefix("batchgen ").partition("@")
        pid = int(number)
    return Holder(pid=pid, host=host, since=since, command="batchgen")


def _living(dbapi: Dbapi, batch: str | None) -> Holder | None:
    if postgres.rows(dbapi, "SELECT to_regclass('runners')") == [(None,)]:
        return None
    rows = postgres.rows(dbapi, _LIVING, batch)
    living = (row for row in rows if not lock.is_gone(row[0], row[2]))
    return next((Holder(pid=pid, host=host, since=since, command="batchgen") for pid, host, _, since in living), None)


def _message(process: Holder | None, database: DatabaseUrl) -> str:
    hint = "Wait for it, or watch it with `batchgen watch`; run, retry and redo wait with --wait-lock 1h."
    who = "" if process is None else f": process {process.pid} on {process.host}, since {process.since}"
    return f"Another run uses this batch of the job database ({database}){who}. {hint}"
