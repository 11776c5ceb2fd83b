"""Every (state, event) pair: allowed and right, or refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.errors import IllegalEvent
from batchgen.fault import Cause, Fault
from batchgen.job import (
    TRANSITIONS,
    Adopted,
    Cancelled,
    Claimed,
    Deferred,
    Delivered,
    Delivery,
    Event,
    Exhausted,
    Incomplete,
    Job,
    Outcome,
    PartialDelivery,
    Released,
    Requeued,
    Revised,
    State,
    Supplied,
    Unknown,
    advance,
)
from batchgen.task import Artifact, Kind, Task, Usage

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)
FAULT = Fault(cause=Cause.ERROR, message="boom")
DOUBT = Fault(cause=Cause.UNKNOWN, message="read timeout")
FILE = Artifact(ordinal=0, path="a.png", sha256="0" * 64, size_bytes=1, width=1, height=1, mime="image/png")
CAME = Delivered(artifacts=(FILE,), usage=Usage(images=1))

EVENTS: tuple[Event, ...] = (
    Claimed(at=NOW),
    Delivery(at=NOW, outcome=CAME),
    PartialDelivery(at=NOW, outcome=CAME),
    Deferred(at=NOW, fault=FAULT, not_before=LATER),
    Released(at=NOW, fault=FAULT, not_before=LATER),
    Exhausted(at=NOW, fault=FAULT),
    Incomplete(at=NOW, outcome=CAME, fault=FAULT),
    Unknown(at=NOW, fault=DOUBT),
    Cancelled(at=NOW),
    Requeued(at=NOW),
    Revised(at=NOW),
    Adopted(at=NOW),
    Supplied(at=NOW),
)

#: What may happen, written out once more and independently of TRANSITIONS.
ALLOWED = {
    "pending": {
        "Claimed": "running",
        "Cancelled": "cancelled",
        "Revised": "pending",
        "Adopted": "done",
        "Supplied": "pending",
    },
    "running": {
        "Delivery": "done",
        "PartialDelivery": "pending",
        "Deferred": "pending",
        "Released": "pending",
        "Exhausted": "failed",
        "Incomplete": "failed",
        "Unknown": "unknown",
        "Cancelled": "cancelled",
    },
    "done": {"Requeued": "pending", "Revised": "pending", "Supplied": "done"},
    "failed": {
        "Requeued": "pending",
        "Revised": "pending",
        "Cancelled": "cancelled",
        "Adopted": "done",
        "Supplied": "failed",
    },
    "unknown": {
        "Requeued": "pending",
        "Revised": "pending",
        "Cancelled": "cancelled",
        "Adopted": "done",
        "Supplied": "unknown",
    },
    "cancelled": {
        "Requeued": "pending",
        "Revised": "pending",
        "Delivery": "done",
        "PartialDelivery": "cancelled",
        "Incomplete": "cancelled",
    },
}


def job(state: State = State.PENDING, **changes: object) -> Job:
    task = Task(kind=Kind.GENERATE, prompt="a cat", provider="aigate", model="gpt-image-2")
    known: dict = {
        "wanted": 3,
        "delivered": 1,
        "claim": 4,
        "tries": 2,
        "unknown_attempts": 1,
        "cause": "error",
        "message": "boom",
    }
    return Job(
        id=7, batch="b", key="cat", task=task, fingerprint="1:x", output="cat", state=state, **{**known, **changes}
    )


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("state", State)
def test_every_pair_is_allowed_or_refused(state: State, event: Event) -> None:
    expected = ALLOWED[state.value].get(type(event).__name__)
    if expected is None:
        with pytest.raises(IllegalEvent, match=type(event).__name__):
            advance(job(state), event)
    else:
        assert advance(job(state), event).state == expected


def _names_below(kind: type) -> set[str]:
    return {one.__name__ for one in kind.__subclasses__()}.union(*map(_names_below, kind.__subclasses__()))


def test_every_event_is_among_those_tested() -> None:
    # By name: a dataclass with slots is made twice, and its first form may still be around.
    assert {type(event).__name__ for event in EVENTS} == _names_below(Event)
    assert set(TRANSITIONS) == set(State)
    assert {kind.__name__ for kind in get_args(Outcome)} == {"Delivered", "Missed"}


def test_a_claim_spends_a_try_and_raises_the_fence() -> None:
    after = advance(job(not_before=LATER), Claimed(at=NOW))
    assert (after.claim, after.tries, after.not_before) == (5, 3, None)


def test_a_delivery_counts_images_and_forgets_the_trouble() -> None:
    after = advance(job(State.RUNNING), Delivery(at=NOW, outcome=CAME))
    assert (after.delivered, after.cause, after.message) == (2, None, None)


def test_a_short_answer_counts_what_came() -> None:
    assert advance(job(State.RUNNING), PartialDelivery(at=NOW, outcome=CAME)).delivered == 2


def test_incomplete_job_keeps_its_images_and_retries_the_rest() -> None:
    failed = advance(job(State.RUNNING), Incomplete(at=NOW, outcome=CAME, fault=FAULT))
    assert (failed.delivered, failed.tries, failed.cause, failed.message) == (2, 2, "error", "boom")
    again = advance(failed, Requeued(at=NOW))
    assert (again.delivered, again.tries, again.cause) == (2, 0, None)


def test_deferred_keeps_the_try_spent_and_returned_gives_it_back() -> None:
    deferred = advance(job(State.RUNNING), Deferred(at=NOW, fault=FAULT, not_before=LATER))
    returned = advance(job(State.RUNNING), Released(at=NOW, fault=FAULT, not_before=LATER))
    assert (deferred.tries, deferred.not_before, deferred.cause) == (2, LATER, "error")
    assert (returned.tries, returned.not_before) == (1, LATER)


@pytest.mark.parametrize("event", [Exhausted(at=NOW, fault=DOUBT), Unknown(at=NOW, fault=DOUBT)])
def test_an_unknown_outcome_is_a_doubt(event: Event) -> None:
    after = advance(job(State.RUNNING), event)
    assert (after.unknown_attempts, after.cause, after.message) == (2, "unknown", "read timeout")
    assert advance(job(State.RUNNING), Exhausted(at=NOW, fault=FAULT)).unknown_attempts == 1


def test_requeued_job_keeps_images_of_a_partial_delivery() -> None:
    again = advance(job(State.FAILED), Requeued(at=NOW))
    assert (again.tries, again.unknown_attempts, again.cause, again.message, again.delivered) == (0, 0, None, None, 1)
    assert advance(job(State.DONE, delivered=3), Requeued(at=NOW)).delivered == 0


@pytest.mark.parametrize("state", [State.PENDING, State.FAILED, State.UNKNOWN])
def test_a_file_that_came_without_a_call_counts_and_costs_no_try(state: State) -> None:
    last = advance(job(state, delivered=2), Adopted(at=NOW))
    assert (last.state, last.delivered, last.cause, last.message) == (State.DONE, 3, None, None)
    one = advance(job(state), Supplied(at=NOW))
    assert (one.state, one.delivered, one.cause, one.tries, one.claim) == (state, 2, "error", 2, 4)


@pytest.mark.parametrize("state", [State.PENDING, State.DONE, State.FAILED, State.UNKNOWN, State.CANCELLED])
def test_revised_counts_on_no_image_made_before_or_still_to_come(state: State) -> None:
    after = advance(job(state), Revised(at=NOW))
    assert (after.delivered, after.claim) == (0, 5)


@given(st.lists(st.sampled_from(EVENTS), max_size=40))
def test_in_any_history_the_fence_only_grows_and_tries_stay_sane(history: list[Event]) -> None:
    now = replace(job(), delivered=0, claim=0, tries=0, unknown_attempts=0)
    for event in history:
        before = now
        try:
            now = advance(before, event)
        except IllegalEvent:
            continue
        assert now.claim == before.claim + isinstance(event, Claimed | Revised)
        assert 0 <= now.tries <= now.claim
        assert (now.id, now.key, now.task) == (before.id, before.key, before.task)
