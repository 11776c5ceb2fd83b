"""One sandbox for all tests of the cluster, one world a test."""

from __future__ import annotations

import pytest

from batchgen.sandbox.launch import start

from .world import World


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="package")
def sandbox(tmp_path_factory):
    extra = ("--draw", "small", "--honour-idempotency")
    with start(tmp_path_factory.mktemp("sandbox"), latency="0.3", idle_exit=90, extra=extra) as running:
        yield running


@pytest.fixture
def world(sandbox, tmp_path, no_proxies):
    return World(sandbox=sandbox, folder=tmp_path)
