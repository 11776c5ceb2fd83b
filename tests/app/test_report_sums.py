"""Sums of a report: figures, costs, and what needs attention."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from batchgen.app.advice import NextStep
from batchgen.app.project import CommandFlags
from batchgen.app.report.at_provider import AtProvider
from batchgen.app.report.costs import Costs
from batchgen.app.report.head import Figures, group_stops
from batchgen.app.report.needs import Needs
from batchgen.fault import Cause
from batchgen.store.submissions import Submission, SubmissionState

from .reportjobs import call, file, job, missed

FLAGS = CommandFlags(flags=" --sandbox", batch="shop")


def figures(*jobs):
    found = Figures()
    for each in jobs:
        found.add(each)
    return found


def needs(*jobs, waits=()):
    collector = Needs()
    for each in jobs:
        collector.add(each)
    return collector.document("shop.yaml", FLAGS, waits)


def test_figures_add_up_all_calls():
    sent = call(0, credits=2_000)
    found = figures(job([missed(0, "spoiled", usd=5, charged="yes"), sent], [file(sent)]), job([missed(1, "error")]))
    assert (found.images, found.attempts, found.usd, found.lost) == (1, 3, 20_000_005, 5)
    assert found.credits == {"openai": 2_000}
    assert found.states == {"done": 1, "failed": 1}


def test_call_without_a_price_is_counted_apart():
    sent = call(0, usd=None)
    found = figures(job([sent], [file(sent)]))
    assert (found.usd, found.unpriced, found.priced) == (0, 1, 0)


def test_money_at_risk_is_that_of_unsettled_calls():
    risky = missed(0, "unknown", usd=None, charged="maybe", at_risk_usd=7)
    settled = missed(0, "unknown", usd=3, charged="yes")
    assert figures(job([risky, settled], state="unknown")).at_risk == 7


def test_costs_count_a_job_under_each_of_its_tags():
    sent, second = call(0), call(0, provider="aigate", usd=None, credits=3_000)
    costs = Costs()
    costs.add(job([sent], [file(sent)], tags='["red","blue"]'))
    costs.add(job([second], [file(second)], kind="edit"))
    found = costs.document()
    assert {bar["name"]: bar["images"] for bar in found["tag"]} == {"red": 1, "blue": 1, "untagged": 1}
    assert [bar["name"] for bar in found["provider"]] == ["openai", "aigate"]
    assert (found["provider"][1]["usd"], found["provider"][1]["credits"]) == (None, "3")
    assert [bar["name"] for bar in found["kind"]] == ["generate", "edit"]


def test_credits_of_two_providers_are_not_one_number():
    costs = Costs()
    costs.add(job([call(0, credits=1_000), call(1, provider="aigate", credits=2_000)]))
    [bar] = costs.document()["model"]
    assert (bar["credits"], bar["credits_by_provider"]) == (None, {"openai": "1", "aigate": "2"})


def test_need_is_one_for_each_cause_with_the_most_jobs_first():
    found = needs(
        job(state="unknown"), job(cause="refused", key="a"), job(cause="error", key="b"), job(cause="error", key="c")
    )
    assert [(need["state"], need["cause"], need["count"]) for need in found] == [
        ("failed", "error", 2), ("failed", "refused", 1), ("unknown", "unknown", 1)
    ]  # fmt: skip
    assert found[0]["command"] == "batchgen retry shop.yaml --sandbox --cause error"
    assert found[0]["ids"] == ["b", "c"]
    assert found[2]["command"] == "batchgen unknown list --sandbox --batch shop"


def test_need_of_refused_jobs_hands_out_their_prompts():
    [found] = needs(job(cause="refused", prompt="A forbidden cat", message="no"))
    assert found["prompts"] == [{"id": "cat", "prompt": "A forbidden cat", "message": "no"}]
    assert found["edit_command"] == "batchgen retry shop.yaml --sandbox --prompts FILE"


def test_need_of_waiting_jobs_states_why():
    [found] = needs(job(state="pending"), waits=["1 job waits: openai is paused"])
    assert (found["title"], found["meaning"]) == ("Waiting", "1 job waits: openai is paused.")
    assert found["command"] == "batchgen run shop.yaml --sandbox"


def test_need_of_waiting_jobs_has_no_command_while_a_run_sends_them():
    [found] = needs(job(state="pending"), waits=None)
    assert (found["meaning"], found["command"]) == ("The run in progress sends these jobs.", "")


def test_need_of_waiting_jobs_says_what_to_do_first():
    collector = Needs()
    collector.add(job(state="pending", message="Too many requests"))
    steps = [
        NextStep(command=None, what="raise the budget"),
        NextStep(command="batchgen unpause x", what="sends again"),
    ]
    [found] = collector.document("shop.yaml", FLAGS, ["it waits"], steps)
    assert (found["todo"], found["example"]) == ("Raise the budget; batchgen unpause x sends again.", "")


def test_reason_of_several_lanes_is_stated_once():
    stops = ["a: the budget is used up: 1 left", "b: the budget is used up: 2 left", "c: out of money", "it is 06:00"]
    assert list(group_stops(stops)) == ["the budget is used up (a, b)", "c: out of money", "it is 06:00"]


@pytest.mark.parametrize("cause", [*map(str, Cause), "of-another-version"])
def test_need_of_every_cause_has_a_command(cause):
    [found] = needs(job(cause=cause))
    assert found["command"].startswith("batchgen ")
    assert found["title"]


def test_done_jobs_need_nothing():
    sent = call(0)
    assert needs(job([sent], [file(sent)]), job(state="cancelled")) == []


def test_need_names_at_most_200_jobs():
    [found] = needs(*(job(cause="error", key=f"j{number}") for number in range(300)))
    assert (found["count"], len(found["ids"])) == (300, 200)


def at_provider(at=0, **fields):
    """Return a call in a batch that has not ended."""
    waits = {"state": "open", "ended_at": None, "seconds": None, "usd": None, "basis": None, "charged": None}
    return call(at, **waits | {"mode": "batch", "submission_id": "5" * 32, "estimate_usd": 3_000_000} | fields)


def test_jobs_at_the_provider_are_a_state_with_what_is_reserved_for_them():
    calls = [at_provider(), at_provider(submission_id=None, handle='{"id": "t"}', mode=None, estimate_usd=None)]
    found = figures(*(job([each], state="running") for each in calls), job([call(0, state="open")], state="running"))
    assert (found.states["running"], found.at_provider, found.reserved) == (3, 2, 3_000_000)
    [need] = needs(*(job([each], state="running", key=each.id) for each in calls), waits=["2 jobs are at the provider"])
    assert (need["state"], need["title"], need["count"]) == ("at_provider", "At the provider", 2)
    assert (need["reserved_usd"], need["usd"]) == ("0.003", None)
    assert (need["meaning"], need["command"]) == (
        "The next run collects them, and sends none again.", "batchgen collect shop.yaml --sandbox"
    )  # fmt: skip


def test_jobs_at_the_provider_have_no_command_while_a_run_collects_them():
    [need] = needs(job([at_provider()], state="running"), waits=None)
    assert (need["meaning"], need["command"]) == ("The run in progress collects it, and does not send it again.", "")


def test_jobs_that_a_run_could_not_collect_have_the_reason():
    collector = Needs()
    collector.add(job([at_provider()], state="running"))
    collector.add(job(state="pending", key="b"))
    steps = [NextStep(command=None, what="held at the provider: the key is missing; then: batchgen run shop.yaml")]
    waiting, held = collector.document("shop.yaml", FLAGS, ["1 job waits"], steps)
    assert (waiting["todo"], held["meaning"]) == ("", "The next run does not send it again.")
    assert held["todo"] == "Held at the provider: the key is missing; then: batchgen run shop.yaml."
    assert held["command"] == "batchgen run shop.yaml --sandbox"


def test_cancelled_job_whose_task_has_not_ended_is_cancelled():
    cancelled = job([at_provider()], state="cancelled")
    assert figures(cancelled).at_provider == 0
    assert needs(cancelled) == []


def test_places_are_the_batches_and_the_tasks_of_each_account():
    task = {"submission_id": None, "handle": '{"id": "t"}', "mode": None, "estimate_usd": None, "provider": "fal"}
    calls = [at_provider(at=60), at_provider(), at_provider(**task, estimate_credits=2_000)]
    collector = AtProvider()
    for each in calls:
        collector.add(job([each], state="running"))
    submitted = datetime(2026, 11, 30, 2, tzinfo=UTC)
    known = Submission(
        id="5" * 32, batch_id=1, run_id="r", provider="openai", endpoint="generate", model="gpt-image-2",
        created_at=submitted, submitted_at=submitted, deadline_at=submitted + timedelta(days=1), remote_id="batch_1",
        state=SubmissionState.SUBMITTED, counts={"total": 2, "completed": 1},
    )  # fmt: skip
    batch, tasks = sorted(collector.document({known.id: known}), key=lambda place: place["provider"], reverse=True)
    assert (batch["id"], batch["jobs"], batch["since"], batch["reserved_usd"]) == (
        "batch_1", 2, "2026-11-30T02:00:00+00:00", "0.006"
    )  # fmt: skip
    assert (batch["deadline_at"], batch["completed"]) == ("2026-12-01T02:00:00+00:00", 1)
    assert (tasks["id"], tasks["jobs"], tasks["reserved_usd"], tasks["reserved_credits"]) == (None, 1, None, "2")


def test_savings_count_only_calls_whose_both_prices_are_known():
    calls = [
        call(0, mode="batch", usd=10, standard_usd=20),
        call(0, mode="flex", usd=30, standard_usd=30, tier="standard"),
        call(0, mode="flex", usd=5, standard_usd=None),
        call(0, mode="batch", usd=5, standard_usd=10, basis="estimated"),
        missed(0, "error", mode="batch", standard_usd=10),
        call(0, usd=7),
        at_provider(),
    ]
    costs = Costs()
    costs.add(job(calls))
    assert costs.savings() == {"usd": "0.00000001", "calls": 2, "unknown": 2, "modes": ["flex", "batch"]}
    assert {bar["name"]: bar["attempts"] for bar in costs.document()["mode"]} == {"batch": 4, "flex": 2, "standard": 1}
    assert [bar["reserved_usd"] for bar in costs.document()["provider"]] == ["0.003"]


def test_savings_are_left_out_where_no_standard_price_is_known():
    costs = Costs()
    costs.add(job([call(0, mode="batch", usd=10)]))
    assert costs.savings() is None
