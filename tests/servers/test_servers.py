"""The servers of the tests: what other tests rely on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.acceptance.kit import wait_for

from . import postgres, s3
from .process import lives


def test_database_is_new_for_each_test(postgres_server):
    with postgres_server.database() as one, postgres_server.database() as other:
        one.rows("create table t (a int)")
        one.rows("insert into t values (?)", 7)

        assert one.rows("select a from t where a > ?", 1) == [{"a": 7}]
        assert other.rows("select count(*) as n from pg_tables where tablename = 't'") == [{"n": 0}]
    assert postgres_server.postgres.rows("select 1 from pg_database where datname = ?", one.name) == []


def test_database_refuses_a_wrong_password(postgres_database):
    psycopg = pytest.importorskip("psycopg")

    with pytest.raises(psycopg.OperationalError, match="password"):
        postgres_database.connect(password="wrong")


def test_postgres_is_killed_and_keeps_what_was_committed():
    psycopg = pytest.importorskip("psycopg")
    with postgres.running(safe=True) as server, server.database("kept") as database:
        database.rows("create table t (a int)")
        connection = database.connect()
        pids = server.pids()

        server.kill()

        assert not any(map(lives, pids))
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
        server.start()
        assert database.rows("select a from t") == []
        assert server.backends("kept") == []
    assert not server.folder.exists()


def test_postgres_is_paused_with_its_sessions(postgres_server, postgres_database):
    psycopg = pytest.importorskip("psycopg")
    connection = postgres_database.connect()
    with postgres_server.paused():
        wait_for(lambda: _state(connection.info.backend_pid) == "T")
    assert connection.execute("select 1").fetchone() == (1,)
    assert postgres_server.end_sessions(postgres_database.name) == 1
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_bucket_has_conditional_create_and_facts(bucket):
    exceptions = pytest.importorskip("obstore.exceptions")
    bucket.store.put(
        "a b/ü#%.png", b"one", mode="create", attributes={"Content-Type": "image/png", "batchgen-job": "j"}
    )

    with pytest.raises(exceptions.AlreadyExistsError):
        bucket.store.put("a b/ü#%.png", b"two", mode="create")

    assert bucket.read("a b/ü#%.png") == b"one"
    assert bucket.facts("a b/ü#%.png") == {"Content-Type": "image/png", "batchgen-job": "j"}
    assert bucket.sizes("a") == bucket.sizes("a b/") == {"a b/ü#%.png": 3}
    assert bucket.names("b") == []


def test_bucket_is_empty_at_first(s3_server):
    with s3_server.bucket("again") as bucket:
        bucket.write("x", b"1")
    with s3_server.bucket("again") as bucket:
        assert bucket.names() == []


def test_nanio_keeps_objects_over_a_restart_and_overwrites(nanio_server, plain_bucket):
    plain_bucket.store.put("x", b"one", mode="create")
    plain_bucket.store.put("x", b"two", mode="create")

    nanio_server.restart()

    assert plain_bucket.read("x") == b"two"
    assert nanio_server.requests("PUT", f"/{plain_bucket.name}/x") == 2


def test_servers_end_with_their_session():
    with s3.running() as server:
        pid = server.pid
        assert server.answers()
    assert not lives(pid)
    assert not server.folder.exists()
    assert os.getpid() != pid
