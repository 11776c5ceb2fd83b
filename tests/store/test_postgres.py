"""PostgreSQL under the store: its locks, indexes and errors."""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest
from sqlalchemy import Connection, select

from batchgen.database_url import Database, DatabaseUrl
from batchgen.errors import StoreError
from batchgen.store import migrate, postgres, run_lock
from batchgen.store import patience as patience_of_readers
from batchgen.store.dialects import LEDGER, TOTALS, lock_rows_of, newest_first
from batchgen.store.guest import write_as_guest
from batchgen.store.reader import Reader
from batchgen.store.tables import attempts
from batchgen.store.writer import Writer
from tests.servers.postgres import PostgresServer
from tests.timing import patience

from .kit import NOW, Raw, loaded, plan

#: Tests of what only a server does.
on_postgres = pytest.mark.parametrize("path", [pytest.param("postgres", marks=pytest.mark.slow)], indirect=True)
WAITING = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def waiting(path: Database) -> int:
    """Wait until a connection waits for an advisory lock, and return its process."""
    deadline = time.monotonic() + patience(10)
    with Raw(path) as dbapi:
        while not (rows := dbapi.execute(WAITING).fetchall()):
            assert time.monotonic() < deadline, "no connection waits"
            time.sleep(0.01)
    return int(rows[0][0])


async def begin(writer: Writer, batch_id: int, run_id: str) -> None:
    await writer.begin_run(run_id, batch_id, command="batchgen run", pid=1, host="web1", now=NOW)


@on_postgres
async def test_closing_of_blocks_that_fails_repeats_no_command(path: Database, writer: Writer) -> None:
    batch_id = await loaded(writer, [plan("cat")])
    books, may_end = threading.Event(), threading.Event()

    def book(connection: Connection) -> None:
        lock_rows_of(connection, LEDGER, shared=True)
        books.set()
        may_end.wait(patience(60))
        lock_rows_of(connection, TOTALS)  # It adds a block up again.

    with ThreadPoolExecutor() as threads:
        booking = threads.submit(write_as_guest, path, book)
        try:
            books.wait(patience(10))
            await begin(writer, batch_id, "first")  # Its answer comes before blocks are closed.
            closing_pid = waiting(path)
            with Raw(path) as dbapi:
                dbapi.execute("SELECT pg_cancel_backend(?)", (closing_pid,))
            await begin(writer, batch_id, "second")
            waiting(path)
        finally:
            may_end.set()
        booking.result(patience(30))
    with Reader(path) as reader:
        assert sorted(run.id for run in reader.runs(batch_id)) == ["first", "second"]


@on_postgres
async def test_newest_attempts_are_found_by_an_index(path: Database, reader: Reader) -> None:
    def explain(connection: Connection, query: object) -> str:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        text = str(query.compile(connection.engine, compile_kwargs={"literal_binds": True}))  # type: ignore[attr-defined]
        return "\n".join(connection.exec_driver_sql(f"EXPLAIN {text}").scalars())

    def plans(connection: Connection) -> list[str]:
        newest = newest_first(connection, select(attempts.c.model), attempts).limit(20)
        recent = select(attempts.c.model).where(attempts.c.provider == "aigate", attempts.c.started_at > NOW)
        return [explain(connection, newest), explain(connection, recent)]

    for steps in reader.ask(plans):
        assert "attempts_sent" in steps, steps
        assert "Sort" not in steps, steps


@on_postgres
def test_connection_that_breaks_while_it_waits_for_the_lock_is_explained(
    path: DatabaseUrl, postgres_server: PostgresServer
) -> None:
    def wait() -> None:
        with run_lock.hold(path, command="batchgen run", batch="b", wait=patience(60)):
            pytest.fail("two runs hold one lock")

    with ThreadPoolExecutor() as threads, run_lock.hold(path, command="batchgen run", batch="b"):
        second = threads.submit(wait)
        name = path.address.rpartition("/")[2]
        with closing(postgres_server.postgres.connect()) as admin:
            query = (
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = %s and query like 'SELECT pg_try_advisory_lock(%%' and pid <> %s"
            )
            holders = "select pid from pg_locks where locktype = 'advisory' and granted and mode = 'ExclusiveLock'"
            [(holder,)] = admin.execute(holders).fetchall()
            while not admin.execute(query, (name, holder)).fetchall():
                pass
        with pytest.raises(StoreError, match="cannot be reached"):
            second.result(patience(30))


@on_postgres
def test_wait_for_a_connection_ends_with_a_plain_error(path: DatabaseUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "WAIT", 1)
    monkeypatch.setattr(postgres, "READERS", 2)
    monkeypatch.setattr(patience_of_readers, "PATIENCE", 0.0)
    with Reader(path) as reader, ExitStack() as busy:
        for _ in range(2):
            busy.enter_context(reader._open())
        with pytest.raises(StoreError, match=r"no connection of this process was free for 1 s: all 2 waited") as error:
            reader.batches()
        assert "pg_stat_activity" in str(error.value)
        busy.close()
        assert reader.batches() == []


@on_postgres
def test_server_without_a_free_connection_is_explained(path: DatabaseUrl, postgres_server: PostgresServer) -> None:
    name = path.address.rpartition("/")[2]
    limited = DatabaseUrl.parse(f"postgresql://limited:limited@127.0.0.1:{postgres_server.port}/{name}")
    with closing(postgres_server.postgres.connect()) as admin:
        admin.execute("create role limited login password 'limited' connection limit 1")
        try:
            with closing(postgres.connect(limited)), pytest.raises(StoreError) as error:
                postgres.connect(limited)
        finally:
            admin.execute("drop role limited")
    assert "the server has no free connection" in str(error.value)
    assert "pg_stat_activity" in str(error.value)
    assert "limited:limited" not in str(error.value)


@on_postgres
def test_server_that_is_too_old_is_explained(path: DatabaseUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "OLDEST", 99)
    with pytest.raises(StoreError, match=r"the server is PostgreSQL \d+, and batchgen needs 99 or newer. Upgrade it"):
        postgres.connect(path)


def test_missing_extra_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"pip install 'batchgen\[postgres\]'"):
        migrate.revision(DatabaseUrl.parse("postgresql://db.example.com/shop"))


TOKENS = "SELECT name, value FROM properties WHERE name LIKE 'last transaction of %%'"


@on_postgres
async def test_tokens_of_programs_that_ended_are_removed(path: DatabaseUrl) -> None:
    migrate.ensure(path)
    with postgres.connect(path) as dbapi:
        dbapi.execute("INSERT INTO properties VALUES ('last transaction of web1 7 140', 'without a time')")
        dbapi.execute("INSERT INTO properties VALUES ('last transaction of web1 8 140', 'c0ffee 1500000000')")
        now = "'beef ' || extract(epoch FROM now())::bigint"
        dbapi.execute(f"INSERT INTO properties SELECT 'last transaction of web2 7 140', {now}")
        with closing(Writer(path)) as writer:
            await loaded(writer, [plan("cat")])
            assert len(postgres.rows(dbapi, TOKENS)) == 4
        assert [name for name, _ in postgres.rows(dbapi, TOKENS)] == ["last transaction of web2 7 140"]
