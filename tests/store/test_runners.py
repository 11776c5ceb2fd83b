"""Runners in the job database: heartbeats, leases and shares; sums of budgets that several runners share."""

from __future__ import annotations

import os
import socket
import subprocess
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from batchgen.budget import BudgetLimit
from batchgen.calendar_period import CalendarPeriod
from batchgen.database_url import Database
from batchgen.errors import AlreadyRunning
from batchgen.files import lock
from batchgen.share import Capacity, Share
from batchgen.store import runners
from batchgen.store.guest import write_as_guest
from batchgen.store.reader import Reader
from batchgen.store.runners import Beat, GateReport, Registration
from batchgen.store.shared_budgets import OverBudget, SharedBudgets
from batchgen.store.shared_tables import runners as runner_table
from batchgen.store.shared_tables import shared_budgets, shares
from batchgen.store.writer import Writer

from .kit import NOW, attempt_for, claimed, delivery, loaded, miss, one, plan

LEASE = 60.0
PER_MINUTE = "requests/60"


def register(path: Database, run_id: str, batch_id: int, shard: str | None = None, **changes: Any) -> Registration:
    facts = {"run_id": run_id, "batch_id": batch_id, "shard": shard, "host": "web1", "pid": 4711, "lease": LEASE}
    return write_as_guest(path, partial(runners.register, **{"machine": None, **facts, **changes}))


def beat(path: Database, run_id: str, granted: int = 0, used: int = 0, counted: tuple[str, ...] = ()) -> Beat | None:
    share = Share(granted={PER_MINUTE: granted}, used={PER_MINUTE: used})
    gates = {"aigate@": GateReport(capacity={PER_MINUTE: Capacity(most=60)}, share=share)}
    change = partial(runners.beat, run_id=run_id, gates=gates, counted={"aigate@": counted}, lease=LEASE)
    return write_as_guest(path, change)


def number_of_no_process() -> int:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


def let_lapse(path: Database, run_id: str) -> None:
    """End a lease as time does."""

    def change(connection: Connection) -> None:
        past = runners.database_now(connection) - timedelta(seconds=1)
        connection.execute(update(runner_table).where(runner_table.c.id == run_id).values(lease_until=past))
        connection.execute(update(shares).where(shares.c.runner_id == run_id).values(lease_until=past))

    write_as_guest(path, change)


def part(answer: Beat | None) -> int:
    assert answer is not None
    return answer.granted["aigate@"][PER_MINUTE]


async def test_a_share_moves_from_one_runner_to_another_only_when_it_is_free(path: Database, writer: Writer) -> None:
    first, second = await loaded(writer, [], "a"), await loaded(writer, [], "b")
    assert register(path, "1", first).others == frozenset()
    assert part(beat(path, "1")) == 60
    assert register(path, "2", second).others == {"1"}
    assert part(beat(path, "2")) == 0, "the first has it all"
    assert part(beat(path, "1", granted=60, used=50)) == 30, "the first learns of the second"
    assert part(beat(path, "2")) == 0, "and has not reported yet that it has shrunk"
    assert part(beat(path, "1", granted=30, used=50)) == 30
    assert part(beat(path, "2")) == 10, "its earlier requests are still in the window"
    assert part(beat(path, "1", granted=30, used=20)) == 30
    assert part(beat(path, "2", granted=10)) == 30


async def test_a_share_of_a_runner_that_is_gone_is_used_once_its_requests_are_counted(
    path: Database, writer: Writer
) -> None:
    batch_id = await loaded(writer, [], "a")
    register(path, "1", batch_id, "1/2")
    register(path, "2", batch_id, "2/2")
    beat(path, "1")
    let_lapse(path, "1")
    answer = beat(path, "2")
    assert answer is not None
    assert (part(answer), answer.gone, answer.others) == (0, {"aigate@": {"1"}}, frozenset())
    assert part(beat(path, "2", used=12, counted=("1",))) == 60


async def test_a_runner_that_comes_back_in_time_shares_again(path: Database, writer: Writer) -> None:
    batch_id = await loaded(writer, [], "a")
    register(path, "1", batch_id, "1/2")
    register(path, "2", batch_id, "2/2")
    beat(path, "1")
    let_lapse(path, "1")
    assert beat(path, "2") is not None
    assert part(beat(path, "1", granted=60)) == 30, "it has sent nothing since its lease ended, so it shrinks at once"
    assert part(beat(path, "2", counted=("1",))) == 30, "a share whose lease holds again is not taken away"


async def test_a_runner_whose_place_was_taken_learns_of_it(path: Database, writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [], "a")
    register(path, "1", batch_id)
    with pytest.raises(AlreadyRunning, match="process 4711 on web1"):
        register(path, "2", batch_id, "1/3")
    let_lapse(path, "1")
    [record] = reader.ask(runners.records)
    assert (record.id, record.silent) == ("1", True)
    write_as_guest(path, partial(runners.take_over, ids=["1"]))
    assert register(path, "2", batch_id, "1/3").gone == frozenset()
    assert beat(path, "1") is None


