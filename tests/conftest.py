"""Fixtures of all tests: a new job database, its writer and reader, a spool slot, an environment without proxies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchgen.files.spool import Slot, Spool
from batchgen.store import migrate
from batchgen.store.reader import Reader
from batchgen.store.writer import Writer


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
