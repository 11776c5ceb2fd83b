"""The ledger divided by the job table itself: exact, whatever the time zone, and quick on a large table."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from batchgen.app import queries
from batchgen.app.project import Project
from batchgen.database_url import Database
from batchgen.store.ledger import UsageLine
from batchgen.store.reader import Reader
from batchgen.store.usage_groups import GroupBy, Period, UsageQuery, group_usage, usage_rows
from batchgen.store.writer import Writer
from tests.timing import patience
from tests.zones import BERLIN, KATHMANDU, local

from .kit import NOW, Raw, claimed, delivery, loaded, miss, on_sqlite, plan


def by(reader: Reader, batch_id: int | None, *keys: GroupBy, period: Period = Period(), now: datetime = NOW) -> dict:  # noqa: B008
    """Return (attempts, USD, credits) by name; one name where there is one key."""
    asked = UsageQuery(by=keys, period=period)
    used = group_usage(reader.booked(batch_id, asked), asked, now)
    return {
        share.names if len(keys) > 1 else share.names[0]: (row["attempts"], row["usd"], row["credits"])
        for share, row in zip(used.groups, usage_rows(used), strict=True)
    }


async def paid(writer: Writer, reader: Reader, batch_id: int, key: str, usd: int | None, at: datetime) -> None:
    _, attempt = await claimed(writer, reader.job(batch_id, key))
    await writer.settle(delivery(attempt, usd), at)


async def test_every_key_divides_the_same_whole(writer: Writer, reader: Reader) -> None:
    plans = [
        plan("a", tags=("x", "y")),
        plan("b", provider="openai", tags=("y",)),
        plan("c"),
        plan("open", tags=("x",)),
    ]
    shop = await loaded(writer, plans, "shop")
    attic = await loaded(writer, [plan("a", tags=("x",))], "attic")
    await paid(writer, reader, shop, "a", 1_000, NOW)
    await paid(writer, reader, shop, "b", 20_000, NOW)
    await paid(writer, reader, shop, "c", None, NOW)
    await paid(writer, reader, attic, "a", 300_000, NOW)
    _, doubtful = await claimed(writer, reader.job(shop, "open"))

    assert by(reader, shop, GroupBy.TAG) == {
        "x": (2, "0.000001", {"aigate": "2"}),  # the one under way has cost nothing yet
        "y": (2, "0.000021", {"aigate": "2", "openai": "2"}),
        None: (1, None, {"aigate": "2"}),
    }
    assert by(reader, shop, GroupBy.RUN) == {"run-1": (4, "0.000021", {"aigate": "4", "openai": "2"})}
    assert by(reader, shop, GroupBy.PROVIDER) == {"aigate": (3, "0.000001", "4"), "openai": (1, "0.00002", "2")}
    assert by(reader, None, GroupBy.BATCH) == {
        "attic": (1, "0.0003", {"aigate": "2"}),
        "shop": (4, "0.000021", {"aigate": "4", "openai": "2"}),
    }
    assert by(reader, None, GroupBy.TAG, GroupBy.BATCH)["x", "attic"] == (1, "0.0003", {"aigate": "2"})
    assert by(reader, attic, GroupBy.BATCH, GroupBy.MODEL) == {("attic", "gpt-image-2"): (1, "0.0003", {"aigate": "2"})}

    # an outcome that nobody knows: its price is at risk, and unknown under its tag
    await writer.settle(miss(doubtful), NOW)
    assert by(reader, shop, GroupBy.TAG)["x"] == (2, "0.000001", {"aigate": "2"})
    asked = UsageQuery(by=(GroupBy.TAG,))
    rows = usage_rows(group_usage(reader.booked(shop, asked), asked, NOW))
    assert [(row["tag"], row["at_risk_usd"], row["unpriced"]) for row in rows] == [
        ("x", "0.000007", 1), ("y", "0", 0), (None, "0", 1),
    ]  # fmt: skip


async def test_days_are_those_of_the_time_zone_with_its_changes(writer: Writer, reader: Reader) -> None:
    moments = [
        "03-28T22:59:59",
        "03-28T23:00:00",
        "03-29T21:59:59",
        "03-29T22:00:00",
        "10-25T22:59:59",
        "10-25T23:00:00",
    ]
    batch_id = await loaded(writer, [plan(f"j{number}") for number in range(len(moments))])
    for number, text in enumerate(moments):
        await paid(writer, reader, batch_id, f"j{number}", 1, datetime.fromisoformat(f"2026-{text}+00:00"))

    def days(zone: str) -> dict[str, int]:
        with local(zone):
            return {day: number for day, (number, _, _) in by(reader, batch_id, GroupBy.DAY).items()}

    assert days(BERLIN) == {"2026-03-28": 1, "2026-03-29": 2, "2026-03-30": 1, "2026-10-25": 1, "2026-10-26": 1}
    assert days(KATHMANDU) == {"2026-03-29": 2, "2026-03-30": 2, "2026-10-26": 2}
    assert days("UTC0") == {"2026-03-28": 2, "2026-03-29": 2, "2026-10-25": 2}


async def test_a_period_holds_what_was_booked_in_it_to_the_microsecond(
    writer: Writer, reader: Reader, path: Database, tmp_path: Database
) -> None:
    batch_id = await loaded(writer, [plan("before"), plan("first"), plan("last"), plan("after"), plan("open")])
    tick, hour = timedelta(microseconds=1), timedelta(hours=1)
    for key, usd, at in (
        ("before", 1, NOW - tick), ("first", 10, NOW), ("last", 100, NOW + hour - tick), ("after", 1_000, NOW + hour),
    ):  # fmt: skip
        await paid(writer, reader, batch_id, key, usd, at)
    await claimed(writer, reader.job(batch_id, "open"))

    def seen(now: datetime) -> tuple[int, int, int | None, list[tuple[str, int]]]:
        asked = UsageQuery(period=Period(since=NOW, until=NOW + hour))
        found = queries.usage(Project(root=tmp_path, db=path), "b", asked, now)
        [line] = found.used.lines
        return line.attempts, found.used.left_out, line.usd, [(one.outcome, one.count) for one in found.calls]

    assert seen(NOW) == (3, 0, 110, [("delivered", 2), ("open", 1)])
    assert seen(NOW + hour) == (2, 1, 110, [("delivered", 2)])
    every = queries.usage(Project(root=tmp_path, db=path), None, UsageQuery(), NOW, every=True)
    assert (every.batch, every.used.lines[0].usd) == (None, 1_111)


@on_sqlite
async def test_a_large_table_is_divided_in_moments(writer: Writer, reader: Reader, path: Database) -> None:
    """Random rows past the writer, summed up by other means; a hundred thousand take moments."""
    count, start = 100_000, datetime(2026, 2, 20, tzinfo=UTC)
    batch_id = await loaded(
        writer, [plan(f"j{number}", tags=(f"t{number}", "all")[: number % 3]) for number in range(20)]
    )
    ids = [reader.job(batch_id, f"j{number}").id for number in range(20)]
    chance = random.Random(7)
    rows = [
        (f"a{number}", chance.randrange(20), chance.choice("pq"), chance.choice("rst"), chance.randrange(60 * 86_400),
         chance.choice([None, 5_300_000, 67_201_000]))
        for number in range(count)
    ]  # fmt: skip
    began = int(start.timestamp())
    with Raw(path) as dbapi:
        dbapi.executemany(
            "insert into attempts (id, job_id, claim, run_id, provider, model, state, started_at, ended_at)"
            " values (?, ?, 1, ?, ?, 'm', 'delivered', 0, 0)",
            ((name, ids[job], run, provider) for name, job, provider, run, _, _ in rows),
        )
        dbapi.executemany(
            "insert into ledger (attempt_id, batch_id, run_id, provider, model, kind, at, usd, basis, charged, images)"
            " values (?, ?, ?, ?, 'm', 'generate', ?, ?, ?, 'yes', 1)",
            (
                (name, batch_id, run, provider, (began + at) * 1_000_000, usd, "priced" if usd else "unknown")
                for name, _, provider, run, at, usd in rows
            ),
        )
    names = {
        GroupBy.PROVIDER: lambda row: [row[2]],
        GroupBy.RUN: lambda row: [row[3]],
        GroupBy.DAY: lambda row: [f"{datetime.fromtimestamp(began + row[4], UTC).astimezone().date()}"],
        GroupBy.TAG: lambda row: [f"t{row[1]}", "all"][: row[1] % 3] or [None],
    }
    for key, named in names.items():
        asked = UsageQuery(by=(key,))
        expected: dict[str | None, list[int]] = {}
        with local(BERLIN):
            spent = time.process_time()
            used = group_usage(reader.booked(batch_id, asked), asked, NOW)
            assert time.process_time() - spent < patience(2), key
            for row in rows:
                for name in named(row):
                    sums = expected.setdefault(name, [0, 0, 0])
                    sums[0] += 1
                    sums[1] += row[5] or 0
                    sums[2] += row[5] is None
        assert {share.names[0]: _sums(share.lines) for share in used.groups} == expected, key
        assert _sums(used.lines) == [count, sum(row[5] or 0 for row in rows), sum(row[5] is None for row in rows)]
        assert used.overlaps == (key is GroupBy.TAG)


def _sums(lines: Sequence[UsageLine]) -> list[int]:
    return [
        sum(line.attempts for line in lines),
        sum(line.usd or 0 for line in lines),
        sum(line.unpriced for line in lines),
    ]
