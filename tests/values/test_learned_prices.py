"""What calls were found to cost: reserved from then on, by kind of call; estimates and refusals are no finding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from batchgen.budget import Budget, BudgetLimit, Budgets, Reservations
from batchgen.cli.render.result import _price_lines
from batchgen.learned_prices import RECENT, CallKind, PriceMemory
from batchgen.task import NOTHING, UNPRICED, Basis, Charge, Kind, Source, Task

CENT = 10_000_000


def task(**fields: Any) -> Task:
    return Task(**{"kind": Kind.GENERATE, "prompt": "a cat", "provider": "p", "model": "m", **fields})


def listed(usd: int | None = CENT, points: int | None = None) -> Charge:
    return Charge(usd=usd, credits=points, basis=Basis.UNKNOWN if usd is None else Basis.ESTIMATED)


def found(usd: int | None, points: int | None = None, basis: Basis = Basis.REPORTED) -> Charge:
    return Charge(usd=usd, credits=points, basis=basis)


def learned(*costs: Charge, came: int = 1, **fields: Any) -> PriceMemory:
    memory = PriceMemory()
    for cost in costs:
        memory.observe(task(**fields), cost, came)
    return memory


def test_reservation_covers_known_cost_and_listed_price() -> None:
    assert PriceMemory().at_least(task(), listed()) == listed()
    assert learned(found(CENT // 2)).at_least(task(), listed()) == listed()
    assert learned(found(5 * CENT), found(4 * CENT)).at_least(task(), listed()).usd == 5 * CENT
    assert learned(found(None, 12_000)).at_least(task(), listed(None, 6_000)).credits == 12_000


def test_prices_are_those_of_an_image() -> None:
    assert learned(found(6 * CENT), came=3, n=3).at_least(task(n=2), listed(2 * CENT)).usd == 4 * CENT
    # fewer came than were asked for and paid
    assert learned(found(6 * CENT), came=2, n=3).at_least(task(), listed()).usd == 3 * CENT
    # one more than was asked for makes the one that was none cheaper
    assert learned(found(4 * CENT), came=2).at_least(task(), listed()).usd == 4 * CENT
    # none came: all that were asked for may have been billed
    assert learned(found(4 * CENT), came=0, n=2).at_least(task(), listed()).usd == 2 * CENT
    assert learned(found(100), came=3, n=3).at_least(task(), listed(1)).usd == 34


@pytest.mark.parametrize(
    "other",
    [
        {"provider": "q"},
        {"model": "n"},
        {"size": "1024x1024"},
        {"quality": "high"},
        {"resolution": "4K"},
        {"kind": Kind.EDIT, "images": (Source(path="/a.png"),)},
        {"kind": Kind.EDIT, "mask": Source(path="/a.png")},
    ],
)
def test_a_finding_holds_for_its_kind_of_call_alone(other: dict[str, Any]) -> None:
    assert learned(found(5 * CENT)).at_least(task(**other), listed()) == listed()
    assert learned(found(5 * CENT), **other).at_least(task(**other), listed()).usd == 5 * CENT
    assert learned(found(5 * CENT), **other).at_least(task(), listed()) == listed()


def test_spelling_and_words_make_no_other_kind() -> None:
    memory = learned(found(5 * CENT), quality="High", resolution="2K", prompt="one")
    assert memory.at_least(task(quality="high", resolution="2k", prompt="two"), listed()).usd == 5 * CENT


@pytest.mark.parametrize(
    "cost", [UNPRICED, NOTHING, found(5 * CENT, basis=Basis.ESTIMATED), found(0, 0), found(None, None)]
)
def test_a_guess_and_nothing_are_no_finding(cost: Charge) -> None:
    assert learned(cost).at_least(task(), listed()) == listed()


def test_a_price_that_no_list_knows_is_known_once_it_was_found() -> None:
    known = learned(found(5 * CENT)).at_least(task(n=2), listed(None))
    assert known == Charge(usd=10 * CENT, credits=None, basis=Basis.ESTIMATED)


def test_one_odd_charge_is_forgotten_and_refusals_change_nothing() -> None:
    memory = learned(found(500 * CENT), *[found(5 * CENT)] * RECENT)
    assert memory.at_least(task(), listed()).usd == 5 * CENT
    memory = learned(found(5 * CENT))
    for _ in range(2 * RECENT):
        memory.observe(task(), found(CENT // 100), 0)
    assert memory.at_least(task(), listed()).usd == 5 * CENT


def test_it_shows_whether_calls_are_dearer_now() -> None:
    memory = PriceMemory()
    told = [memory.observe(task(), found(usd), 1) for usd in (3, 3, 2, 4)]
    assert told == [True, False, False, True]


# --- reserved in every budget --------------------------------------------------


def purse(cap: int = 100 * CENT, **fields: Any) -> Budget:
    return Budget(limit=BudgetLimit(usd=cap, credits={"p": 100}, **fields))


def test_calls_in_flight_are_raised_in_every_budget() -> None:
    purses = purse(), purse(only="p"), purse(only="q")
    book = Reservations(Budgets(purses), PriceMemory())
    for number in range(3):
        assert book.reserve(f"a{number}", task(), listed(CENT, 2)) == listed(CENT, 2)
    book.reserve("other", task(size="1536x1024"), listed(CENT, 2))
    book.learn(task(), found(5 * CENT, 9), 1)
    assert [one.usd for one in purses] == [16 * CENT, 16 * CENT, 0]
    assert [one.credits.get("p", 0) for one in purses] == [29, 29, 0]
    assert book.reserved("a1", UNPRICED).usd == 5 * CENT
    for number in range(3):
        book.settle(f"a{number}", "p", listed(CENT, 2), found(4 * CENT, 8))
    assert [one.usd for one in purses] == [13 * CENT, 13 * CENT, 0]
    book.settle("other", "p", listed(CENT, 2), UNPRICED)  # nobody knows: what was reserved stays
    assert [one.usd for one in purses] == [13 * CENT, 13 * CENT, 0]
    assert book.reserve("next", task(), listed(CENT, 2)).usd == 5 * CENT


def test_a_call_of_unknown_outcome_keeps_what_it_was_raised_to() -> None:
    one = purse()
    book = Reservations(Budgets((one,)), PriceMemory())
    book.reserve("a", task(), listed())
    book.reserve("b", task(), listed())
    book.learn(task(), found(5 * CENT), 1)
    book.settle("a", "p", listed(), found(5 * CENT))
    book.settle("b", "p", listed(), UNPRICED)
    assert one.usd == 10 * CENT


def test_nothing_more_fits_once_the_true_price_says_so() -> None:
    book = Reservations(Budgets((Budget(limit=BudgetLimit(usd=10 * CENT, scope="this run")),)), PriceMemory())
    for number in range(3):
        assert book.why_refused(task(), listed()) is None
        book.reserve(f"a{number}", task(), listed())
    book.learn(task(), found(5 * CENT), 1)
    assert book.why_refused(task(), listed()) == "the budget of this run is used up"
    # of another kind nothing was found, but no money is left for it either
    assert book.why_refused(task(size="auto"), listed()) is not None


def test_a_reservation_never_falls_before_it_is_settled() -> None:
    one = purse()
    book = Reservations(Budgets((one,)), PriceMemory())
    book.reserve("a", task(), listed())
    book.learn(task(), found(9 * CENT), 1)
    for _ in range(RECENT):
        book.learn(task(), found(3 * CENT), 1)
    book.learn(task(), found(4 * CENT), 1)
    assert one.usd == 9 * CENT


def test_what_another_run_reserved_is_settled_as_it_was() -> None:
    one = Budget(limit=BudgetLimit(usd=100 * CENT), usd=CENT)
    Reservations(Budgets((one,)), PriceMemory()).settle("old", "p", listed(), found(5 * CENT), earlier=True)
    assert one.usd == 5 * CENT


def test_under_a_budget_none_goes_while_the_first_answer_is_read() -> None:
    book = Reservations(Budgets((purse(),)), PriceMemory())
    book.reserve("a", task(), listed(CENT, 1))
    book.reserve("b", task(), listed(CENT, 1))
    book.answer_arrived("a")
    book.answer_arrived("of an earlier run")
    why = book.why_refused(task(), listed(CENT, 1))
    assert why == "the first answer of p is being read, which may state another price"
    assert book.why_refused(task(size="auto"), listed(CENT, 1)) is None  # another kind of call
    assert book.why_refused(task(provider="q"), listed()) is None
    book.learn(task(), NOTHING, 0)  # a third one was throttled: that shows no price
    assert book.why_refused(task(), listed(CENT, 1)) == why
    book.learn(task(), UNPRICED, 1)  # it stated none: later answers are not waited for
    book.settle("a", "p", listed(CENT, 1), UNPRICED)
    book.answer_arrived("b")
    assert book.why_refused(task(), listed(CENT, 1)) is None


def test_an_answer_that_cannot_be_read_holds_nothing_up() -> None:
    book = Reservations(Budgets((purse(),)), PriceMemory())
    book.reserve("a", task(), listed(CENT, 1))
    book.answer_arrived("a")
    book.answer_read("a")
    assert book.why_refused(task(), listed(CENT, 1)) is None


def test_without_a_budget_nothing_waits_for_a_price() -> None:
    book = Reservations(Budgets(()), PriceMemory())
    book.reserve("a", task(), listed(CENT, 1))
    book.answer_arrived("a")
    assert book.why_refused(task(), listed(CENT, 1)) is None


# --- what is told ----------------------------------------------------------------


def lines(memory: PriceMemory) -> list[str]:
    return list(_price_lines(tuple(memory.underpriced.values())))


def test_too_low_price_is_reported_with_its_fix() -> None:
    memory = learned(found(5 * CENT), quality="low", size="1024x1024")
    memory.at_least(task(quality="low", size="1024x1024"), listed())
    assert lines(memory) == [
        "The price list of p is too low for m (low 1024x1024): it has at most $0.01 per image, and calls cost up to $0.05.",  # noqa: E501
        "To set it: providers: {p: {models: {m: {tariff: {usd_per_image: 0.05}}}}}",
    ]


def test_the_worst_kind_of_call_represents_its_model() -> None:
    memory = PriceMemory()
    for size, price in (("a", 2), ("b", 7), ("c", 3)):
        memory.observe(task(size=size), found(price * CENT), 1)
        memory.at_least(task(size=size), listed())
    first, _ = lines(memory)
    assert first.startswith("The price list of p is too low for m (b), and for 2 other kinds of call: it has")
    assert "calls cost up to $0.07" in first


def test_a_price_in_credits_and_one_that_no_list_has() -> None:
    memory = learned(found(None, 12_000))
    memory.at_least(task(), listed(None, 6_000))
    assert lines(memory) == [
        "The price list of p is too low for m: it has at most 6 credits per image, and calls cost up to 12 credits.",
        "To set it: providers: {p: {models: {m: {tariff: {credits_per_image: 12}}}}}",
    ]
    memory = learned(found(5 * CENT))
    memory.at_least(task(), listed(None))
    assert lines(memory)[0] == "The price of m at p is unknown; calls cost up to $0.05 per image."


def test_what_a_price_list_nearly_says_is_not_told() -> None:
    memory = learned(found(CENT + CENT // 100))
    assert memory.at_least(task(), listed()).usd == CENT + CENT // 100
    assert not memory.underpriced
    # credits beside a price in USD that holds are nobody's mistake
    memory = learned(found(CENT, 5_000))
    memory.at_least(task(), listed())
    assert not memory.underpriced


def test_what_is_told_names_the_price_list_not_what_was_raised_since() -> None:
    book = Reservations(Budgets(()), PriceMemory())
    book.reserve("a", task(), listed())
    book.learn(task(), found(5 * CENT), 1)
    book.learn(task(), found(6 * CENT), 1)
    (one,) = book.prices.underpriced.values()
    assert (one.listed.usd, one.found.usd) == (CENT, 6 * CENT)
    assert one.kind == CallKind.of(replace(task(), prompt="another"))
    assert one.as_json() == {
        "provider": "p", "model": "m", "size": None, "quality": None, "resolution": None, "edit": False,
        "listed_usd": "0.01", "found_usd": "0.06", "listed_credits": None, "found_credits": None,
    }  # fmt: skip
