"""What is done about each outcome: the whole table, and the figures of the waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.engine.retry import Policy, judge
from batchgen.fault import Cause, Charged, Fault, Scope
from batchgen.job import (
    Deferred,
    Delivered,
    Delivery,
    Exhausted,
    Incomplete,
    Job,
    Missed,
    PartialDelivery,
    Released,
    State,
    Unknown,
    advance,
)
from batchgen.task import Artifact, Kind, Task, Usage

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
TASK = Task(kind=Kind.GENERATE, prompt="a cat", provider="aigate", model="gpt-image-2")
RETRY = Policy(attempts=4, first_wait=2, max_wait=300, buy_again=True)
HOLD = Policy(attempts=4, first_wait=2, max_wait=300, buy_again=False)
ONCE = Policy(attempts=1, first_wait=2, max_wait=300, buy_again=True)


def job(**changes: object) -> Job:
    known: dict = {"id": 1, "batch": "b", "key": "k", "task": TASK, "fingerprint": "1:x", "output": "k"}
    return Job(**{**known, "state": State.RUNNING, "tries": 1, "claim": 1, **changes})


def missed(cause: Cause, **facts: object) -> Missed:
    return Missed(fault=Fault(cause=cause, message="m", charged=Charged.MAYBE, **facts))


def came(count: int) -> Delivered:
    files = tuple(
        Artifact(ordinal=n, path=f"{n}.png", sha256="0" * 64, size_bytes=1, width=1, height=1, mime="image/png")
        for n in range(count)
    )
    return Delivered(artifacts=files, usage=Usage(images=count))


#: cause -> what happens after try 1, 2, 3, 4, 5 with ``attempts: 4`` (R returned, D deferred, X given up, U unknown).
TABLE = {
    Cause.THROTTLED: "RRRRR",
    Cause.UNREACHED: "RRRRR",
    Cause.MONEY: "RRRRR",
    Cause.DENIED: "RRRRR",
    Cause.REFUSED: "XXXXX",
    Cause.INVALID: "XXXXX",
    Cause.EMPTY: "DDXXX",
    Cause.SPOILED: "DXXXX",
    Cause.ERROR: "DDDXX",
    Cause.UNKNOWN: "DDDUU",
}
EVENTS = {"R": Released, "D": Deferred, "X": Exhausted, "U": Unknown}


def test_the_table_knows_every_cause():
    assert set(TABLE) == set(Cause)


@pytest.mark.parametrize("tries", range(1, 6))
@pytest.mark.parametrize("cause", Cause)
def test_each_cause_after_each_try(cause, tries):
    event = judge(job(tries=tries), missed(cause), RETRY, NOW)
    assert type(event) is EVENTS[TABLE[cause][tries - 1]]
    assert event.at == NOW
    assert event.fault.cause is cause


@pytest.mark.parametrize("cause", Cause)
def test_attempts_of_one_buys_nothing_twice(cause):
    event = judge(job(tries=1), missed(cause), ONCE, NOW)
    free = cause in (Cause.THROTTLED, Cause.UNREACHED, Cause.MONEY, Cause.DENIED)
    assert type(event) is (Released if free else Unknown if cause is Cause.UNKNOWN else Exhausted)


@pytest.mark.parametrize("tries", range(1, 5))
def test_hold_never_buys_an_unknown_again(tries):
    assert isinstance(judge(job(tries=tries), missed(Cause.UNKNOWN), HOLD, NOW), Unknown)


def test_hold_changes_nothing_else():
    for cause in set(Cause) - {Cause.UNKNOWN}:
        for tries in range(1, 6):
            one, other = (judge(job(tries=tries), missed(cause), policy, NOW) for policy in (RETRY, HOLD))
            assert one == other


def test_an_unknown_is_bought_again_once_a_job():
    first = judge(job(), missed(Cause.UNKNOWN), RETRY, NOW)
    assert isinstance(first, Deferred)
    again = advance(job(), first)
    assert again.unknown_attempts == 1
    assert isinstance(judge(job(tries=2, unknown_attempts=1), missed(Cause.UNKNOWN), RETRY, NOW), Unknown)


@pytest.mark.parametrize(
    ("facts", "policy", "may_rebuy", "why"),
    [
        ({}, HOLD, False, "on_unknown: hold"),
        ({"tries": 2, "unknown_attempts": 1}, RETRY, False, "it was unknown before"),
        ({}, ONCE, True, "retry.attempts are used up"),
        ({}, RETRY, False, "this run has bought again as many unknown jobs as it may (the provider's concurrency)"),
    ],
)
def test_an_unknown_that_is_not_bought_again_says_why(facts, policy, may_rebuy, why):
    event = judge(job(**facts), missed(Cause.UNKNOWN), policy, NOW, may_rebuy=may_rebuy)
    assert isinstance(event, Unknown)
    assert event.fault.message == f"m; not bought again: {why}"


def test_an_unknown_job_does_not_block_other_retries():
    assert isinstance(judge(job(tries=2, unknown_attempts=1), missed(Cause.ERROR), RETRY, NOW), Deferred)


def test_a_returned_try_is_given_back():
    back = advance(job(tries=3), judge(job(tries=3), missed(Cause.UNREACHED), RETRY, NOW))
    assert (back.tries, back.state, back.not_before) == (2, State.PENDING, None)


@pytest.mark.parametrize("tries", [1, 2, 5])
def test_a_throttled_job_lets_others_go_first_where_no_wait_is_named(tries):
    event = judge(job(tries=tries), missed(Cause.THROTTLED), RETRY, NOW, 0.5)
    assert event.not_before == NOW + timedelta(seconds=RETRY.backoff(1, 0.5))
    back = advance(job(tries=tries), event)
    assert (back.tries, back.state, back.not_before) == (tries - 1, State.PENDING, event.not_before)


def test_a_throttled_job_is_due_with_its_lane_where_a_wait_is_named():
    assert judge(job(), missed(Cause.THROTTLED, retry_after=5.0), RETRY, NOW).not_before is None


# --- a provider in trouble ------------------------------------------------------


def test_first_error_shared_by_every_job_is_not_the_jobs():
    free = Missed(fault=Fault(cause=Cause.ERROR, message="m", charged=Charged.NO))
    event = judge(job(tries=1), free, ONCE, NOW, 0.5, troubled=True)
    assert event == Released(at=NOW, fault=free.fault, not_before=NOW + timedelta(seconds=ONCE.backoff(1, 0.5)))
    assert advance(job(tries=1), event).tries == 0


@pytest.mark.parametrize("charged", [Charged.MAYBE, Charged.YES])
def test_possibly_charged_error_counts_as_a_purchase(charged):
    paid = Missed(fault=Fault(cause=Cause.ERROR, message="m", charged=charged))
    assert isinstance(judge(job(tries=1), paid, ONCE, NOW, troubled=True), Exhausted)
    assert isinstance(judge(job(tries=1), paid, RETRY, NOW, troubled=True), Deferred)


@pytest.mark.parametrize("tries", [2, 3, 4])
def test_job_that_failed_before_spends_tries_in_trouble(tries):
    quiet, troubled = (judge(job(tries=tries), missed(Cause.ERROR), RETRY, NOW, troubled=one) for one in (False, True))
    assert quiet == troubled
    assert not isinstance(troubled, Released)


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause is not Cause.ERROR])
def test_trouble_changes_nothing_but_errors(cause):
    quiet, troubled = (judge(job(tries=1), missed(cause), RETRY, NOW, troubled=one) for one in (False, True))
    assert quiet == troubled


@pytest.mark.parametrize(
    ("wanted", "delivered", "arrived", "kind"),
    [(1, 0, 1, Delivery), (3, 0, 3, Delivery), (3, 1, 2, Delivery), (1, 0, 2, Delivery), (3, 0, 2, PartialDelivery),
     (3, 1, 1, PartialDelivery), (2, 0, 1, PartialDelivery)],
)  # fmt: skip
def test_a_delivery_is_whole_or_short(wanted, delivered, arrived, kind):
    event = judge(job(wanted=wanted, delivered=delivered), came(arrived), RETRY, NOW)
    assert type(event) is kind
    assert event.outcome == came(arrived)


@pytest.mark.parametrize(
    ("tries", "kind"), [(1, PartialDelivery), (3, PartialDelivery), (4, Incomplete), (5, Incomplete)]
)
def test_short_answers_spend_tries_as_all_purchases_do(tries, kind):
    event = judge(job(wanted=10, delivered=tries - 1, tries=tries), came(1), RETRY, NOW)
    assert type(event) is kind
    assert event.outcome == came(1)


@pytest.mark.parametrize("cause", [Cause.REFUSED, Cause.INVALID])
def test_what_the_provider_refuses_to_make_is_not_asked_for_again(cause):
    outcome = replace(came(1), shortfall=missed(cause).fault)
    event = judge(job(wanted=2), outcome, RETRY, NOW)
    assert type(event) is Incomplete
    assert event.fault.cause is cause
    assert event.fault.message.startswith("1 of 2 images came; ")
    odd = replace(came(1), shortfall=replace(missed(Cause.SPOILED).fault, final=True))
    assert type(judge(job(wanted=2), odd, RETRY, NOW)) is Incomplete
    busy = replace(came(1), shortfall=missed(Cause.ERROR).fault)
    assert type(judge(job(wanted=2), busy, RETRY, NOW)) is PartialDelivery


def test_partial_delivery_reports_images_and_purchases():
    event = judge(job(wanted=10, delivered=2, tries=4), came(1), RETRY, NOW)
    assert event.fault.message == "3 of 10 images came in 4 purchases, and retry.attempts allows no more"
    assert (event.fault.cause, event.fault.charged) == (Cause.EMPTY, Charged.YES)
    failed = advance(job(wanted=10, delivered=2, tries=4), event)
    assert (failed.state, failed.delivered, failed.message) == (State.FAILED, 3, event.fault.message)
    once = judge(job(wanted=2), came(1), ONCE, NOW)
    assert once.fault.message == "1 of 2 images came in 1 purchase, and retry.attempts allows no more"


@pytest.mark.parametrize("cause", Cause)
def test_what_would_end_the_same_way_again_is_not_bought_again(cause):
    event = judge(job(), missed(cause, final=True), RETRY, NOW, troubled=True)
    if cause in (Cause.EMPTY, Cause.SPOILED, Cause.ERROR):
        assert isinstance(event, Exhausted)
    elif cause is Cause.UNKNOWN:  # a task that was submitted, and is not known any more
        assert isinstance(event, Unknown)
    else:
        assert type(event) is type(judge(job(), missed(cause), RETRY, NOW))


@pytest.mark.parametrize(
    ("scope", "alone", "kind"),
    [(Scope.ACCOUNT, False, Released), (Scope.MODEL, False, Released), (Scope.JOB, False, Exhausted),
     (Scope.ACCOUNT, True, Exhausted)],
)  # fmt: skip
def test_a_denial_ends_a_job_only_where_it_is_its_own(scope, alone, kind):
    assert type(judge(job(), missed(Cause.DENIED, scope=scope), RETRY, NOW, alone=alone)) is kind


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause is not Cause.DENIED])
def test_that_a_denial_is_a_jobs_own_changes_nothing_else(cause):
    assert judge(job(), missed(cause), RETRY, NOW, alone=True) == judge(job(), missed(cause), RETRY, NOW)


@pytest.mark.parametrize("tries", [1, 4, 9])
def test_images_that_came_count_however_often_it_was_tried(tries):
    assert isinstance(judge(job(tries=tries, unknown_attempts=1), came(1), ONCE, NOW), Delivery)


@pytest.mark.parametrize(("number", "seconds"), [(1, 2), (2, 4), (3, 8), (4, 16), (8, 256), (9, 300), (50, 300)])
def test_the_backoff_doubles_up_to_its_limit(number, seconds):
    assert RETRY.backoff(number, 1.0) == seconds
    assert RETRY.backoff(number, 0.0) == seconds / 2


def test_a_huge_try_number_does_not_overflow():
    assert RETRY.backoff(100_000, 1.0) == 300


def test_a_first_wait_of_nothing_is_no_wait():
    assert Policy(attempts=3, first_wait=0, max_wait=10, buy_again=True).backoff(3) == 0


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True))
def test_the_spread_shortens_a_wait_by_at_most_half(number, spread):
    whole = RETRY.backoff(number, 1.0)
    assert whole / 2 <= RETRY.backoff(number, spread) <= whole


@given(st.integers(1, 3), st.floats(0, 1, exclude_max=True))
def test_a_deferred_job_waits_its_backoff(tries, spread):
    event = judge(job(tries=tries), missed(Cause.ERROR), RETRY, NOW, spread)
    assert event.not_before == NOW + timedelta(seconds=RETRY.backoff(tries, spread))


def test_many_jobs_of_one_moment_come_back_at_different_times():
    due = {judge(job(), missed(Cause.ERROR), RETRY, NOW, number / 100).not_before for number in range(100)}
    assert len(due) == 100
    assert max(due) - min(due) > timedelta(seconds=0.9)


@pytest.mark.parametrize(("attempts", "last"), [(1, 1), (2, 2), (7, 7)])
def test_the_policy_is_over_with_its_last_attempt(attempts, last):
    policy = Policy(attempts=attempts, first_wait=1, max_wait=2, buy_again=False)
    assert [policy.is_last(number) for number in (last - 1, last, last + 1)] == [False, True, True]


@pytest.mark.parametrize("cause", [Cause.ERROR, Cause.EMPTY, Cause.SPOILED, Cause.UNKNOWN])
def test_no_cause_keeps_a_job_buying_for_ever(cause):
    state, bought = job(tries=0, state=State.PENDING), 0
    while state.state is State.PENDING:
        bought += 1
        assert bought < 10
        running = job(tries=state.tries + 1, unknown_attempts=state.unknown_attempts)
        state = advance(running, judge(running, missed(cause), RETRY, NOW))
    assert bought == {Cause.ERROR: 4, Cause.EMPTY: 3, Cause.SPOILED: 2, Cause.UNKNOWN: 2}[cause]
