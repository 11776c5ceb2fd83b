"""PostgreSQL: its connections, and statements past SQLAlchemy in the SQL that SQLite reads too.

The only module that imports psycopg. A connection that writes gives up its transaction when its process stops, so that
a stopped runner holds others up for seconds only.
"""

from __future__ import annotations

import atexit
import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache, partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from sqlalchemy import Connection, Engine, PoolProxiedConnection, QueuePool, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoneFree

from .. import redaction
from ..database_url import DatabaseUrl
from ..errors import StoreError
from . import silent_server
from .database_errors import explain
from .postgres_errors import UnreachableServer, explain_wait

if TYPE_CHECKING:
    import psycopg
    from psycopg.abc import Buffer

    Dbapi: TypeAlias = psycopg.Connection[Any]

#: The oldest version of the server that is tested.
OLDEST = 13
#: Connections for reading of one process; a thread that finds none free waits so many seconds.
READERS, WAIT = 8, 60
#: Further connections for short transactions that write at the same time.
WRITERS = 7
#: A connection notices within this many seconds that its server can no longer be reached.
_NETWORK: Mapping[str, int | str] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
#: The schema of simulated runs is beside that of real ones: a batch, budget or limit of one is none of the other.
_SANDBOX = "quote_ident(current_schema() || '_sandbox')"
_ENTER_SANDBOX = f"SELECT set_config('search_path', {_SANDBOX}, false) WHERE current_schema() IS NOT NULL"
_CREATE_SANDBOX = f"SELECT 'CREATE SCHEMA IF NOT EXISTS ' || {_SANDBOX}"
_WRITING = "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '10s'; SET statement_timeout = '60s'"


def writing(url: DatabaseUrl) -> Engine:
    """Return the engine of a connection that writes."""

    def open_connection() -> Dbapi:
        dbapi = connect(url)
        dbapi.execute(_WRITING)
        dbapi.autocommit = False
        return dbapi

    return _engine(url, open_connection, pool_size=1, max_overflow=WRITERS, pool_timeout=WAIT)


def reading(url: DatabaseUrl) -> Engine:
    """Return an engine whose connections cannot write; each transaction sees one snapshot."""

    def open_connection() -> Dbapi:
        from psycopg import IsolationLevel

        dbapi = connect(url)
        dbapi.isolation_level, dbapi.read_only = IsolationLevel.REPEATABLE_READ, True
        dbapi.autocommit = False
        return dbapi

    return _engine(url, open_connection, pool_size=READERS, max_overflow=0, pool_timeout=WAIT)


@cache
def lasting_engine(url: DatabaseUrl, *, writes: bool) -> Engine:
    """Return an engine that lasts as long as this process, for short transactions every few seconds."""
    create = writing if writes else reading
    engine = create(url)
    atexit.register(engine.dispose)
    return engine


def connect(url: DatabaseUrl, seconds: int | None = None) -> Dbapi:
    """Return a connection in autocommit mode, within *seconds*; raise StoreError."""
    driver = _psycopg()
    silent_server.require_wanted(url)
    from psycopg.conninfo import conninfo_to_dict
    from psycopg.types.string import TextLoader

    redaction.register([url.password] if url.password else [])
    try:
        options: dict[str, Any] = {**_NETWORK, "application_name": _application(), **conninfo_to_dict(url.conninfo)}
        if seconds is not None:
            options["connect_timeout"] = seconds
        if url.password is not None:
            options["password"] = url.password
        dbapi: Dbapi = driver.connect(**options, client_encoding="utf8", autocommit=True)
    except driver.Error as error:
        raise explain(error, url) from None  # the driver's own error may show how it connected
    silent_server.register(dbapi, url, partial(_shut_down, url))
    adapters = dbapi.adapters
    adapters.register_loader("json", TextLoader)  # as SQLite returns it
    adapters.register_loader("numeric", _whole_numbers())
    adapters.register_dumper(str, _texts())
    _require_usable(dbapi, url)
    if url.sandbox:
        dbapi.execute(_ENTER_SANDBOX)
    return dbapi


def make_sandbox(url: DatabaseUrl) -> None:
    """Create the schema of simulated runs unless it is there; raise StoreError."""
    with connect(replace(url, sandbox=False)) as dbapi, plain_errors(url):
        dbapi.execute("SELECT pg_advisory_lock(hashtext('batchgen sandbox'))")  # Two runs may be the first at once.
        [(statement,)] = rows(dbapi, _CREATE_SANDBOX)
        if statement is not None:
            dbapi.execute(statement)


@contextmanager
def plain_errors(url: DatabaseUrl) -> Iterator[None]:
    """Raise StoreError for errors of the driver."""
    try:
        yield
    except _psycopg().Error as error:
        raise explain(error, url) from None


def answers(url: DatabaseUrl, seconds: int) -> bool:
    """Return whether the server accepts a new connection within *seconds*."""
    try:
        connect(url, seconds).close()
    except UnreachableServer:
        return False
    except StoreError:  # such as too many connections: it does answer
        return True
    return True


