"""Tests of the store run on SQLite and, where a server can be started, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batchgen.database_url import Database, DatabaseUrl
from batchgen.store import migrate
from tests.servers.postgres import PostgresServer


@pytest.fixture(scope="session")
def migrated(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a database with all tables, which new ones are copied from."""
    with postgres_server.database("migrated") as database:
        migrate.ensure(DatabaseUrl.parse(database.url))
        postgres_server.end_sessions(database.name)  # Nothing may be connected to what is copied.
        yield database.name


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A new job database: a file, or a database of the server."""
    if request.param == "sqlite":
        path = tmp_path / "state" / "batchgen.db"
        migrate.ensure(path)
        yield path
        return
    yield request.getfixturevalue("server_path")


@pytest.fixture
def server_path(postgres_server: PostgresServer, migrated: str) -> Iterator[DatabaseUrl]:
    """A new job database on the server."""
    with postgres_server.database() as database:
        with closing(postgres_server.postgres.connect()) as admin:
            admin.execute(f'drop database "{database.name}"')
            admin.execute(f'create database "{database.name}" template "{migrated}"')
        yield DatabaseUrl.parse(database.url)
