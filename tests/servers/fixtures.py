"""Fixtures of servers: one of each kind a session, a new database and a new bucket for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import postgres, s3

#: Tests that use one of these are slow ones.
SLOW = frozenset({"postgres_server", "postgres_database", "s3_server", "bucket", "nanio_server", "plain_bucket"})


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.PostgresServer]:
    with postgres.running() as server:
        yield server


@pytest.fixture
def postgres_database(postgres_server: postgres.PostgresServer) -> Iterator[postgres.Database]:
    with postgres_server.database() as database:
        yield database


@pytest.fixture(scope="session")
def s3_server() -> Iterator[s3.S3Server]:
    with s3.running() as server:
        yield server


@pytest.fixture
def bucket(s3_server: s3.S3Server) -> Iterator[s3.Bucket]:
    with s3_server.bucket() as bucket:
        yield bucket


@pytest.fixture(scope="session")
def nanio_server() -> Iterator[s3.S3Server]:
    with s3.running(s3.Nanio) as server:
        yield server


@pytest.fixture
def plain_bucket(nanio_server: s3.S3Server) -> Iterator[s3.Bucket]:
    """A bucket of a server that keeps objects on disk and knows no conditional create."""
    with nanio_server.bucket() as bucket:
        yield bucket
