"""What a run says of the calls that an earlier one was cut off with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from batchgen.app.recovery.resumed import Resumed, resumed_text
from batchgen.engine.attempts import OpenAttempt
from batchgen.engine.lane import Lane
from batchgen.engine.limits.gate import Gate
from batchgen.engine.retry import Policy
from batchgen.fault import Cause, Charged, Fault
from batchgen.job import (
    Attempt,
    Deferred,
    Delivered,
    Delivery,
    Event,
    Exhausted,
    Job,
    Released,
    Settlement,
    State,
    Unknown,
)
from batchgen.task import UNPRICED, Basis, Charge, Kind, Task, Usage

NOW = datetime(2026, 11, 21, tzinfo=UTC)
TASK = Task(kind=Kind.GENERATE, prompt="a cat", provider="openai", model="gpt-image-2")
LANE = Lane(provider="openai", policy=Policy(), account_gate=Gate())
LOST = Fault(cause=Cause.UNKNOWN, message="m", charged=Charged.MAYBE)
UNSENT = Fault(cause=Cause.UNREACHED, message="m")
REFUSED = Fault(cause=Cause.REFUSED, message="m")

DELIVERED = Delivery(at=NOW, outcome=Delivered(artifacts=(), usage=Usage()))
AGAIN = Deferred(at=NOW, fault=LOST, not_before=NOW)
HELD = Unknown(at=NOW, fault=LOST)


def resumed(*events: tuple[str, Event], usd: int | None = 81_400_000, credits_: int | None = None) -> Resumed:
    found = Resumed()
    for key, event in events:
        call(found, key, event, usd, credits_)
    return found


def call(found: Resumed, key: str, event: Event, usd: int | None, credits_: int | None = None, **said: object) -> None:
    job = Job(id=1, batch="b", key=key, task=TASK, fingerprint="1:x", output=key, state=State.RUNNING)
    attempt = Attempt(
        id="a",
        job_id=1,
        claim=1,
        batch="b",
        key=key,
        task=TASK,
        fingerprint="1:x",
        folder="/o",
        output=key,
        resumed=True,
    )
    opened = OpenAttempt(job=job, attempt=attempt, estimate=Charge(usd=usd, credits=credits_, basis=Basis.ESTIMATED))
    opened = replace(opened, **said)  # type: ignore[arg-type]
    found.record(LANE, opened, Settlement(attempt=opened.attempt, event=event, charge=UNPRICED))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (resumed(("a", DELIVERED)), "1 call in flight: 1 delivered from what had arrived"),
        (
            resumed(("a", DELIVERED), ("hero-2", AGAIN), ("hero", AGAIN), ("sku", AGAIN)),
            (
                "4 calls in flight: 1 delivered from what had arrived; 3 unknown (at risk: $0.2442); "
                "bought again: hero, hero-2, sku"
            ),
        ),
        (
            resumed(("a", AGAIN), ("b", HELD)),
            "2 calls in flight: 2 unknown (at risk: $0.1628); bought again: a; not bought again: b",
        ),
        (
            resumed(("a", HELD), usd=None),
            "1 call in flight: 1 unknown (at risk: no price known); not bought again: a",
        ),
        (
            resumed(("a", HELD), usd=None, credits_=18_350_000),
            "1 call in flight: 1 unknown (at risk: 18350 credits at openai); not bought again: a",
        ),
        (
            resumed(("a", Released(at=NOW, fault=UNSENT)), ("b", Exhausted(at=NOW, fault=REFUSED))),
            "2 calls in flight: 1 not sent yet; 1 answered without an image",
        ),
    ],
)
def test_it_is_reported_in_one_line(found, words):
    assert resumed_text(found) == f"the last run was interrupted with {words}"


def test_five_are_named():
    assert resumed_text(resumed(*((f"j{n}", AGAIN) for n in range(7)))).endswith("again: j0, j1, j2, j3, j4 and 2 more")


def test_what_this_run_sent_itself_is_none_of_them():
    found = Resumed()
    attempt = Attempt(
        id="a", job_id=1, claim=1, batch="b", key="k", task=TASK, fingerprint="1:x", folder="/o", output="k"
    )
    call(found, "k", HELD, 1, attempt=attempt)
    assert found.calls == 0


def test_cancelled_job_is_at_risk_and_not_rebought():
    found = Resumed()
    job = Job(id=1, batch="b", key="k", task=TASK, fingerprint="1:x", output="k", state=State.CANCELLED)
    call(found, "k", AGAIN, 10**9, job=job)
    assert resumed_text(found).endswith("1 call in flight: 1 unknown (at risk: $1.00)")