def _shut_down(url: DatabaseUrl, dbapi: Dbapi) -> None:
    """End a connection under the thread that waits for its answer."""
    with suppress(OSError, StoreError), plain_errors(url):
        # A copy of the descriptor: closing it leaves that of the connection open.
        copy = socket.socket(fileno=os.dup(dbapi.fileno()))
        try:
            copy.shutdown(socket.SHUT_RDWR)
        finally:
            copy.close()


def is_alive(dbapi: Dbapi) -> bool:
    """Return whether a connection still answers."""
    try:
        dbapi.execute("SELECT 1")
    except _psycopg().Error:
        dbapi.close()
        return False
    return True


def rows(dbapi: Dbapi, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    return dbapi.execute(query, values).fetchall()


def _engine(url: DatabaseUrl, creator: Callable[[], Dbapi], **pool: int) -> Engine:
    _psycopg()  # The error of a missing extra is plain here, and SQLAlchemy's is not.

    class Connections(QueuePool):
        def connect(self) -> PoolProxiedConnection:
            try:
                return super().connect()
            except NoneFree:
                raise explain_wait(url, self.size() + self._max_overflow, pool["pool_timeout"]) from None

    engine = {"poolclass": Connections, "pool_pre_ping": True, "hide_parameters": True}
    return create_engine("postgresql+psycopg://", creator=creator, **engine, **pool)


def _psycopg() -> ModuleType:
    try:
        import psycopg
    except ImportError:
        raise StoreError(
            "a job database on PostgreSQL needs the extra postgres: pip install 'batchgen[postgres]'"
        ) from None
    return psycopg


def _application() -> str:
    """Return the name of this process among the connections of a server, which a second runner is shown."""
    return f"batchgen {os.getpid()}@{socket.gethostname()}"[:63]


def _require_usable(dbapi: Dbapi, url: DatabaseUrl) -> None:
    """Raise StoreError if the server is too old, or its database cannot store every text."""
    version, encoding = dbapi.info.server_version, dbapi.info.parameter_status("server_encoding")
    if version < OLDEST * 10_000:
        problem = f"the server is PostgreSQL {version // 10_000}, and batchgen needs {OLDEST} or newer. Upgrade it"
    elif encoding != "UTF8":
        problem = f"it is encoded in {encoding}, which lacks characters of prompts. Create one with ENCODING 'UTF8'"
    else:
        return
    dbapi.close()
    raise StoreError(f"Job database {url}: {problem}, or use another database with --db.")


@cache
def _whole_numbers() -> type[Any]:
    """Return the loader of sums, which PostgreSQL widens to numeric; all columns are whole numbers."""
    from psycopg.adapt import Loader

    class WholeNumber(Loader):
        def load(self, data: Buffer) -> int:
            return int(bytes(data))

    return WholeNumber


@cache
def _texts() -> type[Any]:
    """Return the dumper of texts; PostgreSQL stores no NUL, and an answer with one must still be booked."""
    from psycopg.types.string import StrDumper

    class Text(StrDumper):
        def dump(self, obj: str) -> Buffer | None:
            return super().dump(obj.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in obj else obj)

    return Text


# --- statements past SQLAlchemy -----------------------------------------------


class Statements:
    """Executes statements on the driver's connection of an open transaction, as ``sqlite3.Connection`` does.

    Errors are those of SQLAlchemy, and a broken connection is given up as SQLAlchemy would.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Sequence[object] | Mapping[str, object] = ()) -> psycopg.Cursor[Any]:
        """Execute a statement and return its cursor."""
        dbapi = self._dbapi()
        try:
            return dbapi.execute(translate(sql), values)
        except _psycopg().Error as error:
            raise self._failure(sql, error, dbapi) from error

    def executemany(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Execute a statement for each row."""
        dbapi = self._dbapi()
        try:
            with dbapi.cursor() as cursor:
                cursor.executemany(translate(sql), rows)
        except _psycopg().Error as error:
            raise self._failure(sql, error, dbapi) from error

    def _dbapi(self) -> Dbapi:
        return cast("Dbapi", self._connection.connection.dbapi_connection)

    def _failure(self, sql: str, error: Exception, dbapi: Dbapi) -> BaseException:
        is_broken = bool(dbapi.closed or dbapi.broken)
        if is_broken and not self._connection.invalidated:
            self._connection.invalidate(error)
        failure: BaseException = DBAPIError.instance(
            sql, None, error, _psycopg().Error, hide_parameters=True, connection_invalidated=is_broken
        )
        return failure


_NAMED = re.compile(r"(?<![:\w]):([a-z_]+)\b")


@cache
def translate(sql: str) -> str:
    """Return a statement of SQLite with the parameters and the few words of PostgreSQL."""
    if "%(" in sql:  # compiled for PostgreSQL by SQLAlchemy
        return sql
    sql = sql.replace("%", "%%").replace("CROSS JOIN", "JOIN").replace("json_array(", "json_build_array(")
    return _NAMED.sub(r"%(\1)s", sql.replace("?", "%s"))
