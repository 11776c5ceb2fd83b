"""Money reserved before it is spent: the caps hold under any interleaving."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.budget import Budget, BudgetLimit, Budgets, Reservations
from batchgen.calendar_period import CalendarPeriod
from batchgen.learned_prices import PriceMemory
from batchgen.task import NOTHING, UNPRICED, Basis, Charge, Kind, Task
from tests.zones import local

DOLLAR = 1_000_000_000


def cost(usd: int | None = None, points: int | None = None) -> Charge:
    return Charge(usd=usd, credits=points, basis=Basis.ESTIMATED)


def test_no_caps_are_false_and_allow_everything():
    assert not BudgetLimit()
    assert BudgetLimit(usd=0)
    assert BudgetLimit(credits={"p": 1})
    assert Budget(limit=BudgetLimit()).allows("p", UNPRICED)
    assert Budget(limit=BudgetLimit()).allows("p", cost(10**15, 10**15))


def test_a_call_fits_up_to_the_cap_and_not_one_nano_beyond():
    purse = Budget(limit=BudgetLimit(usd=DOLLAR))
    assert purse.allows("p", cost(DOLLAR))
    assert not purse.allows("p", cost(DOLLAR + 1))
    purse.reserve("p", cost(DOLLAR // 2))
    assert purse.allows("p", cost(DOLLAR // 2))
    assert not purse.allows("p", cost(DOLLAR // 2 + 1))


def test_a_reservation_of_one_call_stands_against_the_next():
    purse = Budget(limit=BudgetLimit(usd=100))
    purse.reserve("p", cost(60))
    assert not purse.allows("p", cost(60))
    purse.settle("p", cost(60), cost(10))
    assert purse.allows("p", cost(60))
    assert purse.usd == 10


def test_an_unknown_cost_keeps_the_reservation():
    purse = Budget(limit=BudgetLimit(usd=100, credits={"p": 50}))
    purse.reserve("p", cost(60, 20))
    purse.settle("p", cost(60, 20), UNPRICED)
    assert (purse.usd, purse.credits["p"]) == (60, 20)


def test_what_is_unknown_in_one_currency_stays_reserved_in_it():
    purse = Budget(limit=BudgetLimit(usd=100, credits={"p": 50}))
    purse.reserve("p", cost(60, 20))
    purse.settle("p", cost(60, 20), cost(None, 12))
    assert (purse.usd, purse.credits["p"]) == (60, 12)
    purse.reserve("p", cost(30, 20))
    purse.settle("p", cost(30, 20), cost(25, None))
    assert (purse.usd, purse.credits["p"]) == (85, 32)


def test_a_call_that_cost_nothing_gives_all_of_its_reservation_back():
    purse = Budget(limit=BudgetLimit(usd=100, credits={"p": 50}))
    purse.reserve("p", cost(60, 20))
    purse.settle("p", cost(60, 20), NOTHING)
    assert (purse.usd, purse.credits["p"]) == (0, 0)


def test_a_call_without_a_price_never_fits_under_a_cap():
    assert not Budget(limit=BudgetLimit(usd=DOLLAR)).allows("p", UNPRICED)
    assert not Budget(limit=BudgetLimit(credits={"p": 100})).allows("p", cost(usd=1))
    assert Budget(limit=BudgetLimit(usd=DOLLAR, credits={"p": 100})).allows("p", cost(points=100))
    assert not Budget(limit=BudgetLimit(usd=DOLLAR, credits={"p": 100})).allows("p", cost(points=101))


def test_a_cap_on_one_providers_credits_leaves_the_others_alone():
    purse = Budget(limit=BudgetLimit(credits={"p": 10}))
    assert not purse.allows("p", cost(0, 11))
    assert purse.allows("q", cost(0, 11))
    purse.reserve("q", cost(0, 11))
    assert purse.allows("p", cost(0, 10))


def test_a_cap_that_is_overdrawn_already_allows_nothing_that_costs():
    assert not Budget(limit=BudgetLimit(usd=-5)).allows("p", cost(1))
    assert not Budget(limit=BudgetLimit(credits={"p": -5})).allows("p", cost(0, 1))


def test_a_cap_on_one_provider_counts_what_goes_to_that_one_alone():
    purse = Budget(limit=BudgetLimit(usd=10, only="p"))
    purse.reserve("q", cost(60))
    purse.settle("q", cost(60), cost(50))
    assert purse.allows("p", cost(10))
    assert not purse.allows("p", cost(11))


def test_call_of_an_earlier_run_refunds_nothing_to_this_budget():
    batch, this_run = Budget(limit=BudgetLimit(usd=100), usd=60), Budget(limit=BudgetLimit(usd=10), earlier=False)
    Budgets((batch, this_run)).settle("p", cost(60), cost(5), earlier=True)
    assert (batch.usd, this_run.usd) == (5, 0)


amounts = st.integers(min_value=0, max_value=60)


@st.composite
def stories(draw: st.DrawFn) -> list[tuple]:
    """Calls with a high estimate and a cost at or below it (or unknown), started and settled in any order."""
    calls = []
    for number in range(draw(st.integers(min_value=1, max_value=14))):
        usd, points = draw(st.none() | amounts), draw(st.none() | amounts)
        paid = draw(
            st.sampled_from(
                [
                    UNPRICED,
                    NOTHING,
                    Charge(
                        usd=None if usd is None else draw(st.integers(0, usd)),
                        credits=None if points is None else draw(st.integers(0, points)),
                        basis=Basis.REPORTED,
                    ),
                ]
            )
        )
        calls.append((draw(st.sampled_from(["p", "q"])), cost(usd, points), paid, number))
    steps = draw(st.permutations([(call, step) for call, step in itertools.product(calls, ("start", "settle"))]))
    return list(steps)


@given(st.none() | st.integers(0, 200), st.none() | st.integers(0, 150), stories())
def test_no_interleaving_spends_more_than_the_caps(usd_cap, credit_cap, story):
    purse = Budget(limit=BudgetLimit(usd=usd_cap, credits={} if credit_cap is None else {"p": credit_cap}))
    open_calls: dict[int, tuple] = {}
    spent_usd, spent_credits = 0, 0
    for call, step in story:
        provider, estimate, paid, number = call
        if step == "start" and purse.allows(provider, estimate):
            purse.reserve(provider, estimate)
            open_calls[number] = call
        elif step == "settle" and number in open_calls:
            del open_calls[number]
            purse.settle(provider, estimate, paid)
            unknown = paid == UNPRICED
            spent_usd += (estimate.usd if unknown else paid.usd) or 0  # an unknown one may have cost all of it
            spent_credits += ((estimate.credits if unknown else paid.credits) or 0) if provider == "p" else 0
        if usd_cap is not None:
            in_flight = sum(high.usd or 0 for _, high, *_ in open_calls.values())
            assert spent_usd + in_flight <= purse.usd <= usd_cap
        if credit_cap is not None:
            in_flight = sum(high.credits or 0 for name, high, *_ in open_calls.values() if name == "p")
            assert spent_credits + in_flight <= purse.credits.get("p", 0) <= credit_cap


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_settling_in_any_order_ends_at_the_same_sum(order):
    purse = Budget(limit=BudgetLimit(usd=1000))
    calls = [(cost(100, 5), cost(90, 5)), (cost(200), UNPRICED), (cost(300, 7), NOTHING)]
    for estimate, _ in calls:
        purse.reserve("p", estimate)
    for number in order:
        purse.settle("p", *calls[number])
    assert (purse.usd, purse.credits["p"]) == (290, 5)


@pytest.mark.parametrize(
    ("caps", "estimate", "why"),
    [
        (BudgetLimit(usd=5, scope="today"), cost(6), "the budget of today is used up"),
        (BudgetLimit(usd=5, scope="today"), cost(5), None),
        (BudgetLimit(usd=5, scope="this run"), cost(None, 3), "no price is known, and there is a budget of this run"),
        (BudgetLimit(usd=5, credits={"p": 2}, scope="this run"), cost(None, 3), "the budget of this run is used up"),
    ],
    ids=["used-up", "fits", "no-price", "credits"],
)
def test_what_refuses_a_call_is_reported(caps, estimate, why):
    said = Budgets((Budget(limit=caps),)).why_refused("p", estimate)
    assert said is None if why is None else (said or "").startswith(why)


def test_budget_of_a_day_starts_again_with_what_is_in_flight():
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    budget = Budget(
        limit=BudgetLimit(usd=100, period=CalendarPeriod.DAY), usd=90, open_usd=20, credits={"p": 5}, ends=midnight
    )
    with local("UTC"):
        budget.renew(midnight - timedelta(seconds=1), [("p", cost(30))])
        assert budget.usd == 90
        budget.renew(midnight, [("p", cost(30, 2))])
        assert (budget.usd, budget.credits) == (50, {"p": 2})  # 20 that an earlier run left open, 30 of this one
        assert budget.ends == midnight + timedelta(days=1)
    assert not budget.allows("p", cost(51))


def test_attempt_that_an_earlier_run_left_open_no_longer_counts_the_next_day():
    budget = Budget(limit=BudgetLimit(usd=100, period=CalendarPeriod.DAY), usd=20, open_usd=20)
    Budgets((budget,)).settle("p", cost(20), cost(7), earlier=True)
    assert (budget.usd, budget.open_usd) == (7, 0)


def test_budget_without_a_period_never_starts_again():
    budget = Budget(limit=BudgetLimit(usd=100), usd=90)
    budget.renew(datetime(2100, 1, 1, tzinfo=UTC), [])
    assert budget.usd == 90


def test_new_highest_price_raises_the_calls_of_its_kind_that_reserved_less():
    def task(size: str) -> Task:
        return Task(kind=Kind.GENERATE, prompt="a cat", provider="openai", model="gpt-image-2", size=size)

    budget = Budget(limit=BudgetLimit(usd=10_000))
    reservations = Reservations(Budgets((budget,)), PriceMemory())
    for name, size, usd in (("first", "a", 10), ("low", "a", 10), ("high", "a", 90), ("other", "b", 10)):
        reservations.reserve(name, task(size), cost(usd))
    reservations.learn(task("a"), replace(cost(40), basis=Basis.REPORTED), 1)
    reserved = {name: reservations.reserved(name, cost(0)).usd for name in ("low", "high", "other")}
    assert reserved == {"low": 40, "high": 90, "other": 10}
    assert budget.usd == 40 + 40 + 90 + 10
    for name, size in (("first", "a"), ("low", "a"), ("high", "a"), ("other", "b")):
        reservations.settle(name, "openai", cost(10), cost(40 if size == "a" else 10))
    assert budget.usd == 40 + 40 + 40 + 10
    assert not any(reservations._of_kind.values())
