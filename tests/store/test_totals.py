"""Totals of the ledger: whatever is booked and changed, sums by block are those of the rows."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from batchgen.database_url import Database
from batchgen.errors import StaleClaim
from batchgen.fault import Cause, Charged, Fault
from batchgen.job import Cancelled, Deferred, Exhausted, Requeued, State
from batchgen.planning.selection import Selection
from batchgen.store import at_risk, maintenance, totals
from batchgen.store.reader import Reader
from batchgen.store.records import RecoveredAttempt
from batchgen.store.tables import micros
from batchgen.store.usage_groups import ALWAYS, GroupBy, Period, UsageQuery
from batchgen.store.writer import Writer
from batchgen.task import NOTHING, Basis, Charge, Usage

from .kit import DOUBT, NOW, Raw, attempt_for, claimed, delivery, loaded, miss, on_sqlite, picture, plan

FREE = Fault(cause=Cause.REFUSED, message="no", charged=Charged.NO)
PAID = Fault(cause=Cause.SPOILED, message="broken", charged=Charged.YES)


@pytest.fixture(autouse=True)
def block_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "BLOCK", 3)


def rows(path: Database, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with Raw(path) as dbapi:
        return dbapi.execute(sql, values).fetchall()


def period_sql(period: Period) -> str:
    since = "" if period.since is None else f" AND at >= {micros(period.since)}"
    return since + ("" if period.until is None else f" AND at < {micros(period.until)}")


Sums = dict[tuple[Any, ...], list[int | None]]


def add_up(lines: Iterable[tuple[tuple[Any, ...], tuple[int | None, ...]]]) -> Sums:
    """Add up numbers by key as SQL does: without those that are not known."""
    columns: dict[tuple[Any, ...], list[tuple[int | None, ...]]] = {}
    for key, numbers in lines:
        columns.setdefault(key, []).append(numbers)
    return {
        key: [
            sum(known) if (known := [n for n in column if n is not None]) else None
            for column in zip(*rows, strict=True)
        ]
        for key, rows in columns.items()
    }


def plain_usage(path: Database, period: Period) -> Sums:
    unpriced, risky = (
        f"CASE WHEN {condition} AND usd IS NULL THEN 1 ELSE 0 END"
        for condition in ("charged != 'no'", "charged = 'maybe'")
    )
    booked = rows(
        path,
        "SELECT run_id, at, provider, usd, 1, images, input_tokens, output_tokens, credits, at_risk_usd, "
        f"at_risk_credits, {unpriced}, {risky} FROM ledger WHERE batch_id = 1{period_sql(period)}",
    )
    local = ((run, datetime.fromtimestamp(at // 1_000_000).astimezone(), *row) for run, at, *row in booked)
    return add_up(((run, f"{at:%Y-%m-%d}", provider), tuple(numbers)) for run, at, provider, *numbers in local)


def reported_usage(reader: Reader, period: Period) -> Sums:
    query = UsageQuery(by=(GroupBy.RUN, GroupBy.DAY), period=period)
    lines = []
    for part in reader.booked(1, query):
        line = part.line
        if not line.open:
            usd = sum(line.usd_by_basis.values()) if line.usd_by_basis else None
            numbers = (line.attempts, line.images, line.input_tokens, line.output_tokens, line.credits)
            risk = (line.at_risk_usd, line.at_risk_credits, line.unpriced, line.at_risk)
            lines.append(((part.run, part.day, line.provider), (usd, *numbers, *risk)))
    return add_up(lines)


def plain_calls(path: Database, period: Period) -> list[tuple[Any, ...]]:
    return rows(
        path,
        "SELECT attempts.provider, jobs.provider, coalesce(attempts.cause, attempts.state), count(*) FROM attempts "
        "JOIN jobs ON jobs.id = job_id LEFT JOIN ledger ON attempt_id = attempts.id WHERE jobs.batch_id = 1 AND "
        f"(attempts.state = 'open' OR ledger.id IS NOT NULL{period_sql(period)}) "
        "GROUP BY 1, 2, 3 ORDER BY 1, 4 DESC, 2, 3",
    )


def plain_spent(path: Database, period: Period) -> tuple[Any, ...]:
    unpriced = "charged != 'no' AND usd IS NULL AND credits IS NULL AND at_risk_usd IS NULL"
    columns = ("usd", "credits", "at_risk_usd", "at_risk_credits", f"CASE WHEN {unpriced} THEN 1 ELSE 0 END")
    sums = ", ".join(f"coalesce(sum({column}), 0)" for column in columns)
    return rows(path, f"SELECT {sums} FROM ledger WHERE batch_id = 1{period_sql(period)}")[0]


#: Beginnings and ends of periods: none, within a quarter of an hour, and between two.
MOMENTS = (
    None,
    NOW,
    NOW + timedelta(minutes=14),
    NOW + timedelta(minutes=47),
    NOW.replace(minute=30, second=0, microsecond=0),
)


def check(path: Database, reader: Reader, *periods: Period) -> None:
    """Compare every question about the ledger with the rows."""
    for period in periods:
        assert reported_usage(reader, period) == plain_usage(path, period), period
        calls = [(c.provider, c.home, c.outcome, c.count) for c in reader.calls(1, period)]
        assert calls == plain_calls(path, period), period
        spent = reader.spent(batch_id=1, since=period.since, until=period.until)
        settled = (spent.usd, spent.credits, spent.at_risk_usd, spent.at_risk_credits, spent.unpriced)
        assert settled == plain_spent(path, period), period
    assert reader.ask(totals.differing_blocks) == 0


def plans(provider: str) -> list[Any]:
    return [plan(f"job-{number}", provider=provider) for number in range(6)]


class History:
    """Random changes of one batch, of every kind that touches the ledger or what its totals are grouped by."""

    def __init__(self, writer: Writer, reader: Reader, seed: int) -> None:
        self.writer, self.reader, self.random = writer, reader, random.Random(seed)
        self.now = NOW

    async def step(self) -> None:
        self.now += timedelta(seconds=self.random.randrange(900))
        name = self.random.choice(["call", "call", "call", "claim", "drop", "book", "adopt", "move", "recover", "run"])
        with suppress(StaleClaim):
            await getattr(self, name)()

    def job(self, *states: State) -> Any:
        jobs = [job for job in self.reader.jobs(1) if job.state in states]
        return self.random.choice(jobs) if jobs else None

    async def call(self) -> None:
        if (job := self.job(State.PENDING)) is None:
            if (ended := self.job(State.DONE, State.FAILED, State.UNKNOWN, State.CANCELLED)) is not None:
                await self.writer.move(ended, Requeued(at=self.now))
            return
        attempt = attempt_for(job)
        run, estimate = self.random.choice(["run-1", "run-2"]), self.random.choice([None, 7_000])
        await self.writer.claim(job, attempt, run, estimate, None, self.now)
        ends = [
            delivery(attempt, self.random.choice([None, 0, 1_000])),
            miss(attempt),
            miss(attempt, Exhausted(at=self.now, fault=FREE)),
            miss(attempt, Exhausted(at=self.now, fault=PAID)),
            miss(attempt, Deferred(at=self.now, fault=DOUBT, not_before=self.now)),
        ]
        await self.writer.settle(self.random.choice(ends), self.now)

    async def claim(self) -> None:
        if (job := self.job(State.PENDING)) is not None:
            await self.writer.claim(job, attempt_for(job), "run-1", 7_000, None, self.now)

    async def drop(self) -> None:
        if (job := self.job(State.UNKNOWN)) is not None:
            await self.writer.drop(job, Cancelled(at=self.now), free=self.random.random() < 0.7)

    async def book(self) -> None:
        risky = self.reader.ask(partial(at_risk.attempts_at_risk, batch_id=1, selection=Selection()))
        charge = self.random.choice([NOTHING, Charge(usd=4_000, credits=None, basis=Basis.REPORTED)])
        await self.writer.book([(attempt, charge) for attempt in risky[:2]])

    async def adopt(self) -> None:
        if (job := self.job(State.UNKNOWN)) is not None:
            attempt = self.reader.unknown_attempt(job)
            attempt_id = uuid.uuid4().hex if attempt is None else attempt.attempt_id
            await self.writer.adopt(job, attempt_id, picture(ordinal=job.delivered), self.now)

    async def move(self) -> None:
        """Load the batch again, for another provider."""
        await self.writer.load(1, plans(self.random.choice(["aigate", "openai"])), self.now)

    async def recover(self) -> None:
        job = self.job(*State)
        unknown = self.random.random() < 0.5
        trace = RecoveredAttempt(
            id=uuid.uuid4().hex,
            key=job.key,
            fingerprint=job.fingerprint,
            task=job.task,
            output=job.output,
            at=self.now,
            cause=Cause.UNKNOWN if unknown else None,
            charge=Charge(usd=None if unknown else 500, credits=None, basis=Basis.UNKNOWN),
            estimate=Charge(usd=600, credits=None, basis=Basis.ESTIMATED),
            usage=Usage(images=1),
        )
        await self.writer.add_recovered(1, [trace], self.now, last=True)

    async def run(self) -> None:
        run_id = uuid.uuid4().hex
        await self.writer.begin_run(run_id, 1, command="run", pid=1, host="h", now=self.now)


@pytest.mark.parametrize("seed", range(4))
async def test_sums_are_those_of_the_rows_after_every_change(
    seed: int, path: Database, writer: Writer, reader: Reader
) -> None:
    await loaded(writer, plans("aigate"))
    history = History(writer, reader, seed)
    for _ in range(30):
        await history.step()
        since, until = history.random.choices(MOMENTS, k=2)
        check(path, reader, ALWAYS, Period(since=since, until=until))
    assert rows(path, "SELECT max(block) FROM ledger_totals")[0][0] > 0


async def test_a_full_block_is_closed_by_the_booking_that_fills_it(
    path: Database, writer: Writer, reader: Reader
) -> None:
    batch_id = await loaded(writer, [plan(f"job-{number}") for number in range(7)])
    closed = []
    for job in list(reader.jobs(batch_id)):
        _, attempt = await claimed(writer, job)
        await writer.settle(delivery(attempt), NOW)
        if not isinstance(path, Path):  # PostgreSQL closes blocks in a transaction of its own, before the next one
            await writer.learn({}, NOW)
        closed.append(rows(path, "SELECT count(DISTINCT block) FROM ledger_totals")[0][0])
    assert closed == [0, 0, 1, 1, 1, 2, 2]


async def test_a_load_that_moves_jobs_opens_blocks_and_the_next_run_closes_them(
    path: Database, writer: Writer, reader: Reader
) -> None:
    batch_id = await loaded(writer, [plan(f"job-{number}") for number in range(6)])
    for job in list(reader.jobs(batch_id)):
        _, attempt = await claimed(writer, job)
        await writer.settle(miss(attempt, Exhausted(at=NOW, fault=FREE)), NOW)
    moved = [plan(f"job-{number}", provider="openai" if number == 4 else "aigate") for number in range(6)]
    await writer.load(batch_id, moved, NOW)
    assert rows(path, "SELECT DISTINCT block FROM ledger_totals") == [(0,)]
    await writer.begin_run("run-2", batch_id, command="run", pid=1, host="h", now=NOW)
    assert rows(path, "SELECT DISTINCT block FROM ledger_totals") == [(0,), (1,)]
    assert {(calls.home, calls.count) for calls in reader.calls(batch_id)} == {("aigate", 5), ("openai", 1)}


async def test_sums_that_differ_are_found_and_added_up_again(path: Database, writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan(f"job-{number}") for number in range(4)])
    for job in list(reader.jobs(batch_id)):
        _, attempt = await claimed(writer, job)
        await writer.settle(delivery(attempt), NOW)
    assert maintenance.examine(path) == maintenance.Health(rows=maintenance.examine(path).rows)
    with Raw(path) as dbapi:
        dbapi.execute("UPDATE ledger SET usd = usd + 1 WHERE id = 2")
    health = maintenance.examine(path)
    assert (health.problems, health.only_totals) == (
        ("the sums that `usage` reads differ from the ledger in 1 of its blocks",),
        True,
    )
    writer.close()
    reader.close()
    maintenance.vacuum(path)
    assert maintenance.examine(path).problems == ()


@on_sqlite
async def test_attempts_of_a_deleted_job_are_still_counted(path: Database, writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan(f"job-{number}") for number in range(3)])
    for job in list(reader.jobs(batch_id)):
        _, attempt = await claimed(writer, job)
        await writer.settle(delivery(attempt), NOW)
    with Raw(path) as dbapi:
        dbapi.execute("DELETE FROM jobs WHERE id = 2")
    await writer.begin_run("run-2", batch_id, command="run", pid=1, host="h", now=NOW)
    with Raw(path) as dbapi:
        dbapi.execute("DELETE FROM ledger_totals")
    assert [line.attempts for line in reader.usage(batch_id)] == [3]
    await writer.begin_run("run-3", batch_id, command="run", pid=1, host="h", now=NOW)
    assert [line.attempts for line in reader.usage(batch_id)] == [3]
    assert [(calls.home, calls.count) for calls in reader.calls(batch_id)] == [("aigate", 2)]
