"""What counts against the budgets of a run: calendar days and months, one batch or all, real SQLite."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from batchgen.app.budgets import budgets_of
from batchgen.budget import BudgetLimit
from batchgen.calendar_period import CalendarPeriod
from batchgen.manifest import Batch
from batchgen.store.reader import Reader
from batchgen.store.writer import Writer
from tests.store.kit import claimed, delivery, loaded, plan
from tests.zones import BERLIN, local

DAY = BudgetLimit(usd=10**9, period=CalendarPeriod.DAY, scope="today")
ALL_DAY = BudgetLimit(usd=10**9, period=CalendarPeriod.DAY, scope="all batches today", shared=True)
ALL_MONTH = BudgetLimit(usd=10**9, period=CalendarPeriod.MONTH, scope="all batches this month", shared=True)
BATCH = Batch(
    name="b", manifest=Path("/m.yaml"), folder=Path("/out"), jobs=[], profiles={},
    budget=(BudgetLimit(usd=10**9, scope="this batch"), DAY), shared_budget=(ALL_DAY, ALL_MONTH),
)  # fmt: skip


async def pay(writer: Writer, reader: Reader, batch_id: int, key: str, usd: int, at: datetime) -> None:
    _, attempt = await claimed(writer, reader.job(batch_id, key))
    await writer.settle(delivery(attempt, usd), at)


async def test_budgets_count_days_by_the_wall_clock_and_all_batches(writer: Writer, reader: Reader) -> None:
    """On the night of 29 March the clock in Berlin skips an hour: the day began at 23:00 UTC, not at 22:00."""
    shop = await loaded(writer, [plan("a"), plan("b"), plan("c")], "b")
    attic = await loaded(writer, [plan("a"), plan("b"), plan("open")], "attic")
    await pay(writer, reader, shop, "a", 1, datetime(2026, 3, 28, 22, 30, tzinfo=UTC))  # still the 28th
    await pay(writer, reader, shop, "b", 20, datetime(2026, 3, 28, 23, 30, tzinfo=UTC))
    await pay(writer, reader, attic, "a", 300, datetime(2026, 3, 29, 0, 30, tzinfo=UTC))
    await pay(writer, reader, attic, "b", 4_000, datetime(2026, 2, 28, 22, 30, tzinfo=UTC))  # February
    await claimed(writer, reader.job(attic, "open"), 50_000)  # sent weeks ago, and not booked yet
    with local(BERLIN):
        now = datetime(2026, 3, 29, 10, tzinfo=UTC)
        budgets = budgets_of(BATCH, reader, shop, now, own=5)
        assert [budget.usd for budget in budgets] == [21, 20, 50_320, 50_321, 0]
        assert budgets[1].ends == datetime(2026, 3, 29, 22, tzinfo=UTC)
        assert budgets[2].open_usd == 50_000
        new_batch = budgets_of(BATCH, reader, None, now)
        assert [budget.usd for budget in new_batch] == [0, 0, 50_320, 50_321]


def test_unpriced_calls_are_allowed_by_option_or_manifest() -> None:
    now = datetime(2026, 3, 29, 10, tzinfo=UTC)
    assert not any(budget.limit.unpriced for budget in budgets_of(BATCH, None, None, now))
    assert all(budget.limit.unpriced for budget in budgets_of(BATCH, None, None, now, own=5, unpriced=True))
