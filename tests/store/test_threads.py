"""What several lanes share is asked for and changed in many threads at once; the interpreter switches all the time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from batchgen.app.run import RunOptions
from batchgen.planning.selection import Selection
from batchgen.store import queries
from batchgen.store.reader import Reader
from batchgen.store.records import DueFilter
from batchgen.store.writer import Writer
from tests.faults import kit
from tests.faults.kit import Site, fails, in_order, shows, site
from tests.timing import patience

from .kit import NOW, claimed, delivery, loaded, on_sqlite, plan

LANES = 6
KEYS = [f"job-{number:03}" for number in range(48)]


@pytest.fixture(autouse=True)
def restless() -> Iterator[None]:
    """Let threads take turns after every few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[Site]:
    with site(tmp_path, monkeypatch) as made:
        yield made


async def test_pages_that_are_over_are_forgotten_by_whoever_sees_it_first(
    writer: Writer, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "PAGE", 3)
    batch_id = await loaded(writer, map(plan, KEYS))
    among = reader.scope(batch_id, Selection(limit=len(KEYS)))
    for job in reader.due(batch_id, DueFilter(provider="aigate"), 99, NOW, among):
        _, attempt = await claimed(writer, job)
        await writer.settle(delivery(attempt), NOW)
    ready = Barrier(LANES)

    def ask(_: int) -> object:
        ready.wait(patience(10))
        wanted = DueFilter(provider="aigate")
        return reader.due(batch_id, wanted, 99, NOW, among), reader.next_retry(batch_id, wanted, among)

    with ThreadPoolExecutor(LANES) as threads:
        assert list(threads.map(ask, range(LANES))) == [([], None)] * LANES
    assert among is not None
    assert among._pages == {"aigate": ()}


@on_sqlite
async def test_no_thread_waits_for_another_to_end_its_look_at_the_table(reader: Reader) -> None:
    many = 40  # threads of a run at most
    here = Barrier(many)

    def look(_: int) -> int:
        with reader._open():
            return here.wait(patience(20))

    with ThreadPoolExecutor(many) as threads:
        assert sorted(threads.map(look, range(many))) == list(range(many))


def test_many_lanes_share_a_scope_a_table_and_the_disk(folder: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "PAGE", 4)
    busy = fails("429 Too Many Requests", headers={"retry-after-ms": "5"}, message="slow down", code="slow_down")
    stages = [folder.serve(in_order(shows(), busy, shows(), shows(), busy, shows())) for _ in range(LANES)]
    names = [f"lane{number}" for number in range(LANES)]
    also = {name: kit.studio(stage, limits={"concurrency": 4}) for name, stage in zip(names, stages, strict=True)}
    jobs = [
        {"id": key, "prompt": key, "provider": names[number % LANES :] + names[: number % LANES], "route": "fastest"}
        for number, key in enumerate(KEYS)
    ]
    terms = RunOptions(selection=Selection(limit=len(KEYS) - 1))
    path = folder.write(jobs, also)
    told = folder.carry_out(path, terms)
    assert (told.code, told.ended.status.counts.done) == (0, len(KEYS) - 1)
    assert told.seconds < patience(60)
    paid = sum(len(stage.posts) for stage in stages)
    assert paid - len(KEYS) + 1 == sum(row["cause"] == "throttled" for row in folder.rows("select * from attempts"))
