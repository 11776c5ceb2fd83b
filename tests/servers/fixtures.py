"""Fixtures of servers: one of each kind a session, a new database and a new bucket for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.axes import Axis, PostgresAxis, RayAxis, S3Axis

from . import cluster, postgres, ray_workers, s3

#: Tests that use one of these are slow ones.
SLOW = frozenset(
    {"postgres_server", "postgres_database", "s3_server", "bucket", "nanio_server", "plain_bucket", "ray_cluster"}
)


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


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[cluster.Cluster]:
    """A Ray cluster of one node on this machine, whose workers have a key of every provider."""
    from tests.acceptance.kit import CANARY, PROVIDERS

    with cluster.cluster({f"{name.upper()}_API_KEY": CANARY for name in PROVIDERS}) as running:
        running.add_node(cpus=16)
        yield running


@pytest.fixture(scope="session")
def ray_workers_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ray_workers.Pool]:
    from tests.acceptance.kit import CANARY, PROVIDERS

    keys = {f"{name.upper()}_API_KEY": CANARY for name in PROVIDERS}
    with ray_workers.running(tmp_path_factory.mktemp("workers"), keys) as pool:
        yield pool


@pytest.fixture
def axis(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Axis]:
    """What differs from the usual in this session: see tests/axes.py."""
    match request.config.option.axis:
        case "postgres":
            yield PostgresAxis(tmp_path, request.getfixturevalue("postgres_database"))
        case "s3":
            yield S3Axis(tmp_path, request.getfixturevalue("bucket"))
        case "ray":
            pool = request.getfixturevalue("ray_workers_pool")
            yield RayAxis(tmp_path, pool)
            pool.release()
        case _:
            yield Axis(tmp_path)