@pytest.mark.parametrize(
    ("machine", "silent"),
    [
        (lock.machine(), lock.machine() is not None),
        (f"{(lock.machine() or '').partition(' ')[0]} pid:[1]", False),
        ("the boot before", False),
        (None, False),
    ],
)
async def test_a_runner_is_dead_at_once_only_if_its_process_was_one_of_this_machine(
    path: Database, writer: Writer, reader: Reader, machine: str | None, silent: bool
) -> None:
    pid = number_of_no_process()
    batch_id = await loaded(writer, [], "a")
    register(path, "1", batch_id, host=socket.gethostname(), machine=machine, pid=pid)
    register(path, "2", await loaded(writer, [], "b"), machine=machine, pid=os.getpid())
    assert [record.silent for record in reader.ask(runners.records)] == [silent, False]


@pytest.mark.parametrize(
    ("one_shard", "other", "expected"),
    [(None, "1/3", True), ("1/3", "1/3", True), ("1/3", "2/3", False), ("1/3", "1/4", True), (None, None, True)],
)
def test_shards_overlap_if_they_may_have_jobs_in_common(
    one_shard: str | None, other: str | None, expected: bool
) -> None:
    assert runners.overlap(one_shard, other) is expected


async def test_open_attempts_of_other_runners_are_theirs(path: Database, writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan("cat"), plan("dog")])
    await claimed(writer, reader.job(batch_id, "cat"))
    register(path, "run-1", batch_id)
    assert reader.open_attempts(batch_id) == []
    assert len(reader.open_attempts(batch_id, run_id="run-1")) == 1
    write_as_guest(path, partial(runners.leave, run_id="run-1"))
    assert len(reader.open_attempts(batch_id)) == 1
    shards = [reader.open_attempts(batch_id, shard=(number, 2)) for number in (1, 2)]
    assert sorted(map(len, shards)) == [0, 1]


# --- shared budgets -----------------------------------------------------------


def rows(reader: Reader) -> list[Any]:
    return reader.ask(lambda connection: list(connection.execute(select(shared_budgets))))


@pytest.fixture
def other_writer(path: Database) -> Any:
    with Writer(path, guest=True) as writer:
        yield writer


async def test_two_runners_never_reserve_more_than_a_budget(
    writer: Writer, other_writer: Writer, reader: Reader
) -> None:
    batch_id = await loaded(writer, [plan(f"cat-{number}") for number in range(10)])
    limit = BudgetLimit(usd=40_000, scope="this batch")
    writer.shared = other_writer.shared = SharedBudgets(batch_id, [limit])
    opened = 0
    for number in range(10):
        try:
            await claimed((writer, other_writer)[number % 2], reader.job(batch_id, f"cat-{number}"))
            opened += 1
        except OverBudget:
            pass
    assert opened == 5, "7,000 are reserved for each"
    assert [row.usd for row in rows(reader)] == [35_000]
    assert reader.counts(batch_id).running == 5


async def test_settlement_frees_what_a_call_did_not_cost(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan("cat"), plan("dog")])
    limits = [BudgetLimit(usd=8_000, scope="this batch"), BudgetLimit(credits={"aigate": 5_000}, shared=True)]
    writer.shared = SharedBudgets(batch_id, limits)
    _, attempt = await claimed(writer, reader.job(batch_id, "cat"))
    with pytest.raises(OverBudget):
        await claimed(writer, reader.job(batch_id, "dog"))
    await writer.settle(delivery(attempt), NOW)
    assert [(sums.usd, dict(sums.credits)) for sums in await writer.spending(NOW)] == [
        (1_000, {}),
        (0, {"aigate": 2_000}),
    ]
    await claimed(writer, reader.job(batch_id, "dog"))


async def test_a_budget_of_one_provider_counts_its_calls_only(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan("cat"), plan("dog", provider="openai")])
    writer.shared = SharedBudgets(batch_id, [BudgetLimit(usd=8_000, only="aigate")])
    await claimed(writer, reader.job(batch_id, "cat"))
    await claimed(writer, reader.job(batch_id, "dog"))
    assert [sums.usd for sums in await writer.spending(NOW)] == [7_000]


async def test_budgets_of_a_day_and_of_its_month_are_apart_when_they_begin_together(
    writer: Writer, reader: Reader
) -> None:
    batch_id, job = await one(writer, reader)
    limits = [BudgetLimit(usd=9_000, period=period, shared=True) for period in CalendarPeriod]
    writer.shared = SharedBudgets(batch_id, limits)
    first = CalendarPeriod.MONTH.begins(NOW) + timedelta(hours=1)
    assert [sums.usd for sums in await writer.spending(first)] == [0, 0]
    await writer.claim(job, attempt_for(job), "run-1", 7_000, None, first)
    assert [sums.usd for sums in await writer.spending(first)] == [7_000, 7_000]
    assert len({row.until for row in rows(reader)}) == 2


async def test_sums_begin_with_what_was_spent_before(writer: Writer, reader: Reader) -> None:
    batch_id, job = await one(writer, reader)
    _, attempt = await claimed(writer, job)
    await writer.settle(miss(attempt), NOW)
    writer.shared = SharedBudgets(batch_id, [BudgetLimit(usd=8_000)])
    assert [sums.usd for sums in await writer.spending(NOW)] == [7_000], "an unknown call may have cost its estimate"
