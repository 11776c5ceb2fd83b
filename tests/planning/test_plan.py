"""A batch beside its job table: what is new, what changed, what it costs, how long it takes."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.fingerprint import fingerprint
from batchgen.job import State
from batchgen.learned_prices import PriceMemory
from batchgen.manifest.batch import Batch, PlannedJob, Recipe
from batchgen.money import show_usd
from batchgen.planning.compare import CHANGES, CHUNK, Repeats, StoredJob, compare
from batchgen.planning.diff import Difference, differences
from batchgen.planning.estimate import PlanContext
from batchgen.planning.forecast import BESIDE, Latency
from batchgen.planning.plan import STANDINGS
from batchgen.planning.selection import Selection, sample_key, shard_of
from batchgen.providers.presets import profile
from batchgen.providers.pricing import is_stale
from batchgen.route import Route
from batchgen.task import Basis, Charge, Kind, Source, Task

TODAY = date(2026, 11, 21)
FACTS = PlanContext(today=TODAY)
#: A price that anybody can multiply.
CENT = {"tariff": {"usd_per_image": 0.01}}


def sampled(keys: Iterable[str], size: int, seed: int) -> frozenset[str]:
    return frozenset(sorted(keys, key=lambda key: (sample_key(key, seed), key))[:size])


def task(prompt="p", provider="studio", **fields):
    kind = Kind.EDIT if fields.get("images") else Kind.GENERATE
    return Task(**{"kind": kind, "prompt": prompt, "provider": provider, "model": "gpt-image-2", **fields})


def job(key, prompt="p", tags=(), **fields):
    return PlannedJob.of(key, task(prompt, **fields), tags=tags, wanted=fields.get("n", 1))


def batch(*jobs, **overrides):
    studio = {"preset": "gateway", "base_url": "https://studio.example"}
    wishes = {"studio": studio | CENT, "bare": studio, "openai": {}, "aimlapi": {}, "gptimageapi": {}}
    return Batch(
        name="b",
        manifest=Path("/shop/m.yaml"),
        folder=Path("/out"),
        jobs=jobs,
        profiles={name: profile(name, wish | overrides.pop(name, {})) for name, wish in wishes.items()},
        **overrides,
    )


class Table:
    """A job table of plain values."""

    def __init__(self, rows: Mapping[str, tuple[State, Task | str]]) -> None:
        self.known = {}
        for number, (key, (state, asked)) in enumerate(rows.items(), 1):
            mark = asked if isinstance(asked, str) else PlannedJob.of(key, asked).fingerprint
            self.known[key] = StoredJob(7 * number, state, mark, "empty" if state is State.FAILED else None)
        self.asked = {key: asked for key, (_, asked) in rows.items() if isinstance(asked, Task)}
        self.pages: list[int] = []
        self.told: list[str] = []

    def lookup(self, keys: Sequence[str]) -> Mapping[str, StoredJob]:
        self.pages.append(len(keys))
        return {key: self.known[key] for key in keys if key in self.known}

    def tasks(self, keys: Sequence[str]) -> Mapping[str, Task]:
        self.told += keys
        return {key: self.asked[key] for key in keys if key in self.asked}

    def last_id(self) -> int:
        return max((row.id for row in self.known.values()), default=0)

    def others(self, seen: Container[int], last_id: int) -> Iterator[str]:
        return (key for key, row in self.known.items() if row.id not in seen and row.id <= last_id)


STATES = {state.value: (state, task()) for state in State}


# --- where jobs stand ---------------------------------------------------------


def test_each_job_goes_where_its_row_says():
    table = Table(STATES | {"changed": (State.FAILED, task("q")), "gone": (State.DONE, task())})
    plan = compare(batch(*map(job, ["new", "changed", *STATES])), table, context=FACTS)
    assert {name: getattr(plan, name) for name in STANDINGS} == {
        "new": 1, "changed": 1, "pending": 2, "failed": 1, "unknown": 1, "done": 1, "cancelled": 1, "held": 0,
        "orphaned": 1, "at_provider": 0,
    }  # fmt: skip
    assert (plan.total, plan.images, plan.selected) == (8, 4, False)


def test_without_a_job_table_all_is_new():
    plan = compare(batch(*(job(f"j{number}") for number in range(CHUNK + 1))), None, context=FACTS)
    assert (plan.new, plan.total, plan.requests, plan.orphaned) == (CHUNK + 1,) * 3 + (0,)


def test_many_jobs_are_looked_up_in_chunks():
    table = Table({f"j{number}": (State.DONE, task()) for number in range(2 * CHUNK + 3)})
    plan = compare(batch(*(job(f"j{number}") for number in range(2 * CHUNK + 2))), table, context=FACTS)
    assert (plan.done, plan.orphaned) == (2 * CHUNK + 2, 1)
    assert table.pages == [CHUNK, CHUNK, 2]


@pytest.mark.parametrize(
    ("state", "standing"),
    [*((state, "changed") for state in State if state is not State.DONE), (State.DONE, "held")],
    ids=[*(state.value for state in State if state is not State.DONE), "done"],
)
def test_only_what_is_done_may_be_kept_though_it_changed(state, standing):
    table = Table({"a": (state, task("before"))})
    kept = compare(batch(job("a", "after")), table, context=FACTS, keep_changed=True)
    assert (getattr(kept, standing), kept.images) == (1, int(standing == "changed"))
    assert compare(batch(job("a", "after")), table, context=FACTS).changed == 1


def test_a_fingerprint_of_an_unknown_rule_is_a_change():
    assert compare(batch(job("a")), Table({"a": (State.DONE, "99:abc")}), context=FACTS).changed == 1


@pytest.mark.parametrize(("before", "after"), [("p \n", "p"), ("p", "p \n"), ("p\r\nq", "p\nq"), ("p ", "p")])
def test_a_job_of_an_older_version_is_compared_by_its_stored_words(before, after):
    table = Table({"a": (State.DONE, fingerprint(task(before), "1")), "b": (State.DONE, fingerprint(task("x"), "1"))})
    table.asked = {"a": task(before), "b": task("x")}
    plan = compare(batch(job("a", after), job("b", after)), table, context=FACTS)
    assert (plan.done, plan.changed) == (1, 1)


@given(
    st.dictionaries(
        st.text("abcd", min_size=1, max_size=3), st.tuples(st.sampled_from(State), st.sampled_from("pq").map(task))
    ),
    st.booleans(),
)
def test_every_job_is_counted_once(rows, keep):
    wanted = ["a", "b", "ab", "abc"]
    told: dict[str, str] = {}
    plan = compare(
        batch(*map(job, wanted)),
        Table(rows),
        context=FACTS,
        keep_changed=keep,
        on_job=lambda job, standing, _: told.update({job.key: standing}),
    )
    assert plan.total == len(wanted) == len(told)
    assert plan.orphaned == len(set(rows) - set(wanted))
    assert {name: list(told.values()).count(name) for name in STANDINGS[:-1]} == {
        name: getattr(plan, name) for name in STANDINGS[:-1]
    }


# --- money --------------------------------------------------------------------


def test_the_json_is_as_designed():
    found = compare(batch(job("a", n=3), job("b", provider="gptimageapi")), None, context=FACTS).as_json()
    assert list(found)[:7] == ["schema_version", "jobs", "images", "usd", "credits", "seconds", "unpriced"]
    assert found["jobs"] == {
        "total": 2, "new": 2, "changed": 0, "pending": 0, "done": 0, "failed": 0, "orphaned": 0, "unknown": 0,
        "cancelled": 0, "held": 0, "at_provider": 0,
    }  # fmt: skip
    assert found["credits"] == {"gptimageapi": {"low": "2", "expected": "6", "high": "12"}}
    assert (found["images"], found["unpriced"], found["schema_version"]) == (4, 1, 1)
    assert found["usd"] == {"low": "0.03", "expected": "0.03", "high": "0.03"}
    lane = {"provider": "studio", "model": "gpt-image-2", "requests": 1, "images": 3, "unpriced": 0, "seconds": 45}
    assert found["lanes"][0] | lane == found["lanes"][0]
    assert set(found["lanes"][0]) == {*lane, "usd", "credits", "tariff_date", "stale", "batched"}
    assert found["confirm"] == {"above_usd": "1", "asks": True}
    json.dumps(found)


def test_lanes_are_by_provider_and_model():
    other = {"model": "gpt-image-1.5"}
    jobs = [job("a", provider="openai"), job("b", provider="openai", **other), job("c"), job("d", provider="openai")]
    plan = compare(batch(*jobs), None, context=FACTS)
    assert [(lane.provider, lane.model, lane.requests) for lane in plan.lanes] == [
        ("openai", "gpt-image-2", 2), ("openai", "gpt-image-1.5", 1), ("studio", "gpt-image-2", 1),
    ]  # fmt: skip
    assert plan.usd.expected == sum(lane.usd.expected for lane in plan.lanes)


def test_money_is_summed_and_the_unpriced_is_not_zero():
    mixed = compare(batch(job("a"), job("b", n=2), job("c", provider="bare")), None, context=FACTS)
    assert mixed.as_json()["usd"] == {"low": "0.03", "expected": "0.03", "high": "0.03"}
    assert (mixed.unpriced, mixed.as_json()["credits"]) == (1, {})
    alone = compare(batch(job("c", provider="bare")), None, context=FACTS)
    assert alone.as_json()["usd"] == {"low": None, "expected": None, "high": None}


def test_nothing_to_do_costs_nothing():
    plan = compare(batch(job("a")), Table({"a": (State.DONE, task())}), context=FACTS)
    found = plan.as_json()
    assert (found["images"], found["seconds"], found["usd"]["high"], found["disk"]["bytes"]) == (0, 0, "0", 0)
    assert (plan.asks, plan.examples, plan.time.limit) == (False, (), None)


def test_a_long_prompt_costs_what_it_costs_alone():
    prompts = ["p" * length for length in (1, 400, 400, 20_000)]
    together = compare(batch(*(job(f"j{i}", p, provider="openai") for i, p in enumerate(prompts))), None, context=FACTS)
    apart = [compare(batch(job("j", prompt, provider="openai")), None, context=FACTS).usd for prompt in prompts]
    assert together.usd.high == sum(span.high for span in apart)
    assert apart[0].high < apart[1].high == apart[2].high < apart[3].high


def test_edits_of_as_many_sources_cost_the_same_and_others_do_not():
    def price(*sources, **fields):
        images = tuple(Source(path=f"/shop/{name}", sha256=name) for name in sources)
        return compare(batch(job("j", provider="openai", images=images, **fields)), None, context=FACTS).usd

    assert price("a") == price("b") != price("a", "b")
    assert price("a", mask=Source(path="/shop/m", sha256="m")) == price("a", "b")


@pytest.mark.parametrize(
    ("above", "jobs", "asks"),
    [
        (None, 100, False), (None, 101, True), (10_000_000, 1, False), (10_000_000, 2, True), (0, 1, True),
    ],
    ids=["at-a-dollar", "beyond-a-dollar", "at-the-limit", "beyond-the-limit", "always"],
)  # fmt: skip
def test_the_user_is_asked_above_a_sum(above, jobs, asks):
    made = batch(*(job(f"j{number}") for number in range(jobs)), confirm_above=above)
    assert compare(made, None, context=FACTS).asks is asks


def test_the_user_is_asked_about_what_nobody_can_price():
    assert compare(batch(job("a", provider="bare")), None, context=FACTS).asks


@pytest.mark.parametrize(
    ("said", "stale"),
    [(None, False), ("2026-11-21", False), ("2026-05-25", False), ("2026-05-24", True), ("last spring", False)],
)
def test_old_prices_are_called_old(said, stale):
    assert is_stale(said, TODAY) is stale


def test_a_lane_shows_the_date_of_its_prices():
    lane = compare(batch(job("a", provider="openai")), None, context=PlanContext(today=date(2027, 11, 21))).lanes[0]
    assert (lane.tariff_date, lane.stale) == ("2026-11-21", True)
    assert compare(batch(job("a")), None, context=FACTS).lanes[0].as_json()["tariff_date"] is None


# --- time and space -----------------------------------------------------------


def test_source_images_count_against_the_limit_of_images():
    sources = (Source(url="https://x.example/1"), Source(url="https://x.example/2"))
    jobs = [job(f"j{number}", provider="openai", images=sources) for number in range(100)]
    plan = compare(batch(*jobs, openai={"limits": {"images_per_minute": 6, "concurrency": 100}}), None, context=FACTS)
    assert plan.time.expected == pytest.approx(3_000, rel=0.05)
    assert plan.as_json()["time"]["provider"] == "openai"
    assert plan.as_json()["time"]["limit"] == "images_per_minute"


def test_slowest_provider_sets_the_time():
    jobs = [job("a"), *(job(f"o{number}", provider="openai") for number in range(5))]
    jobs += [job(f"m{number}", provider="openai", model="gpt-image-1.5") for number in range(5)]
    plan = compare(batch(*jobs, openai={"limits": {"concurrency": 1}}), None, context=FACTS)
    assert {lane.time.expected for lane in plan.lanes if lane.provider == "openai"} == {plan.time.expected}
    assert plan.slowest.provider == "openai"
    assert plan.as_json()["seconds"] > 5 * 45


def test_a_group_of_models_takes_as_long_as_its_own_limits_make_it():
    old = {"models": "gpt-image-1.5", "requests_per_minute": 6}
    wide = {"limits": {"concurrency": 100, "requests_per_minute": 600}, "groups": {"old": old}}
    jobs = [job(f"o{number}", provider="openai") for number in range(600)]
    alone = compare(batch(*jobs, openai=wide), None, context=FACTS).time.expected
    jobs += [job(f"m{number}", provider="openai", model="gpt-image-1.5") for number in range(100)]
    plan = compare(batch(*jobs, openai=wide), None, context=FACTS)
    assert alone < 600
    assert plan.time.expected == pytest.approx(1_000, rel=0.1)  # 100 at six a minute, the others meanwhile
    assert plan.as_json()["time"]["limit"] == "requests_per_minute"
    narrow = {"limits": {"concurrency": 100}, "groups": {"old": {"models": "gpt-image-1.5", "concurrency": 1}}}
    assert compare(batch(*jobs, openai=narrow), None, context=FACTS).time.expected > 100 * 45


def test_several_keys_share_the_work():
    jobs = [job(f"j{number}", provider="openai") for number in range(400)]
    limits = {"limits": {"requests_per_minute": 10, "concurrency": 20}}
    one = compare(batch(*jobs, openai=limits), None, context=FACTS)
    four = compare(batch(*jobs, openai=limits), None, context=replace(FACTS, accounts={"openai": 4}))
    assert one.time.expected == pytest.approx(2_450, rel=0.03)
    assert four.time.expected == pytest.approx(650, rel=0.1)
    assert four.disk.bytes > one.disk.bytes  # more of them are under way


def test_measured_latencies_and_sizes_are_preferred():
    quick = {("studio", "gpt-image-2"): Latency(median=2, p90=2, measured=True)}
    facts = PlanContext(today=TODAY, latencies=quick, bytes_per_pixel={"png": 0.5}, free_bytes=9_000_000)
    jobs = [job(f"j{number}", size="1000x1000") for number in range(3)]
    plan = compare(batch(*jobs, studio={"limits": {"concurrency": 1}}), None, context=facts)
    assert plan.time.expected == 6
    spool = 1_000_000 * 8 // 3 + 65_536
    assert plan.disk.bytes == 3 * (500_000 + BESIDE) + spool
    assert plan.disk.fits
    assert (
        compare(batch(job("a")), None, context=PlanContext(today=TODAY, free_bytes=1_000)).as_json()["disk"]["fits"]
        is False
    )


# --- selection ----------------------------------------------------------------

MANY = [f"j{number:02}" for number in range(40)]


def sent(selection, table=None, jobs=None):
    """Return the keys that a plan would send."""
    found: list[str] = []
    made = batch(*(jobs or map(job, MANY)))
    plan = compare(made, table, context=FACTS, selection=selection, on_job=lambda job, *_: found.append(job.key))
    assert plan.total == len(made.jobs)
    assert plan.selected is not selection.everything
    return found, plan


def test_only_the_selected_are_sent_and_all_are_counted():
    found, plan = sent(Selection(ids=("j0?",)))
    assert found == MANY[:10]
    assert (plan.new, plan.requests) == (40, 10)


@pytest.mark.parametrize(
    ("selection", "keys"),
    [
        (Selection(tags=("x",)), ["b"]), (Selection(providers=("openai",)), ["c"]),
        (Selection(models=("gpt-image-1.5",)), ["d"]), (Selection(kinds=("edit",)), ["e"]),
        (Selection(providers=("openai", "studio"), tags=("y", "x")), ["b"]), (Selection(tags=("z",)), []),
    ],
    ids=["tag", "provider", "model", "kind", "and-between", "none"],
)  # fmt: skip
def test_each_part_of_a_selection_counts(selection, keys):
    jobs = [
        job("a"), job("b", tags=("x", "w")), job("c", provider="openai"),
        job("d", provider="aimlapi", model="gpt-image-2") , job("e", images=(Source(url="https://x.example/1"),)),
    ]  # fmt: skip
    jobs[3] = jobs[3]._replace(recipe=Recipe(task=task("", provider="openai", model="gpt-image-1.5")))
    if selection.providers == ("openai",):
        keys = [*keys, "d"]
    assert sent(selection, jobs=jobs)[0] == keys


def test_a_limit_takes_the_first_that_are_due():
    table = Table({key: (State.DONE, task()) for key in MANY[:5]})
    _, plan = sent(Selection(limit=3), table)
    assert (plan.requests, [job.key for job in plan.examples]) == (3, MANY[5:8])
    assert sent(Selection(limit=99), table)[1].requests == 35


@pytest.mark.parametrize(
    ("selection", "told"),
    [(Selection(limit=2), ["j00", "j02"]), (Selection(sample=50, limit=2), ["j00", "j02"]), (Selection(), MANY)],
    ids=["limit", "sample", "everything"],
)
def test_of_a_number_of_jobs_only_those_sent_are_reported(selection, told):
    table = Table({"j00": (State.DONE, task("before")), "j01": (State.DONE, task())})
    standings = []
    made = batch(*map(job, MANY))
    compare(
        made, table, context=FACTS, selection=selection, on_job=lambda job, *found: standings.append((job.key, *found))
    )
    assert [key for key, *_ in standings] == told
    assert [standing for _, standing, _ in standings][:1] == ["changed"]
    assert [row is None for *_, row in standings][:2] == [False, told[1] != "j01"]


def test_a_sample_is_of_those_due_and_the_same_every_time():
    table = Table({key: (State.DONE, task()) for key in MANY[:20]})
    drawn = sampled(MANY[20:], 3, seed=7)
    _, plan = sent(Selection(sample=3, seed=7), table)
    assert [job.key for job in plan.examples] == sorted(drawn)
    assert sent(Selection(sample=3, seed=7, limit=1), table)[1].examples[0].key == min(drawn)
    assert sent(Selection(sample=99), table)[1].requests == 20


def test_a_sample_of_many_is_what_it_would_be_of_all_at_once():
    keys = [f"j{number}" for number in range(3 * CHUNK)]
    _, plan = sent(Selection(sample=500, limit=3), jobs=list(map(job, keys)))
    drawn = sampled(keys, 500, seed=0)
    assert [job.key for job in plan.examples] == [key for key in keys if key in drawn][:3]


CHANGED = {key: (State.DONE, task("before")) for key in ("a", "b", "c")} | {"d": (State.FAILED, task("before"))}


@pytest.mark.parametrize(
    ("selection", "again", "revise"),
    [
        (Selection(), None, None), (Selection(limit=2), None, {"a", "b"}), (Selection(ids=("[cd]",)), None, {"c", "d"}),
        (Selection(sample=2), None, set(sampled("abcd", 2, seed=0))), (Selection(tags=("x",)), None, set()),
        (Selection(), {"d"}, {"d"}), (Selection(ids=("a",)), {"d"}, set()),
    ],
    ids=["everything", "limit", "id", "sample", "none", "retry", "retry-none"],
)  # fmt: skip
def test_only_what_is_sent_is_revised(selection, again, revise):
    repeats = Repeats() if again is None else Repeats(jobs=again, alone=True)
    plan = compare(batch(*map(job, "abcde")), Table(CHANGED), context=FACTS, selection=selection, repeats=repeats)
    assert plan.revise == revise
    assert plan.again == (frozenset() if again is None else revise)
    assert again is None or plan.requests == len(revise)


def test_what_is_put_back_is_pending_and_nothing_else_is_sent():
    repeats = Repeats(jobs={"failed", "unknown"}, alone=True)
    plan = compare(batch(*map(job, ["new", *STATES])), Table(STATES), context=FACTS, repeats=repeats)
    assert (plan.new, plan.pending, plan.failed, plan.unknown, plan.requests) == (1, 4, 0, 0, 2)
    assert (plan.again, plan.matched, plan.selected) == ({"failed", "unknown"}, 2, True)


@pytest.mark.parametrize(
    ("ids", "matched", "absent"),
    [(("b", "z", "y"), 1, ("y", "z")), (("b", "z*"), 1, ()), (("z?",), 0, ()), ((), 3, ())],
    ids=["named", "and a glob", "glob", "none"],
)
def test_ids_that_no_job_has_are_reported(ids, matched, absent):
    table = Table({"a": (State.DONE, task())})
    plan = compare(batch(*map(job, "abc")), table, context=FACTS, selection=Selection(ids=ids))
    assert (plan.matched, plan.absent) == (matched, absent)


def test_shards_are_parts_that_miss_nothing():
    shards = [sent(Selection(shard=(number, 3)))[0] for number in (1, 2, 3)]
    assert sorted(key for shard in shards for key in shard) == MANY
    assert shards[1] == [key for key in MANY if shard_of(key, 3) == 2]


@pytest.mark.parametrize(
    ("selection", "told", "requests"),
    [
        (Selection(states=("pending",)), ["new", "pending", "running"], 3),
        (Selection(states=("failed", "done")), ["done", "failed"], 0), (Selection(causes=("empty",)), ["failed"], 0),
    ],
    ids=["pending", "ended", "cause"],
)  # fmt: skip
def test_the_state_of_jobs_may_select_them(selection, told, requests):
    found, plan = sent(selection, Table(STATES), [job("new"), *map(job, STATES)])
    assert (found, plan.requests) == (told, requests)


# --- what changed, and examples -----------------------------------------------


def test_what_changed_is_reported_of_the_first_few():
    keys = [f"j{number:02}" for number in range(CHANGES + 5)]
    table = Table({key: (State.DONE, task("before")) for key in keys})
    few = compare(batch(*(job(key, "after") for key in keys)), table, context=FACTS)
    assert [change.id for change in few.changes] == keys[:CHANGES] == table.told
    assert few.as_json()["changes"][0] == {
        "id": "j00", "fields": [{"field": "prompt", "before": "before", "after": "after"}]
    }  # fmt: skip
    whole = compare(batch(*(job(key, "after") for key in keys)), table, context=FACTS, changes_all=True)
    assert [change.id for change in whole.changes] == keys
    held = compare(batch(job("j00", "after")), table, context=FACTS, keep_changed=True)
    assert (held.held, len(held.changes)) == (1, 1)


def local(name, content):
    return Source(path=f"/shop/{name}", sha256=content)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, {}, []), ({"provider": "openai"}, {}, []),
        ({"size": "1024x1024"}, {"quality": "low"}, [("size", "1024x1024", None), ("quality", None, "low")]),
        ({"seed": 1, "n": 2}, {"seed": 2}, [("seed", 1, 2), ("n", 2, 1)]),
        (
            {"extra": {"style": "ink", "x": 1}}, {"extra": {"style": "oil", "x": 1, "y": [2]}},
            [("extra.style", "ink", "oil"), ("extra.y", None, [2])],
        ),
        (
            {"images": (local("photos/a.jpg", "1"),)}, {"images": (local("photos/a.jpg", "2"),)},
            [("images", "photos/a.jpg", "photos/a.jpg", "source image photos/a.jpg has other content")],
        ),
        ({"images": (local("a.jpg", "1"),)}, {"images": (local("moved.jpg", "1"),)}, []),
        (
            {"images": (local("a.jpg", "1"),)}, {"images": (local("b.jpg", "2"), Source(url="https://x.example/c"))},
            [("images", ["a.jpg"], ["b.jpg", "https://x.example/c"])],
        ),
        (
            {"images": (local("a.jpg", "1"), local("b.jpg", "2"))},
            {"images": (local("b.jpg", "2"), local("a.jpg", "1"))},
            [("images", ["a.jpg", "b.jpg"], ["b.jpg", "a.jpg"])],
        ),
        (
            {"images": (local("a.jpg", "1"),)}, {"images": (local("a.jpg", "1"),), "mask": local("m.png", "3")},
            [("mask", None, "m.png")],
        ),
        (
            {"images": (local("a.jpg", "1"),), "mask": local("m.png", "3")},
            {"images": (local("a.jpg", "1"),), "mask": local("m.png", "4")},
            [("mask", "m.png", "m.png", "mask m.png has other content")],
        ),
    ],
    ids=[
        "same", "provider", "fields", "numbers", "extra", "content", "moved", "other-files", "order", "mask",
        "mask-content",
    ],
)  # fmt: skip
def test_every_difference_that_counts_is_named(before, after, told):
    found = differences(task(**before), task(**after), Path("/shop"))
    assert found == tuple(
        Difference(field=field, before=old, after=new, note="".join(note)) for field, old, new, *note in told
    )


@given(st.integers(0, 3 * CHUNK))
def test_examples_are_the_first_the_last_and_one_between(number):
    alike = job("j")
    jobs = [alike._replace(key=f"j{index}") for index in range(number)]
    found = [int(example.key[1:]) for example in compare(batch(*jobs), None, context=FACTS).examples]
    assert len(found) == min(number, 3)
    if number:
        assert (found[0], found[-1]) == (0, number - 1)
    if number > 2:
        assert number / 4 <= found[1] + 1 <= 3 * number / 4 + 1


def test_of_the_examples_the_first_is_sent_first_and_the_last_last():
    plain, urgent, idle = (job("j")._replace(recipe=replace(job("j").recipe, priority=n)) for n in (0, 5, -1))
    jobs = [plain._replace(key=f"j{number}") for number in range(CHUNK + 9)]
    jobs[3], jobs[7] = idle._replace(key="idle"), urgent._replace(key="urgent")
    jobs[CHUNK + 2] = urgent._replace(key="urgent too")
    first, middle, last = compare(batch(*jobs), None, context=FACTS).examples
    assert (first.key, last.key, middle.recipe.priority) == ("urgent", "idle", 0)
    assert [one.key for one in compare(batch(*jobs[3:8:4]), None, context=FACTS).examples] == ["urgent", "idle"]


def test_an_example_shows_what_is_sent():
    images = (local("photos/a.jpg", "1"),)
    found = compare(batch(job("cat", "Add a cat", images=images, n=2)), None, context=FACTS).as_json()["examples"]
    assert found == [
        {
            "id": "cat", "kind": "edit", "provider": "studio", "model": "gpt-image-2", "size": None, "n": 2,
            "images": ["/shop/photos/a.jpg"], "output": "cat", "prompt": "Add a cat", "alternates": [],
        }
    ]  # fmt: skip


def test_what_it_may_cost_counts_the_dearest_of_a_route():
    route = Route(others=("studio",))
    cheap = PlannedJob.of("a", task(provider="gptimageapi"), route=route)
    alone = compare(batch(job("a", provider="gptimageapi")), None, context=FACTS)
    routed = compare(batch(cheap), None, context=FACTS)
    dear = compare(batch(job("a")), None, context=FACTS)
    assert (alone.alternates, alone.dearest) == ((), None)
    assert (routed.alternates, routed.usd) == (("studio",), alone.usd)
    assert routed.dearest == max(dear.usd.high, alone.usd.high or 0)
    assert routed.as_json()["alternates"] == {"providers": ["studio"], "usd": show_usd(routed.dearest)}


def found(usd, provider="studio"):
    memory = PriceMemory()
    memory.observe(task(provider=provider), Charge(usd=usd, credits=None, basis=Basis.REPORTED), 1)
    return replace(FACTS, prices=memory)


def test_a_price_that_earlier_calls_exceeded_is_what_a_plan_goes_by():
    jobs = batch(job("a"), job("b", n=2), job("c", size="1024x1024"))
    (lane,) = compare(jobs, None, context=found(50_000_000)).lanes
    assert (lane.usd.low, lane.usd.expected, lane.usd.high) == (40_000_000, 160_000_000, 160_000_000)
    assert lane.measured
    (lane,) = compare(jobs, None, context=found(10_000_000)).lanes
    assert (lane.usd.expected, lane.measured) == (40_000_000, False)


def test_a_price_that_only_earlier_calls_know_is_known():
    wish = compare(batch(job("a", provider="bare"), job("b", provider="bare", size="512x512")), None, context=FACTS)
    assert (wish.unpriced, wish.usd.expected) == (2, None)
    facts = found(50_000_000, "bare")
    (lane,) = compare(batch(job("a", provider="bare"), job("b", provider="bare", n=2)), None, context=facts).lanes
    assert (lane.unpriced, lane.usd.low, lane.usd.high, lane.measured) == (0, 150_000_000, 150_000_000, True)
