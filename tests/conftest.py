"""Fixtures of all tests: a new job database, its writer and reader, a spool slot, an environment without proxies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from batchgen.files.slot import Slot
from batchgen.files.spool import Spool
from batchgen.store import migrate
from batchgen.store.reader import Reader
from batchgen.store.writer import Writer

from . import timing
from .axes import NAMES
from .servers.fixtures import *  # noqa: F403 - pytest finds fixtures by their names in here
from .servers.fixtures import SLOW

# Few examples, always the same, for quick work; many and new ones in `make test-all` (--hypothesis-profile=ci).
hypothesis.settings.register_profile("dev", max_examples=15, deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("ci", max_examples=100, deadline=None, print_blob=True)
hypothesis.settings.load_profile("dev")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--axis", choices=NAMES, help="acceptance tests with this in place of the usual")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Scale the limit of every test; a worker takes the factor of the process that distributes the tests."""
    given = getattr(config, "workerinput", {}).get("slowness")
    if given:
        timing.use(given)
    elif config.option.timeout is None:
        config.option.timeout = timing.patience(float(config.getini("timeout")))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["slowness"] = timing.slowness()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if SLOW.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
        for mark in item.iter_markers("timeout"):
            item.add_marker(pytest.mark.timeout(timing.patience(mark.args[0])), append=False)
            break


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "state" / "batchgen.db"
    migrate.ensure(path)
    return path


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    with Writer(path) as writer:
        yield writer


@pytest.fixture
def reader(path: Path) -> Iterator[Reader]:
    with Reader(path) as reader:
        yield reader


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[Slot]:
    name = "ab" * 16
    with Spool(tmp_path / "spool").open(name, {"id": name}, 100_000) as opened:
        yield opened


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
