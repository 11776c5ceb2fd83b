"""The file of a job database: its permissions, its log, and what happens where it is locked, full or damaged."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from contextlib import closing

import pytest

from batchgen.database_url import Database
from batchgen.errors import StoreError
from batchgen.store import migrate
from batchgen.store.reader import Reader
from batchgen.store.records import DueFilter
from batchgen.store.writer import Writer

from .kit import NOW, claimed, integrity, loaded, on_sqlite, plan


async def test_readers_read_while_the_writer_writes(writer: Writer, path: Database) -> None:
    batch_id = await loaded(writer, [plan(f"j{number}") for number in range(200)])
    stop, seen = threading.Event(), []

    def look() -> None:
        with Reader(path) as reader:
            while not stop.is_set():
                seen.append(reader.counts(batch_id).total)

    watcher = threading.Thread(target=look)
    watcher.start()
    with Reader(path) as reader:
        for job in reader.due(batch_id, DueFilter(provider="aigate"), 200, NOW):
            await claimed(writer, job)
    stop.set()
    watcher.join()
    assert set(seen) == {200}


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o777])
async def test_files_are_private_whatever_the_umask(tmp_path: Database, mask: int) -> None:
    before = os.umask(mask)
    try:
        path = tmp_path / "new" / "deep" / "batchgen.db"
        migrate.ensure(path)
        with Writer(path) as writer:
            await loaded(writer, [plan("a")])
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"batchgen.db": 0o600, "batchgen.db-wal": 0o600, "batchgen.db-shm": 0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.parent.parent.stat().st_mode & 0o777 == 0o700


@on_sqlite
async def test_a_clean_end_leaves_no_log(path: Database) -> None:
    with Writer(path) as writer:
        await loaded(writer, [plan("a")])
    assert not path.with_name("batchgen.db-wal").exists()
    assert integrity(path) == "ok"
    with pytest.raises(StoreError, match="closed"):
        await writer.open_batch("b", "", "", NOW)
    with Reader(path) as reader:
        assert reader.batch().name == "b"


@on_sqlite
async def test_a_locked_table_is_waited_for_then_refused(path: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchgen.store.connection.BUSY_MS", 50)
    with Writer(path, patience=20) as writer, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(writer.open_batch("b", "", "", NOW))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        other.execute("COMMIT")
        assert await waiting == 1
    with Writer(path, patience=0.2) as writer, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="stayed locked"):
            await writer.open_batch("c", "", "", NOW)
        other.execute("COMMIT")
        with pytest.raises(StoreError):  # it gave up: nothing may happen behind the caller's back
            await writer.open_batch("c", "", "", NOW)


@on_sqlite
async def test_a_full_disk_stops_everything(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan("a")])
    await writer._committer.submit(_fill)
    with pytest.raises(StoreError, match="disk is full"):
        await writer.load(batch_id, [plan(f"j{number}" * 50) for number in range(5_000)], NOW)
    with pytest.raises(StoreError, match="disk is full"):
        await writer.open_batch("b2", "", "", NOW)
    assert [job.key for job in reader.jobs(batch_id)] == ["a"]


def _fill(connection: object) -> None:
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar()  # type: ignore[attr-defined]
    connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")  # type: ignore[attr-defined]


@pytest.mark.parametrize("content", [b"not a database, just text. " * 400, b"SQLite format 3\x00" + b"\xff" * 4_000])
def test_a_foreign_or_damaged_file_is_refused_untouched(tmp_path: Database, content: bytes) -> None:
    path = tmp_path / "batchgen.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="To continue"):
        migrate.ensure(path)
    assert path.read_bytes() == content


def test_a_missing_table_is_explained(tmp_path: Database) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        Writer(tmp_path / "nowhere.db")
    with Reader(tmp_path / "nowhere.db") as reader, pytest.raises(StoreError, match="cannot be opened"):
        reader.batches()
