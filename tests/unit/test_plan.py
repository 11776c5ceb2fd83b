"""A batch beside its job table: what is new, what it costs, how long it takes."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.job import State
from batchgen.manifest import Batch, Planned
from batchgen.plan import compare, seconds
from batchgen.pricing import Estimate
from batchgen.providers.presets import profile
from batchgen.providers.profile import Limits
from batchgen.task import Basis, Charge, Kind, Source, Task


def job(key, provider="openai", n=1, images=()):
    task = Task(kind=Kind.GENERATE, prompt="p", provider=provider, model="gpt-image-2", n=n, images=images)
    return Planned(key=key, task=task, fingerprint="1:a", output=key, wanted=n)


def batch(*jobs):
    names = ("openai", "aimlapi", "gptimageapi")
    return Batch(
        name="b",
        manifest=Path("/m.yaml"),
        folder=Path("/out"),
        jobs=jobs,
        profiles={name: profile(name) for name in names},
    )


def price(task, model):
    low, expected, high = (
        Charge(usd=usd * task.n, credits=None, basis=Basis.ESTIMATED) for usd in (1_000_000, 2_000_000, 3_000_000)
    )
    return Estimate(low=low, expected=expected, high=high)


def test_each_job_goes_where_its_row_says():
    states = {
        "pending": State.PENDING, "running": State.RUNNING, "failed": State.FAILED, "unknown": State.UNKNOWN,
        "done": State.DONE, "cancelled": State.CANCELLED,
    }  # fmt: skip
    rows = {key: (state, "1:a") for key, state in states.items()}
    rows |= {"changed": (State.DONE, "1:b"), "gone": (State.DONE, "1:a")}
    plan = compare(batch(*map(job, ["new", "changed", *states])), rows, price=price)
    assert (plan.new, plan.changed, plan.pending) == (("new",), ("changed",), ("pending", "running"))
    assert (plan.failed, plan.unknown, plan.done) == (("failed",), ("unknown",), ("done",))
    assert (plan.cancelled, plan.orphaned, plan.total) == (("cancelled",), ("gone",), 8)
    assert plan.images == 4


def test_the_json_is_as_designed():
    plan = compare(batch(job("a", n=3), job("b", provider="gptimageapi")), {})
    found = plan.as_json()
    assert list(found) == ["schema_version", "jobs", "images", "usd", "credits", "seconds", "unpriced"]
    assert found["jobs"] == {
        "total": 2, "new": 2, "changed": 0, "pending": 0, "done": 0, "failed": 0, "orphaned": 0,
    }  # fmt: skip
    assert found["credits"] == {"gptimageapi": {"low": "2", "expected": "6", "high": "12"}} or found["credits"]
    assert (found["images"], found["unpriced"], found["schema_version"]) == (4, 1, 1)
    assert set(found["usd"]) == {"low", "expected", "high"}
    json.dumps(found)


def test_money_is_summed_and_the_unpriced_is_not_zero():
    def unpriced(task, model):
        nothing = Charge(usd=None, credits=None, basis=Basis.UNKNOWN)
        return (
            price(task, model) if task.provider == "openai" else Estimate(low=nothing, expected=nothing, high=nothing)
        )

    mixed = compare(batch(job("a"), job("b", n=2), job("c", provider="aimlapi")), {}, price=unpriced)
    assert mixed.as_json()["usd"] == {"low": "0.003", "expected": "0.006", "high": "0.009"}
    assert (mixed.unpriced, mixed.as_json()["credits"]) == (1, {})
    alone = compare(batch(job("c", provider="aimlapi")), {}, price=unpriced)
    assert alone.as_json()["usd"] == {"low": None, "expected": None, "high": None}


def test_nothing_to_do_costs_nothing():
    plan = compare(batch(job("a")), {"a": (State.DONE, "1:a")}, price=price).as_json()
    assert (plan["images"], plan["seconds"], plan["usd"]["high"]) == (0, 0, "0")


def test_source_images_count_against_the_limit_of_images():
    limits = Limits(images_per_minute=6, concurrency=100)
    assert seconds(limits, 10, 30, 1.0) == 300.0
    sources = (Source(url="https://x.example/1"), Source(url="https://x.example/2"))
    slow = profile("openai", {"limits": {"images_per_minute": 6, "concurrency": 100}})
    made = batch(*(job(f"j{i}", images=sources) for i in range(10)))
    made.profiles["openai"] = slow
    assert compare(made, {}, price=price, latency=1.0).seconds == 300


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"concurrency": 4}, 30.0), ({"concurrency": 100, "requests_per_second": 0.1}, 100.0),
        ({"concurrency": 100, "requests_per_minute": 2}, 300.0),
        ({"concurrency": 100, "requests_per_day": 5}, 86_400.0),
        ({"concurrency": 100, "spacing": 20}, 200.0), ({"concurrency": 100}, 10.0),
    ],
)  # fmt: skip
def test_the_tightest_limit_sets_the_time(limits, expected):
    assert seconds(Limits(**limits), 10, 10, 10.0) == expected


@given(
    st.dictionaries(
        st.text("abcd", min_size=1, max_size=3), st.tuples(st.sampled_from(State), st.sampled_from(["1:a", "1:b"]))
    )
)
def test_every_job_is_counted_once(rows):
    wanted = ["a", "b", "ab", "abc"]
    plan = compare(batch(*map(job, wanted)), rows, price=price)
    assert plan.total == len(wanted)
    assert set(plan.orphaned) == set(rows) - set(wanted)
