"""What the ledger keeps of calls that were dearer than listed, and what a later run learns from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from batchgen.app.plan import learned_prices
from batchgen.fault import Cause, Charged, Fault
from batchgen.job import Attempt, Deferred, Exhausted, Requeued, Settlement
from batchgen.providers.presets import profile
from batchgen.store.reader import Reader
from batchgen.store.writer import Writer
from batchgen.task import UNPRICED, Basis, Charge, Kind, Task, Usage

from .kit import NOW, Raw, claimed, delivery, loaded, miss, plan

CENT = 10_000_000


def task(**fields: Any) -> Task:
    return Task(**{"kind": Kind.GENERATE, "prompt": "x", "provider": "openai", "model": "gpt-image-2", **fields})


def reported(attempt: Attempt, usd: int, basis: Basis = Basis.REPORTED, usage: Usage | None = None) -> Settlement:
    usage = usage or Usage(images=1, usd=usd)
    return replace(delivery(attempt), charge=Charge(usd=usd, credits=None, basis=basis), usage=usage)


async def bought(writer: Writer, reader: Reader, batch: int, key: str, usd: int, **how: Any) -> None:
    _, attempt = await claimed(writer, reader.job(batch, key))
    await writer.settle(reported(attempt, usd, **how), NOW)


def reserved(reader: Reader, asked: Task, **settings: Any) -> int | None:
    memory = learned_prices(reader, {"openai": profile("openai", settings)})
    return memory.at_least(asked, UNPRICED).usd


async def test_a_later_run_knows_what_calls_were_found_to_cost(writer: Writer, reader: Reader) -> None:
    assert reserved(reader, task()) is None
    batch = await loaded(writer, [plan(key, task=task(quality=key)) for key in ("low", "high")])
    await bought(writer, reader, batch, "low", 3 * CENT)
    await bought(writer, reader, batch, "high", 30 * CENT)
    assert reserved(reader, task(quality="low")) == 3 * CENT
    assert reserved(reader, task(quality="high", n=2)) == 60 * CENT
    assert reserved(reader, task()) is None
    # whoever asks another provider, or has given this one up, learns nothing
    assert learned_prices(reader, {}).at_least(task(quality="low"), UNPRICED) == UNPRICED


async def test_what_was_priced_by_a_list_is_priced_by_the_list_of_today(writer: Writer, reader: Reader) -> None:
    batch = await loaded(writer, [plan("a", task=task())])
    used = Usage(images=1, input_tokens=10, output_tokens=2000)
    await bought(writer, reader, batch, "a", 99 * CENT, basis=Basis.PRICED, usage=used)
    assert reserved(reader, task()) == 10 * 5_000 + 2000 * 30_000
    assert reserved(reader, task(), tariff={"usd_per_million_tokens": {"text_in": 0, "image_out": 15}}) == 2000 * 15_000
    assert reserved(reader, task(), tariff={"usd_per_image": 0.01}) == CENT


async def test_a_guess_is_no_finding_for_a_later_run(writer: Writer, reader: Reader) -> None:
    batch = await loaded(writer, [plan("a", task=task())])
    await bought(writer, reader, batch, "a", 99 * CENT, basis=Basis.ESTIMATED, usage=Usage(images=1))
    assert reserved(reader, task()) is None


async def test_a_job_that_asks_for_something_else_now_says_nothing(writer: Writer, reader: Reader) -> None:
    batch = await loaded(writer, [plan("a", task=task(quality="high"), fingerprint="1:high")])
    await bought(writer, reader, batch, "a", 30 * CENT)
    await loaded(writer, [plan("a", task=task(quality="low"), fingerprint="1:low")])
    assert reserved(reader, task(quality="low")) is None  # it was the price of another picture
    await bought(writer, reader, batch, "a", 3 * CENT)
    assert reserved(reader, task(quality="low")) == 3 * CENT


async def test_a_job_bought_again_counts_by_its_last_call(writer: Writer, reader: Reader) -> None:
    batch = await loaded(writer, [plan("a", task=task())])
    await bought(writer, reader, batch, "a", 30 * CENT)
    await writer.move(reader.job(batch, "a"), Requeued(at=NOW))
    await bought(writer, reader, batch, "a", 3 * CENT)
    assert reserved(reader, task()) == 3 * CENT


# --- what the ledger keeps ----------------------------------------------------------


async def test_unknown_call_costs_at_most_its_last_reservation(writer: Writer, reader: Reader) -> None:
    batch = await loaded(writer, [plan("a"), plan("b")])
    for key, last in (("a", Charge(usd=50_000, credits=9_000, basis=Basis.ESTIMATED)), ("b", None)):
        _, attempt = await claimed(writer, reader.job(batch, key), 7_000)
        await writer.settle(replace(miss(attempt), reserved=last), NOW)
    spent = reader.spent(batch_id=batch)
    assert (spent.at_risk_usd, spent.at_risk_credits) == (57_000, 12_000)


async def test_no_price_of_the_list_is_lowered_by_what_was_reserved_last(writer: Writer, reader: Reader) -> None:
    batch = await loaded(writer, [plan("a")])
    _, attempt = await claimed(writer, reader.job(batch, "a"), 7_000)
    await writer.settle(replace(miss(attempt), reserved=Charge(usd=5, credits=None, basis=Basis.ESTIMATED)), NOW)
    assert reader.spent(batch_id=batch).at_risk_usd == 7_000


@pytest.mark.parametrize("charged", list(Charged))
@pytest.mark.parametrize("cause", [Cause.REFUSED, Cause.EMPTY, Cause.ERROR, Cause.SPOILED, Cause.UNKNOWN])
@pytest.mark.parametrize("ended", [True, False])
async def test_budgets_count_what_a_fault_states_it_cost(
    writer: Writer, reader: Reader, charged: Charged, cause: Cause, ended: bool
) -> None:
    batch = await loaded(writer, [plan("a")])
    _, attempt = await claimed(writer, reader.job(batch, "a"))
    fault = Fault(cause=cause, message="no", charged=charged)
    event = Exhausted(at=NOW, fault=fault) if ended else Deferred(at=NOW, fault=fault, not_before=NOW)
    cost = Charge(usd=4 * CENT, credits=2_000, basis=Basis.REPORTED)
    await writer.settle(Settlement(attempt=attempt, event=event, charge=cost, usage=Usage(usd=4 * CENT)), NOW)
    spent = reader.spent(batch_id=batch, provider="aigate", since=datetime(2026, 1, 1, tzinfo=NOW.tzinfo))
    assert (spent.usd, spent.credits, spent.at_risk_usd, spent.open_usd, spent.unpriced) == (4 * CENT, 2_000, 0, 0, 0)
    (line,) = reader.usage(batch)
    assert (line.usd_by_basis, line.unpriced, line.attempts) == ({"reported": 4 * CENT}, 0, 1)


async def test_a_cost_that_was_stated_is_no_free_call(writer: Writer, reader: Reader) -> None:
    batch = await loaded(writer, [plan("a"), plan("b")])
    for key, usd in (("a", 4 * CENT), ("b", 0)):
        _, attempt = await claimed(writer, reader.job(batch, key))
        event = Exhausted(at=NOW, fault=Fault(cause=Cause.REFUSED, message="no", charged=Charged.NO))
        cost = Charge(usd=usd, credits=None, basis=Basis.REPORTED)
        await writer.settle(Settlement(attempt=attempt, event=event, charge=cost), NOW)
    with Raw(reader._path) as dbapi:
        assert dbapi.execute("select charged from ledger order by id").fetchall() == [("yes",), ("no",)]
