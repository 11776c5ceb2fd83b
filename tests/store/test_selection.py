"""Which jobs are selected, which of them a run may send, and what a plan asks of the table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from batchgen.app import run
from batchgen.job import Cancelled, Deferred, Job
from batchgen.manifest import Batch
from batchgen.manifest.batch import PlannedJob
from batchgen.planning.compare import StoredJob, compare
from batchgen.planning.estimate import PlanContext
from batchgen.planning.selection import Selection, sample_key, shard_of
from batchgen.providers.presets import profile
from batchgen.route import ModelFilter
from batchgen.store import lookup, queries
from batchgen.store.reader import Reader
from batchgen.store.records import DueFilter, Loaded
from batchgen.store.writer import Writer
from tests.faults.kit import shows, site

from .kit import DOUBT, NOW, claimed, delivery, loaded, miss, plan

KEYS = [f"job-{number}" for number in range(40)]


def sampled(keys: Iterable[str], size: int, seed: int) -> frozenset[str]:
    return frozenset(sorted(keys, key=lambda key: (sample_key(key, seed), key))[:size])


def keys(found: list[Job]) -> list[str]:
    return [job.key for job in found]


# --- selected jobs ----------------------------------------------------------------------------------------------------


async def test_shards_are_the_same_everywhere_and_lack_nothing(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, map(plan, KEYS))
    shards = [keys(list(reader.jobs(batch_id, Selection(shard=(number, 3))))) for number in (1, 2, 3)]
    assert shards == [[key for key in KEYS if shard_of(key, 3) == number] for number in (1, 2, 3)]
    assert all(shards)


ODD_KEYS = ["a", "ab", "aB", "a\ud7ff", "a\ud7ffb", "a\ue000", "a\U0010ffff", "a\U0010ffffb", "b", "é", "[a]", "a]"]


@pytest.mark.parametrize(
    "pattern", ["a", "a*", "A*", "*", "?", "a?", "a\ud7ff*", "a\U0010ffff*", "[ab]", "[^a]*", "[[]a]", "a]", "é*", ""]
)
async def test_ids_are_selected_by_the_same_globs_as_in_a_manifest(
    pattern: str, writer: Writer, reader: Reader
) -> None:
    batch_id = await loaded(writer, [plan(key, output=str(number)) for number, key in enumerate(ODD_KEYS)])
    other = await loaded(writer, map(plan, ["a", "ab"]), "other")
    chosen = Selection(ids=(pattern, "b"))
    wanted = [key for key in ODD_KEYS if chosen.matches(key, (), "", "", "")]
    assert keys(list(reader.jobs(batch_id, chosen))) == wanted
    assert all(job.batch == "other" for job in reader.jobs(other, chosen))


@pytest.mark.parametrize("seed", [0, 7, -3, 10**30])
async def test_a_sample_is_drawn_then_limited(writer: Writer, reader: Reader, seed: int) -> None:
    batch_id = await loaded(writer, map(plan, KEYS))
    drawn = sampled(KEYS, 5, seed)
    expected = [key for key in KEYS if key in drawn]
    assert keys(list(reader.jobs(batch_id, Selection(sample=5, seed=seed)))) == expected
    assert keys(list(reader.jobs(batch_id, Selection(sample=5, seed=seed, limit=2)))) == expected[:2]
    assert keys(list(reader.jobs(batch_id, Selection(sample=5, seed=seed, limit=4), 3))) == expected[:3]
    assert len(list(reader.jobs(batch_id, Selection(sample=99, seed=seed)))) == 40


async def test_a_sample_is_of_what_else_is_selected(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, map(plan, KEYS))
    ones = Selection(ids=("job-1*",), shard=(1, 2), sample=3)
    fulfil = [key for key in KEYS if key.startswith("job-1") and shard_of(key, 2) == 1]
    assert set(keys(list(reader.jobs(batch_id, ones)))) == sampled(fulfil, 3, 0)


async def test_pages_of_a_selection_join(writer: Writer, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchgen.store.reader.PAGE", 7)
    batch_id = await loaded(writer, map(plan, KEYS))
    for job in list(reader.jobs(batch_id, Selection(limit=20))):
        _, attempt = await claimed(writer, job)
        await writer.settle(delivery(attempt), NOW)
    assert keys(list(reader.jobs(batch_id))) == KEYS
    assert keys(list(reader.jobs(batch_id, Selection(limit=15)))) == KEYS[:15]
    done = [file.key for page in reader.files(batch_id) for file in page]
    assert done == KEYS[:20]
    some = Selection(ids=("job-*[02468]",), limit=8)
    assert [file.key for page in reader.files(batch_id, some) for file in page] == KEYS[:16:2]


# --- what a run may send ----------------------------------------------------------------------------------------------


async def test_everything_selected_is_no_scope(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan("a")])
    assert reader.scope(batch_id, Selection()) is None
    assert reader.scope(batch_id, Selection(orphaned=True, seed=3)) is None


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(ids=("b*", "d")), ["d", "b"]),
        (Selection(tags=("x",)), ["d", "a"]),
        (Selection(providers=("aimlapi",)), []),
        (Selection(models=("gpt-image-2",), kinds=("generate",)), ["d", "a", "b", "c"]),
        (Selection(kinds=("edit",)), []),
        (Selection(limit=2), ["a", "b"]),
        (Selection(limit=99), ["d", "a", "b", "c"]),
        (Selection(states=("pending",)), ["d", "a", "b", "c"]),
        (Selection(states=("failed", "done")), []),
        (Selection(causes=("refused",)), []),
        (Selection(ids=("*",), orphaned=True), ["d", "a", "b", "c"]),
    ],
    ids=["ids", "tags", "provider", "model", "kind", "limit", "roomy", "pending", "states", "causes", "orphans"],
)
async def test_a_lane_is_given_what_is_selected_in_its_order(
    writer: Writer, reader: Reader, selection: Selection, expected: list[str]
) -> None:
    jobs = [
        plan("a", tags=("x",)), plan("b"), plan("c"), plan("d", priority=1, tags=("x", "y")), plan("gone"),
        plan("e", provider="aimlapi"),
    ]  # fmt: skip
    batch_id = await loaded(writer, jobs)
    await writer.load(batch_id, [job for job in jobs if job.key != "gone"], NOW)
    among = reader.scope(batch_id, selection)
    assert keys(reader.due(batch_id, DueFilter(provider="aigate"), 9, NOW, among)) == expected
    assert keys(reader.due(batch_id, DueFilter(provider="aigate"), 1, NOW, among)) == expected[:1]
    assert reader.due(batch_id, DueFilter(provider="nobody"), 9, NOW, among) == []
    assert reader.next_retry(batch_id, DueFilter(provider="nobody"), among) is None


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (ModelFilter(), "ab"),
        (ModelFilter(only=True), ""),
        (ModelFilter(frozenset({"m"}), only=True), "b"),
        (ModelFilter(frozenset({"m"})), "a"),
    ],
    ids=["all", "none", "some", "all but some"],
)
async def test_a_lane_is_given_jobs_of_its_models(
    writer: Writer, reader: Reader, models: ModelFilter, expected: str
) -> None:
    other = replace(plan("b").task, model="m")
    batch_id = await loaded(writer, [plan("a"), plan("b", task=other)])
    found = reader.due(batch_id, DueFilter(provider="aigate", models=models), 9, NOW)
    assert "".join(keys(found)) == expected
    assert all(models.matches(job.task.model) for job in found)


async def test_what_waits_for_a_model_is_counted(writer: Writer, reader: Reader) -> None:
    other = replace(plan("b").task, model="m")
    jobs = [plan("a"), plan("b", task=other), plan("c", task=other), plan("d", task=replace(other, provider="aimlapi"))]
    batch_id = await loaded(writer, [*jobs, plan("gone", task=other)])
    await writer.load(batch_id, jobs, NOW)
    job, attempt = await claimed(writer, reader.job(batch_id, "c"))
    assert job.state == "running"
    assert reader.pending_of(batch_id, "aigate", ["m"]) == 1
    await writer.settle(miss(attempt, Deferred(at=NOW, fault=DOUBT, not_before=NOW + timedelta(hours=1))), NOW)
    assert reader.pending_of(batch_id, "aigate", ["m"]) == 2
    assert reader.pending_of(batch_id, "aimlapi", ["m"]) == 1
    assert reader.pending_of(batch_id, "aigate", ["m", "gpt-image-2"]) == 3
    assert reader.pending_of(batch_id, "aigate", []) == 0


async def test_limit_counts_over_all_lanes_sample_only_pending(writer: Writer, reader: Reader) -> None:
    jobs = [plan(f"j{number}", provider=("aigate", "aimlapi")[number % 2]) for number in range(20)]
    batch_id = await loaded(writer, jobs)
    for key in ("j0", "j1", "j2"):
        _, attempt = await claimed(writer, reader.job(batch_id, key))
        await writer.settle(delivery(attempt), NOW)
    among = reader.scope(batch_id, Selection(limit=5))
    assert keys(reader.due(batch_id, DueFilter(provider="aigate"), 9, NOW, among)) == ["j4", "j6"]
    assert keys(reader.due(batch_id, DueFilter(provider="aimlapi"), 9, NOW, among)) == ["j3", "j5", "j7"]
    among = reader.scope(batch_id, Selection(sample=4, seed=2))
    found = [
        key
        for lane in ("aigate", "aimlapi")
        for key in keys(reader.due(batch_id, DueFilter(provider=lane), 9, NOW, among))
    ]
    assert set(found) == sampled([f"j{number}" for number in range(3, 20)], 4, 2)


async def test_a_scope_is_what_it_was_when_the_run_began(writer: Writer, reader: Reader) -> None:
    """What is done leaves it, what comes back is in it again, and nothing else comes in its place."""
    batch_id = await loaded(writer, map(plan, KEYS))
    among = reader.scope(batch_id, Selection(limit=3))
    first, second, third = reader.due(batch_id, DueFilter(provider="aigate"), 9, NOW, among)
    _, attempt = await claimed(writer, first)
    await writer.settle(delivery(attempt), NOW)
    running, attempt = await claimed(writer, second)
    await writer.move(third, Cancelled(at=NOW))
    assert reader.due(batch_id, DueFilter(provider="aigate"), 9, NOW, among) == []
    assert reader.next_retry(batch_id, DueFilter(provider="aigate"), among) is None
    later = NOW + timedelta(minutes=1)
    await writer.settle(miss(attempt, Deferred(at=NOW, fault=DOUBT, not_before=later)), NOW)
    assert reader.due(batch_id, DueFilter(provider="aigate"), 9, NOW, among) == []
    assert reader.next_retry(batch_id, DueFilter(provider="aigate"), among) == later
    assert keys(reader.due(batch_id, DueFilter(provider="aigate"), 9, later, among)) == [running.key]


async def test_what_an_earlier_run_left_open_is_in_a_scope_of_conditions(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan("a", tags=("x",)), plan("b")])
    _, attempt = await claimed(writer, reader.job(batch_id, "a"))
    among, counted = reader.scope(batch_id, Selection(tags=("x",))), reader.scope(batch_id, Selection(limit=9))
    assert len(reader.open_attempts(batch_id)) == 1  # recovery sees everything
    await writer.settle(miss(attempt, Deferred(at=NOW, fault=DOUBT, not_before=NOW)), NOW)
    assert keys(reader.due(batch_id, DueFilter(provider="aigate"), 9, NOW, among)) == ["a"]
    assert keys(reader.due(batch_id, DueFilter(provider="aigate"), 9, NOW, counted)) == ["b"]


async def test_the_first_of_the_manifest_are_sent_by_their_priority(
    writer: Writer, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "PAGE", 2)
    batch_id = await loaded(writer, [plan(key, priority=number) for number, key in enumerate("abcdef")])
    among = reader.scope(batch_id, Selection(limit=5))
    assert keys(reader.due(batch_id, DueFilter(provider="aigate"), 9, NOW, among)) == ["e", "d", "c", "b", "a"]
    assert keys(reader.due(batch_id, DueFilter(provider="aigate"), 3, NOW, among)) == ["e", "d", "c"]


async def test_pages_of_a_scope_join_and_are_forgotten(
    writer: Writer, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "PAGE", 7)
    batch_id = await loaded(writer, map(plan, KEYS))
    among = reader.scope(batch_id, Selection(ids=("job-*",)))
    assert keys(reader.due(batch_id, DueFilter(provider="aigate"), 99, NOW, among)) == KEYS
    sent = []
    while due := reader.due(batch_id, DueFilter(provider="aigate"), 5, NOW, among):
        sent += keys(due)
        for job in due:
            _, attempt = await claimed(writer, job)
            await writer.settle(delivery(attempt), NOW)
    assert sent == KEYS
    assert among is not None
    assert among._pages == {"aigate": ()}


def test_a_run_sends_what_is_selected_and_the_next_one_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site(tmp_path, monkeypatch) as place:
        stage = place.serve(shows())
        jobs = ("a", "b", "c", "d")
        place.run_all(stage, *jobs, terms=run.RunOptions(selection=Selection(ids=("[bc]",))))
        assert {key for key, (state, _) in place.states().items() if state == "done"} == {"b", "c"}
        place.run_all(stage, *jobs, terms=run.RunOptions(selection=Selection(limit=1)))
        assert {key for key, (state, _) in place.states().items() if state == "done"} == {"a", "b", "c"}
        assert place.run_all(stage, *jobs).code == 0
        assert len(stage.posts) == 4


# --- what a plan asks -------------------------------------------------------------------------------------------------


async def test_a_plan_learns_the_state_of_jobs(writer: Writer, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "PAGE", 3)
    other = await loaded(writer, [plan("a", "elsewhere"), plan("z")], "other")
    batch_id = await loaded(writer, [plan(key, key) for key in "abcdefgh"])
    await writer.load(batch_id, [plan(key, key) for key in "abcdefg"], NOW)
    _, attempt = await claimed(writer, reader.job(batch_id, "b"))
    await writer.settle(miss(attempt), NOW)
    table = reader.lookup(batch_id)
    found = table.lookup(["b", "h", "nobody", "z", "b"])
    ids = {key: reader.job(batch_id, key).id for key in "abcdefgh"}
    assert found == {
        "b": StoredJob(ids["b"], reader.job(batch_id, "b").state, "1:b", "unknown"),
        "h": StoredJob(ids["h"], reader.job(batch_id, "h").state, "1:h", None),
    }
    assert table.tasks(["a", "z"]) == {"a": reader.job(batch_id, "a").task}
    assert table.last_id() == max(ids.values())

    seen, last_id = set[int](), table.last_id()
    assert list(table.others(seen, last_id)) == list("abcdefgh")
    for key in "abd":
        seen.add(ids[key])
    await writer.load(batch_id, [plan(key, key) for key in "abcdefghi"], NOW)  # "i" came too late for seen
    assert list(table.others(seen, last_id)) == list("cefgh")
    for key in "cefgh":
        seen.add(ids[key])
    assert list(table.others(seen, last_id)) == []
    assert list(reader.lookup(other).others(seen, last_id)) == ["a", "z"]


def batch_of(jobs: list[PlannedJob]) -> Batch:
    folder = Path("/out")
    return Batch(name="b", manifest=Path("/m.yaml"), folder=folder, jobs=jobs, profiles={"aigate": profile("aigate")})


@pytest.mark.parametrize("keep_changed", [True, False])
async def test_a_plan_foretells_what_a_load_does(writer: Writer, reader: Reader, keep_changed: bool) -> None:
    batch_id = await loaded(writer, [plan(f"j{number}") for number in range(12)])
    for number in (0, 1, 2):
        _, attempt = await claimed(writer, reader.job(batch_id, f"j{number}"))
        await writer.settle(delivery(attempt), NOW)
    wanted = [plan("j0"), plan("j1", "a dog"), *(plan(f"j{number}") for number in range(4, 9)), plan("j9", "a dog")]
    wanted.append(plan("new"))
    wish = compare(
        batch_of(wanted), reader.lookup(batch_id), context=PlanContext(today=NOW.date()), keep_changed=keep_changed
    )
    did = await writer.load(batch_id, wanted, NOW, keep_changed=keep_changed)
    assert (wish.new, wish.changed, wish.held, wish.orphaned) == (did.new, did.changed, did.held, did.orphaned)
    assert wish.pending + wish.done == did.kept
    assert did == Loaded(new=1, changed=1 + (not keep_changed), held=int(keep_changed), kept=6, orphaned=4)
    assert sorted(change.id for change in wish.changes) == ["j1", "j9"]
    assert wish.changes[0].fields[0].before == "a cat"
