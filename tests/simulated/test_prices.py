"""A price list that is too low, and a budget: what the providers' own logs say was charged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchgen.app import run
from batchgen.store.reader import Reader

from .night import Night, Wish, wishes
from .server import Call, Nature

DOLLAR = 1_000_000_000
TRUE, LISTED = 50_000_000, 0.01  #: nano-USD and USD an image: the price list says a fifth


def night(folder: Path, jobs: list[Wish], budget: int = DOLLAR, **terms: Any) -> Night:
    tariff = {"usd_per_image": LISTED}
    return Night(
        folder=folder,
        wishes=jobs,
        natures={"openai": Nature(price=TRUE)},
        settings={"openai": {"tariff": tariff, "limits": {"concurrency": 32}}},
        terms=run.RunOptions(budget=budget, **terms),
    )


def charged(log: list[Call]) -> int:
    return TRUE * sum(call.images for call in log if call.charged)


def first_answer(log: list[Call]) -> float:
    return min(call.ended for call in log)


def in_flight(log: list[Call], moment: float) -> list[Call]:
    return [call for call in log if call.sent <= moment <= call.ended]


def test_true_price_of_the_first_answer_stops_sending(tmp_path: Path) -> None:
    one = night(tmp_path, wishes(200, "openai"))
    runner = one.play()
    log = one.log()
    at_first = in_flight(log, first_answer(log))
    assert len(at_first) == 32
    assert len(log) == 32
    assert charged(log) == 32 * TRUE  # by the price list 100 calls would have gone: 5 USD
    assert runner.attempts.wallet.budgets[0].usd == charged(log)
    counts = one.counts()
    assert (counts.done, counts.pending, counts.unknown) == (32, 168, 0)
    assert {str(lane.closed) for lane in runner.lanes} == {"budget"}


def test_remaining_budget_is_spent_at_the_true_price(tmp_path: Path) -> None:
    one = night(tmp_path, wishes(200, "openai"), budget=3 * DOLLAR)
    one.play()
    assert charged(one.log()) == 3 * DOLLAR


def test_what_was_found_is_reported_with_what_the_price_list_says(tmp_path: Path) -> None:
    runner = night(tmp_path, wishes(3, "openai", images=2), budget=10 * DOLLAR).play()
    (found,) = runner.attempts.prices.underpriced.values()
    assert (found.kind.provider, found.kind.model) == ("openai", "gpt-image-2")
    assert (found.listed.usd, found.found.usd) == (10_000_000, TRUE)


def test_the_next_run_begins_with_what_the_last_one_found(tmp_path: Path) -> None:
    one = night(tmp_path, wishes(1, "openai"))
    one.play()
    assert len(one.log()) == 1
    # the same batch with a hundred jobs more: without a memory 32 calls would go before the first answer
    one.wishes = wishes(101, "openai")
    runner = one.play()
    assert charged(one.log()[1:]) == DOLLAR
    assert runner.attempts.prices.underpriced


def test_unlisted_price_is_reserved_at_the_first_cost(tmp_path: Path) -> None:
    one = Night(
        folder=tmp_path,
        wishes=wishes(200, "gateway"),
        natures={"gateway": Nature(price=TRUE)},
        settings={"gateway": {"base_url": "https://gw.example.com", "limits": {"concurrency": 32}}},
        terms=run.RunOptions(budget=DOLLAR, allow_unpriced=True),
    )
    one.play()
    assert charged(one.log("gateway")) == 32 * TRUE


def test_one_kind_of_call_says_nothing_of_another(tmp_path: Path) -> None:
    jobs = [Wish(key=f"a{number}", provider="openai") for number in range(4)]
    jobs += [Wish(key=f"b{number}", provider="openai", model="gpt-image-1.5") for number in range(4)]
    one = night(tmp_path, jobs, budget=10 * DOLLAR)
    runner = one.play()
    assert {kind.model for kind in runner.attempts.prices.underpriced} == {"gpt-image-2", "gpt-image-1.5"}
    assert one.counts().done == 8


@pytest.mark.parametrize("budget", [DOLLAR, 3 * DOLLAR])
def test_the_ledger_and_the_budget_agree_at_the_end(tmp_path: Path, budget: int) -> None:
    one = night(tmp_path, wishes(100, "openai"), budget=budget)
    runner = one.play()
    with Reader(one.place.db) as reader:
        spent = reader.spent()
    assert spent.usd == charged(one.log()) == runner.attempts.wallet.budgets[0].usd
    assert (spent.unpriced, spent.at_risk_usd, spent.open_usd) == (0, 0, 0)


def test_lane_is_not_closed_while_a_cheaper_call_is_being_settled(tmp_path: Path) -> None:
    """Its place is free before its settlement is committed, and only that gives back what was reserved too much."""
    one = Night(
        folder=tmp_path,
        wishes=wishes(30, "openai"),
        natures={"openai": Nature(price=TRUE // 100)},
        settings={"openai": {"tariff": {"usd_per_image": LISTED * 5}, "limits": {"concurrency": 1}}},
        terms=run.RunOptions(budget=TRUE * 3 // 2),
    )
    runner = one.play()
    assert (one.counts().done, runner.lanes[0].closed) == (30, None)
