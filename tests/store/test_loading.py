"""Loading a plan: what it changes, what it leaves alone, and that it does so a chunk at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import timedelta

import pytest
from anyio import CancelScope, from_thread
from hypothesis import given
from hypothesis import strategies as st

from batchgen import fingerprint
from batchgen.database_url import Database
from batchgen.fault import Cause, Fault
from batchgen.job import Cancelled, Exhausted, Job, State
from batchgen.manifest.batch import PlannedJob, Recipe
from batchgen.store.loading import Loading
from batchgen.store.reader import Reader
from batchgen.store.records import DueFilter, Loaded
from batchgen.store.rows import PlanRow, encode_task
from batchgen.store.writer import CHUNK, Writer
from batchgen.task import Kind, Source, Task
from tests.timing import patience

from .kit import NOW, Raw, claimed, delivery, integrity, loaded, miss, plan

LATER = NOW + timedelta(hours=1)


async def brought_to(state: str, writer: Writer, job: Job) -> None:
    """Bring a pending job into another state."""
    if state == "cancelled":
        await writer.move(job, Cancelled(at=NOW))
    elif state != "pending":
        _, attempt = await claimed(writer, job)
        if state == "done":
            await writer.settle(delivery(attempt), NOW)
        elif state != "running":
            failed = Exhausted(at=NOW, fault=Fault(cause=Cause.REFUSED, message="no"))
            await writer.settle(miss(attempt, failed if state == "failed" else None), NOW)


STATES = [state.value for state in State]


# --- rows -------------------------------------------------------------------------------------------------------------

SOURCES = st.builds(Source, path=st.none() | st.text(max_size=9), sha256=st.none() | st.just("0" * 64))
TASKS = st.builds(
    Task,
    kind=st.sampled_from(Kind),
    prompt=st.text() | st.sampled_from(['"', '"prompt":""', "\\", "\0\x1f\x7f\u2028 é 雪 😀", '","prompt":"']),
    provider=st.text(max_size=9),
    model=st.text(max_size=9) | st.just('"prompt":""'),
    images=st.lists(SOURCES, max_size=2).map(tuple),
    mask=st.none() | SOURCES,
    n=st.integers(1, 9),
    size=st.none() | st.text(max_size=9),
    seed=st.none() | st.integers(),
    extra=st.dictionaries(st.just("prompt") | st.text(max_size=5), st.integers() | st.text(max_size=5)),
)


@given(TASKS)
def test_the_text_of_a_task_put_together_is_that_of_the_whole(task: Task) -> None:
    planned = PlannedJob.of("cat", task)
    assert PlanRow.of(planned, 7).task == encode_task(task)


def test_sums_of_what_loading_did_forget_nothing() -> None:
    one = Loaded(**{field.name: 1 << number for number, field in enumerate(fields(Loaded))})
    assert one + one == Loaded(**{field.name: 2 << number for number, field in enumerate(fields(Loaded))})


# --- chunks -----------------------------------------------------------------------------------------------------------


async def test_the_table_keeps_the_order_of_the_manifest(writer: Writer, reader: Reader) -> None:
    task = plan("x").recipe.task
    recipes = [Recipe(task=replace(task, size=size), priority=0) for size in ("1024x1024", "1536x1024", None)]
    jobs = [PlannedJob(f"j{n}", f"p{n}", f"1:{n}", f"o{n}", recipes[n % 3]) for n in range(CHUNK + 500)]
    batch_id = await loaded(writer, jobs)
    found = list(reader.jobs(batch_id))
    assert [job.key for job in found] == [job.key for job in jobs]
    assert [job.task for job in found] == [job.task for job in jobs]
    assert [job.key for job in reader.due(batch_id, DueFilter(provider="aigate"), 9_999, NOW)] == [
        job.key for job in jobs
    ]
    backwards = await writer.load(batch_id, jobs[::-1], LATER)
    assert backwards == Loaded(kept=len(jobs))
    assert [job.key for job in reader.due(batch_id, DueFilter(provider="aigate"), 9_999, NOW)] == [
        job.key for job in jobs[::-1]
    ]


async def test_a_chunk_is_planned_while_the_one_before_is_written(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, merge = threading.Event(), Loading.merge

    def patient(self: Loading, connection: object, chunk: object) -> Loaded:
        assert began.wait(patience(20))
        return merge(self, connection, chunk)  # type: ignore[arg-type]

    def jobs() -> Iterator[PlannedJob]:
        for number in range(CHUNK + 1):
            if number == CHUNK:
                began.set()
            yield plan(f"j{number}")

    monkeypatch.setattr(Loading, "merge", patient)
    batch_id = await writer.open_batch("b", "/m.yaml", "/out", NOW)
    assert (await writer.load(batch_id, jobs(), NOW)).new == CHUNK + 1


async def test_a_plan_that_breaks_off_orphans_nothing_and_is_completed(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan("old"), plan("j1", "before")])

    def breaking() -> Iterator[PlannedJob]:
        yield from (plan(f"j{number}") for number in range(CHUNK + 10))
        raise ValueError("a bad row")

    with pytest.raises(ValueError, match="a bad row"):
        await writer.load(batch_id, breaking(), NOW)
    assert reader.job(batch_id, "old").state is State.PENDING
    assert reader.counts(batch_id).orphaned == 0
    whole = await writer.load(batch_id, [plan(f"j{number}") for number in range(CHUNK + 10)], NOW)
    assert whole == Loaded(new=10, kept=CHUNK, orphaned=1)


async def test_an_interrupted_load_is_completed(writer: Writer, reader: Reader, path: Database) -> None:
    batch_id = await loaded(writer, [plan("old")])
    with CancelScope() as scope:

        def jobs() -> Iterator[PlannedJob]:
            for number in range(3 * CHUNK):
                if number == 2 * CHUNK:
                    from_thread.run_sync(scope.cancel)
                yield plan(f"j{number}")

        await writer.load(batch_id, jobs(), NOW)
    assert scope.cancelled_caught
    assert reader.counts(batch_id).orphaned == 0
    done = await writer.load(batch_id, [plan(f"j{number}") for number in range(3 * CHUNK)], NOW)
    assert (done.new + done.kept, done.orphaned) == (3 * CHUNK, 1)
    assert reader.counts(batch_id).total == 3 * CHUNK
    writer.close()
    assert integrity(path) == "ok"


async def test_more_recipes_than_are_remembered(writer: Writer, reader: Reader) -> None:
    jobs = [plan(f"j{number}", priority=number) for number in range(1_500)]
    batch_id = await loaded(writer, jobs)
    assert await writer.load(batch_id, jobs, NOW) == Loaded(kept=1_500)
    assert [job.priority for job in reader.jobs(batch_id)] == list(range(1_500))


@pytest.mark.parametrize("key", ['a"b', "a\\b", "snow 雪/é", "a'b; --", "123", "%", "a\u2028b", "NULL"])
async def test_any_key_is_found_again(writer: Writer, reader: Reader, key: str) -> None:
    batch_id = await loaded(writer, [plan(key), plan("other")])
    assert await writer.load(batch_id, [plan(key), plan("other")], NOW) == Loaded(kept=2)
    assert reader.job(batch_id, key).key == key
    assert set(reader.lookup(batch_id).lookup([key, "nobody"])) == {key}


# --- what changes, and what stays -------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
async def test_changed_jobs_that_are_done_can_be_held(writer: Writer, reader: Reader, state: str) -> None:
    batch_id = await loaded(writer, [plan("cat")])
    await brought_to(state, writer, reader.job(batch_id, "cat"))
    before = reader.job(batch_id, "cat")
    assert before.state == state
    changed = [plan("cat", "a dog", output="new", tags=("x",), priority=9)]
    found = await writer.load(batch_id, changed, LATER, keep_changed=True)
    after = reader.job(batch_id, "cat")
    match state:
        case "done":
            assert (found, after) == (Loaded(held=1), replace(before, tags=("x",), priority=9))
            assert len(reader.artifacts(after)) == 1
            assert await writer.load(batch_id, changed, LATER) == Loaded(changed=1)
            assert reader.job(batch_id, "cat").state is State.PENDING
        case "running":
            looks = {"output": "new", "tags": ("x",), "priority": 9}
            assert (found, after) == (Loaded(busy=1), replace(before, **looks))
        case _:
            assert found == Loaded(changed=1)
            assert (after.state, after.task.prompt, after.output) == (State.PENDING, "a dog", "new")


@pytest.mark.parametrize("state", STATES)
async def test_changed_jobs_that_a_run_is_not_about_are_left(writer: Writer, reader: Reader, state: str) -> None:
    batch_id = await loaded(writer, [plan("cat"), plan("sent")])
    for key in ("cat", "sent"):
        await brought_to(state, writer, reader.job(batch_id, key))
    before = reader.job(batch_id, "cat")
    changed = [plan("sent", "a dog"), plan("cat", "a dog", output="new", sidecar=False, tags=("x",), priority=9)]
    found = await writer.load(batch_id, changed, LATER, revise={"sent"})
    after = reader.job(batch_id, "cat")
    match state:
        case "pending":  # it may be sent, and then as it is asked for now
            assert (found, after.task.prompt, after.output) == (Loaded(changed=2), "a dog", "new")
        case "running":
            assert found == Loaded(busy=2)
        case _:
            assert (found, after) == (Loaded(changed=1, left=1), replace(before, tags=("x",), priority=9, position=1))
            assert len(reader.artifacts(after)) == (state == "done")
            assert reader.job(batch_id, "sent").state is State.PENDING
            back = [plan("sent", "a dog"), plan("cat")]
            assert await writer.load(batch_id, back, LATER) == Loaded(kept=2)
            assert reader.job(batch_id, "cat").state == state


async def test_a_held_job_that_returns_is_no_orphan_any_more(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan("cat")])
    await brought_to("done", writer, reader.job(batch_id, "cat"))
    before = reader.job(batch_id, "cat")
    assert await writer.load(batch_id, [], NOW) == Loaded(orphaned=1)
    found = await writer.load(batch_id, [plan("cat", "a dog", output="new")], NOW, keep_changed=True)
    assert found == Loaded(held=1, returned=1)
    assert reader.job(batch_id, "cat") == before
    assert (reader.counts(batch_id).done, reader.counts(batch_id).orphaned) == (1, 0)


EDIT = Task(kind=Kind.EDIT, prompt="a hat", provider="aigate", model="gpt-image-2", images=(Source(path="/a.png"),))


@pytest.mark.parametrize("state", STATES)
async def test_what_was_asked_stays_on_record_where_it_was_sent(writer: Writer, reader: Reader, state: str) -> None:
    """A source image that lies elsewhere now, and another provider, are followed by what is still to be sent."""
    batch_id = await loaded(writer, [plan("cat", task=EDIT)])
    await brought_to(state, writer, reader.job(batch_id, "cat"))
    before = reader.job(batch_id, "cat")
    moved = replace(EDIT, images=(Source(path="/b.png"),))
    for task in (moved, replace(moved, provider="aimlapi")):
        assert await writer.load(batch_id, [plan("cat", task=task)], LATER) == Loaded(kept=1)
        sent = state in ("done", "running")
        assert reader.job(batch_id, "cat") == (before if sent else replace(before, task=task))


async def test_a_job_that_comes_to_want_more_under_one_mark_is_followed(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan("cat")])
    assert await writer.load(batch_id, [plan("cat", wanted=2)], NOW) == Loaded(kept=1)
    assert reader.job(batch_id, "cat").wanted == 2


async def test_an_unchanged_load_writes_no_row(writer: Writer, path: Database) -> None:
    jobs = [plan("a"), plan("b", tags=("x",), priority=2), plan("c", task=EDIT)]
    batch_id = await loaded(writer, jobs)
    assert await writer.load(batch_id, jobs, LATER) == Loaded(kept=3)
    with Raw(path) as dbapi:
        assert dbapi.execute("SELECT count(DISTINCT updated_at), count(*) FROM jobs").fetchone() == (1, 3)


async def test_many_are_orphaned_and_return(writer: Writer, reader: Reader) -> None:
    jobs = [plan(f"j{number}") for number in range(CHUNK + 7)]
    batch_id = await loaded(writer, jobs)
    assert await writer.load(batch_id, jobs[:2], NOW) == Loaded(kept=2, orphaned=CHUNK + 5)
    assert [job.key for job in reader.jobs(batch_id)] == ["j0", "j1"]
    assert await writer.load(batch_id, jobs, NOW) == Loaded(kept=CHUNK + 7, returned=CHUNK + 5)
    assert reader.counts(batch_id).pending == CHUNK + 7


# --- rules of other versions ------------------------------------------------------------------------------------------


def old_mark(task: Task) -> str:
    return fingerprint.fingerprint(task, "0")


@pytest.fixture
def old_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    def first(task: Task) -> dict[str, object]:
        return {"prompt": task.prompt, "rules": "0"}

    monkeypatch.setattr(fingerprint, "RULES", {**fingerprint.RULES, "0": first})


def marked(prompt: str, *, old: bool) -> PlannedJob:
    task = replace(plan("cat").recipe.task, prompt=prompt)
    return plan("cat", task=task, fingerprint=old_mark(task) if old else fingerprint.fingerprint(task))


@pytest.mark.usefixtures("old_rule")
@pytest.mark.parametrize("state", STATES)
async def test_a_job_of_an_older_rule_does_not_look_changed(writer: Writer, reader: Reader, state: str) -> None:
    batch_id = await loaded(writer, [marked("a cat", old=True)])
    await brought_to(state, writer, reader.job(batch_id, "cat"))
    before, new = reader.job(batch_id, "cat"), marked("a cat", old=False)
    assert before.fingerprint.startswith("0:")
    assert await writer.load(batch_id, [new], LATER) == Loaded(kept=1)
    mark = before.fingerprint if state == "running" else new.fingerprint
    assert reader.job(batch_id, "cat") == replace(before, fingerprint=mark)
    assert len(reader.artifacts(before)) == (state == "done")
    assert await writer.load(batch_id, [new], LATER) == Loaded(kept=1)


@pytest.mark.usefixtures("old_rule")
async def test_a_job_of_an_older_rule_that_changed_is_made_again(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [marked("a cat", old=True)])
    await brought_to("done", writer, reader.job(batch_id, "cat"))
    assert await writer.load(batch_id, [marked("a dog", old=False)], LATER, keep_changed=True) == Loaded(held=1)
    assert await writer.load(batch_id, [marked("a dog", old=False)], LATER) == Loaded(changed=1)
    assert reader.job(batch_id, "cat").task.prompt == "a dog"


@pytest.mark.parametrize(("before", "after"), [("a cat \n", "a cat"), ("a cat", "a cat\n"), ("a\r\ncat", "a\ncat")])
async def test_white_space_of_a_prompt_makes_no_job_again(
    writer: Writer, reader: Reader, before: str, after: str
) -> None:
    stored, wanted = (replace(plan("cat").recipe.task, prompt=prompt) for prompt in (before, after))
    batch_id = await loaded(writer, [plan("cat", task=stored, fingerprint=fingerprint.fingerprint(stored, "1"))])
    await brought_to("done", writer, reader.job(batch_id, "cat"))
    planned = plan("cat", task=wanted, fingerprint=fingerprint.fingerprint(wanted))
    assert await writer.load(batch_id, [planned], LATER) == Loaded(kept=1)
    job = reader.job(batch_id, "cat")
    assert (job.task.prompt, job.fingerprint) == (before, planned.fingerprint)


async def test_an_unknown_rule_counts_as_changed(writer: Writer) -> None:
    batch_id = await loaded(writer, [plan("cat", fingerprint="99:x")])
    assert await writer.load(batch_id, [plan("cat")], NOW) == Loaded(changed=1)
