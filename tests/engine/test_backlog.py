"""What is left of one provider's jobs, read from a real job table a page at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import pytest

from batchgen.engine.backlog import STALE, Backlog
from batchgen.fault import Cause, Fault
from batchgen.job import Cancelled, Deferred, Job, Released
from batchgen.manifest.batch import PlannedJob
from batchgen.route import ModelFilter, Route
from batchgen.store import migrate
from batchgen.store.reader import Reader
from batchgen.store.records import DueFilter
from batchgen.store.writer import Writer
from batchgen.task import Kind, Task
from tests.store.kit import NOW, claimed, delivery, loaded, miss, plan

BUSY = Fault(cause=Cause.THROTTLED, message="too fast")
OWN = DueFilter(provider="aigate")


@dataclass(kw_only=True)
class Table:
    """A job table, a clock, and how often it was read."""

    reader: Reader
    writer: Writer
    batch_id: int = 0
    now: datetime = NOW
    page: int = 64
    in_flight: set[int] = field(default_factory=set)
    lookups: list[DueFilter] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None  #: what happens before jobs that were looked up arrive
    last: Callable[[], Awaitable[None]] | None = None  #: and before the time of the next retry does

    async def load(self, plans: Iterable[PlannedJob]) -> None:
        self.batch_id = await loaded(self.writer, plans)

    def backlog(self, wanted: DueFilter = OWN) -> Backlog:
        async def lookup(which: DueFilter, now: datetime) -> list[Job]:
            self.lookups.append(which)
            found = self.reader.due(self.batch_id, which, self.page, now)
            await anyio.lowlevel.checkpoint()
            self.meanwhile()
            return found

        async def next_retry(which: DueFilter) -> datetime | None:
            found = self.reader.next_retry(self.batch_id, which)
            if self.last is not None:
                await self.last()
            return found

        return Backlog(wanted=wanted, lookup=lookup, next_retry=next_retry, in_flight=self.in_flight)

    async def next(self, backlog: Backlog, *, far: bool = False) -> str | None:
        """Take the next job and claim it; return its key."""
        job = await backlog.first(self.now, lambda _job: True, far=far)
        if job is None:
            return None
        backlog.take(job)
        await claimed(self.writer, job)
        return job.key

    async def all(self, backlog: Backlog) -> list[str]:
        keys = []
        while (key := await self.next(backlog)) is not None:
            keys.append(key)
        return keys

    async def defer(self, key: str, seconds: float) -> datetime:
        """Claim a job and let it wait, as an error does; return until when."""
        _, attempt = await claimed(self.writer, self.reader.job(self.batch_id, key))
        until = self.now + timedelta(seconds=seconds)
        await self.writer.settle(miss(attempt, Deferred(at=self.now, fault=BUSY, not_before=until)), self.now)
        return until

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
async def table(tmp_path: Path) -> AsyncIterator[Table]:
    path = tmp_path / "batchgen.db"
    migrate.ensure(path)
    with Reader(path) as reader, Writer(path) as writer:
        yield Table(reader=reader, writer=writer)


def many(count: int, start: int = 0) -> list[PlannedJob]:
    return [plan(f"j{number:02}") for number in range(start, start + count)]


async def test_jobs_come_by_priority_then_manifest_order(table):
    table.page = 3
    await table.load([*many(8), plan("urgent", priority=1)])
    backlog = table.backlog()
    assert await table.all(backlog) == ["urgent", *(f"j{number:02}" for number in range(8))]
    assert backlog.empty


async def test_job_stays_until_taken_and_each_page_is_read_once(table):
    await table.load(many(5))
    backlog = table.backlog()
    assert not backlog.empty
    first = [await backlog.first(NOW, lambda _job: True) for _ in range(5)]
    assert {job.key for job in first} == {"j00"}
    assert len(table.lookups) == 1
    assert backlog.holds(first[0])
    backlog.take(first[0])
    assert not backlog.holds(first[0])
    assert (await backlog.first(NOW, lambda _job: True)).key == "j01"
    assert len(table.lookups) == 1


async def test_a_caller_is_given_what_it_may_take(table):
    await table.load(many(5))
    backlog = table.backlog()
    assert (await backlog.first(NOW, lambda job: job.key > "j02")).key == "j03"
    assert await backlog.first(NOW, lambda _job: False) is None
    assert backlog.has_due
    assert not backlog.empty


async def test_after_each_new_job_one_that_is_tried_again_goes(table):
    await table.load(many(8))
    for key in ("j00", "j01", "j02"):
        await table.defer(key, 5)
    table.passes(6)
    assert await table.all(table.backlog()) == ["j00", "j03", "j01", "j04", "j02", "j05", "j06", "j07"]


async def test_retries_go_alone_longest_waiting_first(table):
    await table.load(many(3))
    for key, seconds in (("j00", 3), ("j01", 1), ("j02", 2)):
        await table.defer(key, seconds)
    backlog = table.backlog()
    assert await table.all(backlog) == []
    assert backlog.more_at == NOW + timedelta(seconds=1)
    assert not backlog.empty
    table.passes(5)
    assert await table.all(backlog) == ["j01", "j02", "j00"]
    assert backlog.empty


async def test_next_job_in_trouble_is_a_distant_new_one(table):
    await table.load(many(6))
    await table.defer("j01", 0)
    backlog = table.backlog()
    assert [await table.next(backlog, far=True) for _ in range(4)] == ["j05", "j04", "j03", "j02"]
    assert [await table.next(backlog, far=True) for _ in range(3)] == ["j00", "j01", None]


async def test_jobs_in_flight_are_left_out_though_pending(table):
    await table.load(many(3))
    table.in_flight.add(table.reader.job(table.batch_id, "j00").id)
    backlog = table.backlog()
    assert await table.all(backlog) == ["j01", "j02"]
    assert not backlog.empty  # its claim may not have been committed: it is looked up again
    table.in_flight.clear()
    assert await table.all(backlog) == ["j00"]


async def test_another_lane_took_it(table):
    await table.load(many(2))
    backlog = table.backlog()
    job = await backlog.first(NOW, lambda _job: True)
    backlog.forget(job.id)
    table.in_flight.add(job.id)
    assert not backlog.holds(job)
    assert await table.all(backlog) == ["j01"]


async def test_a_job_that_comes_back_at_once_is_found_again(table):
    await table.load(many(1))
    backlog = table.backlog()
    job = await backlog.first(NOW, lambda _job: True)
    backlog.take(job)
    _, attempt = await claimed(table.writer, job)
    assert await table.next(backlog) is None
    assert backlog.empty
    await table.writer.settle(miss(attempt, Released(at=NOW, fault=BUSY)), NOW)
    backlog.returned(None)
    assert not backlog.empty
    assert await table.all(backlog) == ["j00"]


async def test_waiting_job_is_found_when_due(table):
    await table.load(many(1))
    backlog = table.backlog()
    assert await backlog.first(NOW, lambda _job: False) is None
    backlog.forget(table.reader.job(table.batch_id, "j00").id)
    until = await table.defer("j00", 10)
    backlog.returned(until)
    assert backlog.more_at == until
    assert await table.next(backlog) is None
    table.passes(10)
    assert await table.next(backlog) == "j00"


async def test_a_job_that_comes_back_while_the_table_is_read_is_not_missed(table):
    await table.load([])
    backlog = table.backlog()
    table.meanwhile = lambda: backlog.returned(None)
    assert await table.next(backlog) is None
    assert not backlog.empty
    table.meanwhile = lambda: None
    await table.load(many(1))
    assert await table.next(backlog) == "j00"


async def test_waiting_job_is_not_missed_while_retries_are_read(table):
    await table.load(many(2))
    await table.defer("j00", 1)
    backlog, soon = table.backlog(), NOW + timedelta(seconds=20)
    slow = await backlog.first(NOW, lambda _job: True)
    backlog.take(slow)
    _, attempt = await claimed(table.writer, slow)
    await table.writer.move(table.reader.job(table.batch_id, "j00"), Cancelled(at=NOW))

    async def comes_back() -> None:
        await table.writer.settle(miss(attempt, Deferred(at=NOW, fault=BUSY, not_before=soon)), NOW)
        backlog.returned(soon)

    table.passes(2)
    table.last = comes_back
    assert await table.next(backlog) is None
    table.last = None
    assert not backlog.empty
    assert backlog.more_at == soon
    table.passes(20)
    assert await table.next(backlog) == "j01"


@pytest.mark.parametrize("deferred", [False, True], ids=["new", "waiting"])
async def test_reading_for_one_lane_looks_empty_to_no_other(table, deferred):
    await table.load(many(1))
    if deferred:
        await table.defer("j00", 1)
    backlog, seen = table.backlog(), []
    if deferred:
        assert await table.next(backlog) is None
        table.passes(2)
    table.meanwhile = lambda: seen.append(backlog.empty)
    assert await table.next(backlog) == "j00"
    assert seen == [False]


async def test_two_lanes_that_ask_at_once_read_the_table_once(table):
    await table.load(many(4))
    backlog, found = table.backlog(), []

    async def ask() -> None:
        found.append(await table.next(backlog))

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(ask)
    assert sorted(found) == ["j00", "j01", "j02", "j03"]
    assert len(table.lookups) == 1


async def test_what_has_stood_in_memory_for_long_is_looked_up_again(table):
    await table.load(many(4))
    backlog = table.backlog()
    assert await table.next(backlog) == "j00"
    await table.writer.move(table.reader.job(table.batch_id, "j01"), Cancelled(at=NOW))
    table.passes(STALE.total_seconds() + 1)
    assert await table.all(backlog) == ["j02", "j03"]


async def test_retries_that_are_read_now_and_then_keep_no_old_page_alive(table):
    await table.load(many(40))
    backlog = table.backlog()
    for number in range(8):
        await table.defer(f"j{number:02}", 5 * number)
    held = await backlog.first(table.now, lambda job: job.key == "j39")
    await table.writer.move(held, Cancelled(at=NOW))
    for _ in range(10):
        table.passes(5)
        await backlog.first(table.now, lambda _job: True)
        for job in list(backlog._retries.values()):
            backlog.take(job)
            await claimed(table.writer, job)
    assert await backlog.first(table.now, lambda job: job.key == "j39") is None


async def test_stale_retries_are_looked_up_again_with_their_time(table):
    await table.load(many(2))
    await table.defer("j00", 1)
    await table.defer("j01", 1)
    backlog = table.backlog()
    table.passes(2)
    assert (await backlog.first(table.now, lambda _job: True)).key == "j00"
    await table.writer.move(table.reader.job(table.batch_id, "j00"), Cancelled(at=NOW))
    table.passes(STALE.total_seconds() + 1)
    assert await table.all(backlog) == ["j01"]
    assert backlog.empty


async def test_those_in_memory_are_no_reason_to_look_again_soon(table):
    await table.load(many(1))
    await table.defer("j00", 1)
    backlog = table.backlog()
    assert await backlog.first(table.now, lambda _job: False) is None
    table.passes(2)
    assert await backlog.first(table.now, lambda _job: False) is None
    assert backlog.has_due
    assert backlog.more_at is None


async def test_a_fallback_is_given_the_jobs_whose_route_names_it(table):
    await table.load([plan("own"), plan("lent", route=Route(others=("studio",)))])
    borrowed = table.backlog(DueFilter(provider="aigate", by="studio"))
    assert await table.all(borrowed) == ["lent"]
    assert borrowed.empty
    assert await table.all(table.backlog()) == ["own"]


async def test_lane_of_some_models_gets_their_retries_too(table):
    tasks = {key: Task(kind=Kind.GENERATE, prompt=key, provider="aigate", model=key[:2]) for key in ("m1a", "m2a")}
    await table.load([plan(key, task=task) for key, task in tasks.items()])
    await table.defer("m1a", 1)
    await table.defer("m2a", 1)
    wanted = [DueFilter(provider="aigate", models=ModelFilter(frozenset({"m1"}), only=one)) for one in (True, False)]
    only, rest = map(table.backlog, wanted)
    table.passes(2)
    assert await table.all(only) == ["m1a"]
    assert await table.all(rest) == ["m2a"]


async def test_delivered_jobs_are_not_given_again(table):
    table.page = 2
    await table.load(many(5))
    backlog = table.backlog()
    for number in range(5):
        job = await backlog.first(table.now, lambda _job: True)
        assert job.key == f"j{number:02}"
        backlog.take(job)
        _, attempt = await claimed(table.writer, job)
        await table.writer.settle(delivery(attempt), table.now)
    assert await table.next(backlog) is None
    assert backlog.empty
