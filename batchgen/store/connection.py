"""Connections to the job database.

One connection writes (``writing``); all others are read-only (``reading``), which also keeps them from checkpointing:
SQLite before 3.51.3 may damage a write-ahead log that two connections reset at once. Commands that write while a run
holds the lock are guests, which never checkpoint either: only the holder of the lock does.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sqlalchemy import Connection, Engine, Pool, QueuePool, StaticPool, create_engine, event

from ..database_url import Database, DatabaseUrl
from ..errors import StoreError
from ..files.atomic import sync
from ..planning.selection import named, sample_key, shard_of
from .database_errors import is_busy
from .dialects import is_postgres

if TYPE_CHECKING:
    from tenacity import Retrying

BUSY_MS = 10_000


def patiently(seconds: float) -> Retrying:
    """Return a retrying caller that waits up to *seconds* for another process that writes."""
    # Imported here because commands that only read never need it.
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

    return Retrying(
        retry=retry_if_exception(is_busy),
        stop=stop_after_delay(seconds),
        wait=wait_random_exponential(multiplier=0.01, max=1),
        reraise=True,
    )


def prepare(path: Path) -> None:
    """Create the file *path* (0600) and missing folders (0700) whatever the umask; raise StoreError.

    ``-wal`` and ``-shm`` copy the file's mode, so it must be right before the first connection.
    """
    try:
        _folder(path.parent)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        if path.stat().st_mode & 0o777 != 0o600:
            path.chmod(0o600)
    except OSError as error:
        hint = "Check that the folder exists on a writable disk and belongs to you, or use --db."
        raise StoreError(f"Job database {path}: it cannot be created ({error.strerror}). {hint}") from error


def copy_to(dbapi: sqlite3.Connection, part: Path) -> None:
    """Write a durable copy of the open database to *part* (0600); ``cp`` would miss what is in the ``-wal`` file."""
    part.unlink(missing_ok=True)
    prepare(part)
    dbapi.execute("VACUUM INTO ?", (str(part),))
    with part.open("rb") as copy:
        sync(copy.fileno())


def _folder(path: Path) -> None:
    if path.is_dir():
        return
    _folder(path.parent)
    with suppress(FileExistsError):
        path.mkdir(0o700)
        path.chmod(0o700)  # mkdir obeys the umask


def writing(path: Database, *, guest: bool = False) -> Engine:
    """Return the engine of the one connection that writes; on SQLite its transactions are BEGIN IMMEDIATE.

    *guest*: another process may hold the run lock and write as well, so the log is not checkpointed.
    """
    if isinstance(path, DatabaseUrl):
        from . import postgres

        return postgres.writing(path)
    log = ("wal_autocheckpoint=0",) if guest else ()

    def connect() -> sqlite3.Connection:
        # 16 MB of pages: random ids touch pages all over the index, and each evicted page is written again
        dbapi = _connect(path, "rw", "synchronous=full", "foreign_keys=on", "cache_size=-16000", *log)
        mode = dbapi.execute("PRAGMA journal_mode=wal").fetchone()[0]
        if mode != "wal":  # SQLite does not report a failed switch
            dbapi.close()
            raise StoreError(
                f"Job database {path}: the write-ahead log cannot be used (journal mode is {mode}). Use a local disk."
            )
        return dbapi

    # A deferred transaction fails at once, despite busy_timeout, when it changes from reading to writing.
    return _engine(connect, "BEGIN IMMEDIATE", StaticPool)


def reading(path: Database) -> Engine:
    """Return an engine whose connections cannot write; each transaction sees one snapshot.

    Its SQL may use ``named``, ``shard_of`` and ``sample_key`` of ``selection``.
    """
    if isinstance(path, DatabaseUrl):
        from . import postgres

        return postgres.reading(path)

    def connect() -> sqlite3.Connection:
        dbapi = _connect(path, "ro", "query_only=on")
        for function in (named, shard_of, sample_key):
            dbapi.create_function(function.__name__, 2, function, deterministic=True)
        return dbapi

    # Lanes read concurrently, each in its own thread: none may wait or fail because connections are limited.
    return _engine(connect, "BEGIN", QueuePool, max_overflow=-1)


@contextmanager
def brief_engine(database: Database, *, writes: bool = False) -> Iterator[Engine]:
    """Yield an engine for a transaction or two; that of a server keeps its connection for the next ones."""
    if isinstance(database, DatabaseUrl):
        from . import postgres

        yield postgres.lasting_engine(database, writes=writes)
        return
    engine = writing(database, guest=True) if writes else reading(database)
    try:
        yield engine
    finally:
        engine.dispose()


def _connect(path: Path, mode: str, *settings: str) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?mode={mode}"
    dbapi = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
    try:
        for setting in (
            f"busy_timeout={BUSY_MS}",
            *settings,
            "trusted_schema=off",
            "cell_size_check=on",
            "mmap_size=0",
        ):
            dbapi.execute(f"PRAGMA {setting}")
    except sqlite3.Error:
        dbapi.close()
        raise
    return dbapi


def _engine(connect: Callable[[], sqlite3.Connection], start: str, pool: type[Pool], **facts: int) -> Engine:
    engine = create_engine("sqlite://", creator=connect, poolclass=pool, **facts)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(start)  # with isolation_level None the driver begins no transactions of its own

    return engine


def driver(connection: Connection) -> sqlite3.Connection:
    """Return the driver's connection, in the same transaction, for millions of rows; SQLite's raises sqlite3.Error.

    Statements for PostgreSQL are executed in the same way, and are translated as ``postgres.translate`` does.
    """
    if is_postgres(connection):
        from . import postgres

        return cast("sqlite3.Connection", postgres.Statements(connection))
    return cast("sqlite3.Connection", connection.connection.dbapi_connection)


def checkpoint(connection: Connection) -> None:
    """Move SQLite's write-ahead log into the database file and truncate it; a reader only delays that."""
    if is_postgres(connection):
        return
    raw = driver(connection)
    # The end of a run does not wait for a reader, because the next run checkpoints too.
    raw.execute("PRAGMA busy_timeout=100")
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
