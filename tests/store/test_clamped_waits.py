"""Waits that a clock which was wrong has stored: shortened to what a provider may ask for."""

from __future__ import annotations

from datetime import datetime, timedelta

from batchgen.database_url import Database
from batchgen.store.reader import Reader
from batchgen.store.tables import micros
from batchgen.store.writer import Writer

from .kit import NOW, Raw, loaded, plan

WEEK = timedelta(days=7)


def store(path: Database, key: str, not_before: datetime, updated_at: datetime) -> None:
    with Raw(path) as connection:
        connection.execute(
            "update jobs set not_before = ?, updated_at = ? where key = ?",
            (micros(not_before), micros(updated_at), key),
        )


async def test_waits_of_a_wrong_clock_are_clamped(path: Database, writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan(key) for key in ("ahead", "absurd", "fair", "due", "none")])
    future, minute = NOW + timedelta(days=3650), timedelta(minutes=1)
    store(path, "ahead", future + minute, future)
    store(path, "absurd", future, NOW - minute)
    store(path, "fair", NOW + 2 * minute, NOW - minute)
    store(path, "due", NOW - minute, future)
    assert await writer.clamp_waits(batch_id, NOW, WEEK) == 2
    waits = {job.key: job.not_before for job in reader.jobs(batch_id)}
    assert waits == {
        "ahead": NOW + minute,  # as long as it should have waited after its last attempt
        "absurd": NOW + WEEK,
        "fair": NOW + 2 * minute,
        "due": NOW - minute,
        "none": None,
    }
    assert await writer.clamp_waits(batch_id, NOW, WEEK) == 0
