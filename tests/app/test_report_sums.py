"""Sums of a report: figures, costs, and what needs attention."""

from __future__ import annotations

import pytest

from batchgen.app.advice import NextStep
from batchgen.app.project import CommandFlags
from batchgen.app.report.costs import Costs
from batchgen.app.report.head import Figures, group_stops
from batchgen.app.report.needs import Needs
from batchgen.fault import Cause

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
