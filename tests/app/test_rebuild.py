"""What a job table takes in from traces, row by row: real SQLite, real files."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest

from batchgen.app.project import Project
from batchgen.app.recovery import evidence, last_run, rebuild
from batchgen.errors import StaleClaim
from batchgen.fault import Cause
from batchgen.files.listing import list_file
from batchgen.files.sidecar import describe
from batchgen.files.spool import Spool
from batchgen.job import Cancelled, Requeued
from batchgen.manifest import Batch
from batchgen.planning.selection import Selection
from batchgen.route import Route
from batchgen.store import at_risk, migrate
from batchgen.store.reader import Reader
from batchgen.store.records import RecoveredAttempt
from batchgen.store.writer import Writer
from batchgen.task import Artifact, Basis, Charge, Kind, Picture, Task, Usage
from tests.store.kit import NOW, attempt_for, claimed, integrity, loaded, miss, one, picture, plan

COST = Charge(usd=5_000, credits=None, basis=Basis.REPORTED)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "batchgen.db"
    migrate.ensure(path)
    return path


@pytest.fixture
def writer(path):
    with Writer(path) as writer:
        yield writer


@pytest.fixture
def reader(path):
    with Reader(path) as reader:
        yield reader


def trace(key: str = "cat", **changes) -> RecoveredAttempt:
    task = Task(kind=Kind.GENERATE, prompt="a cat", provider="aigate", model="gpt-image-2")
    known = {"id": f"t-{key}", "fingerprint": "1:a cat", "output": key, "charge": COST, "usage": Usage(images=1)}
    return RecoveredAttempt(key=key, task=task, at=NOW, **{**known, **changes})


def test_a_file_found_makes_its_job_done_and_books_its_call_once(writer, reader):
    async def story():
        batch_id, job = await one(writer, reader)
        found = trace(file=picture())
        intake, waiting = await writer.add_recovered(batch_id, [found], NOW, last=False)
        again, _ = await writer.add_recovered(batch_id, [found], NOW, last=True)
        return batch_id, job, intake, waiting, again

    batch_id, job, intake, waiting, again = run(story)
    assert (intake.attempts, intake.files, intake.done, intake.usd, waiting) == (1, 1, 1, 5_000, [])
    assert (again.attempts, again.files) == (0, 0)
    after = reader.job(batch_id, "cat")
    assert (after.state, after.delivered, after.claim) == ("done", 1, 1)
    [attempt] = reader.attempts(job)
    assert (attempt.state, attempt.run_id) == ("delivered", "recovered")
    assert reader.spent(batch_id=batch_id).usd == 5_000


def run(story):
    import asyncio

    return asyncio.run(story())


def test_files_of_one_call_keep_their_order_and_cost_once(writer, reader, path):
    files = [picture(f"cat-{number}.png", number) for number in range(3)]

    async def story():
        batch_id = await loaded(writer, [plan("cat", wanted=3)])
        many = [trace(file=file, usage=Usage(images=3)) for file in (files[2], files[0], files[1])]
        first, waiting = await writer.add_recovered(batch_id, many, NOW, last=False)
        partly = reader.attempt_states(["t-cat"])
        second, _ = await writer.add_recovered(batch_id, waiting, NOW, last=True)
        return batch_id, first, waiting, partly, second

    batch_id, first, waiting, partly, second = run(story)
    assert (first.attempts, first.files, first.done, [w.file for w in waiting]) == (1, 2, 0, [files[2]])
    assert partly == {}  # not whole yet: it is looked at again, should this be where it ends
    assert reader.attempt_states(["t-cat"]) == {"t-cat": ("delivered", None)}
    assert (second.files, second.done) == (1, 1)
    job = reader.job(batch_id, "cat")
    assert [file.ordinal for file in reader.artifacts(job)] == [0, 1, 2]
    assert reader.spent(batch_id=batch_id).usd == 5_000
    assert integrity(path) == "ok"


def test_file_after_a_missing_one_is_kept_but_not_counted(writer, reader):
    async def story():
        batch_id = await loaded(writer, [plan("cat", wanted=2)])
        await writer.add_recovered(
            batch_id, [trace(file=picture("cat-2.png", 1), usage=Usage(images=2))], NOW, last=True
        )
        return batch_id

    job = reader.job(run(story), "cat")
    assert (job.state, job.delivered) == ("pending", 0)
    assert reader.artifacts(job) == []
    assert len(reader.artifacts(job, superseded=True)) == 1


@pytest.mark.parametrize("fingerprint", ["1:a cat", "1:a dog"])
def test_cost_of_a_removed_or_changed_job_stays_in_the_ledger(writer, reader, fingerprint):
    async def story():
        batch_id = await loaded(writer, [plan("cat")])
        changed = trace(file=picture(), fingerprint="1:another cat")
        gone = trace("gone", file=picture("gone.png"), fingerprint=fingerprint)
        await writer.add_recovered(batch_id, [changed, gone], NOW, last=True)
        return batch_id

    batch_id = run(story)
    assert reader.spent(batch_id=batch_id).usd == 10_000
    assert reader.job(batch_id, "cat").state == "pending"
    assert reader.counts(batch_id).total == 1
    assert reader.counts(batch_id).orphaned == 1
    assert reader.job(batch_id, "gone").state == "done"


@pytest.mark.parametrize(("others", "revived"), [(("openai",), 1), ((), 0)], ids=["of its route", "a stranger"])
def test_a_slot_of_one_who_stood_in_opens_its_attempt_at_that_one(writer, reader, others, revived):
    task = replace(trace().task, provider="openai")
    live = replace(trace(live=True, cause=Cause.UNKNOWN, account="SECOND_KEY"), task=task)

    async def story():
        batch_id = await loaded(writer, [plan("cat", route=Route(others=others) if others else None)])
        intake, _ = await writer.add_recovered(batch_id, [live], NOW, last=True)
        return batch_id, intake

    batch_id, intake = run(story)
    assert (intake.revived, intake.unknown) == (revived, 1 - revived)
    [made] = reader.attempts(reader.job(batch_id, "cat"))
    assert (made.provider, made.account) == ("openai", "SECOND_KEY")


def test_a_slot_opens_its_attempt_again_above_every_claim(writer, reader):
    live = trace(
        live=True,
        cause=Cause.UNKNOWN,
        claim=4,
        charge=Charge(usd=None, credits=None, basis=Basis.UNKNOWN),
        estimate=Charge(usd=9, credits=None, basis=Basis.ESTIMATED),
    )

    async def story():
        batch_id = await loaded(writer, [plan("cat"), plan("done")])
        await writer.add_recovered(batch_id, [trace("done", file=picture("done.png"))], NOW, last=True)
        late = replace(live, id="late", key="done")
        intake, _ = await writer.add_recovered(batch_id, [live, late], NOW, last=True)
        return batch_id, intake

    batch_id, intake = run(story)
    assert (intake.revived, intake.unknown) == (1, 1)
    job = reader.job(batch_id, "cat")
    assert (job.state, job.claim) == ("running", 4)
    assert [(made.provider, made.account) for made in reader.attempts(job)] == [("aigate", None)]
    [(_, record)] = reader.open_attempts(batch_id)
    assert (record.id, record.claim, record.estimate_usd) == ("t-cat", 4, 9)
    # the job that was done meanwhile stays so, and what the call may have cost is at risk
    assert reader.job(batch_id, "done").state == "done"
    assert reader.spent(batch_id=batch_id).at_risk_usd == 9


def test_dropping_and_releasing_is_one_step_and_fenced(writer, reader):
    async def story():
        _, job = await one(writer, reader)
        _, attempt = await claimed(writer, job)
        doubtful = await writer.settle(miss(attempt), NOW)
        gone = await writer.drop(doubtful, Cancelled(at=NOW), free=True)
        with pytest.raises(StaleClaim):
            await writer.drop(doubtful, Cancelled(at=NOW), free=True)
        return job.batch, gone

    _, gone = run(story)
    assert gone.state == "cancelled"
    spent = reader.spent()
    assert (spent.usd, spent.at_risk_usd, spent.at_risk_credits) == (0, 0, 0)


@pytest.mark.parametrize("known", [7_000, None])
def test_adopting_books_the_doubtful_call_at_its_estimate(writer, reader, known):
    async def story():
        batch_id, job = await one(writer, reader)
        _, attempt = await claimed(writer, job, known)
        doubtful = await writer.settle(miss(attempt), NOW)
        assert reader.attempt_of_supplied_file(doubtful) == attempt.id
        return batch_id, await writer.adopt(doubtful, attempt.id, picture(), NOW)

    batch_id, after = run(story)
    assert (after.state, after.delivered) == ("done", 1)
    spent = reader.spent(batch_id=batch_id)
    assert (spent.usd, spent.credits, spent.at_risk_usd, spent.unpriced) == (known or 0, 3_000, 0, 0)
    [line] = reader.usage(batch_id)
    assert (line.images, line.unpriced, dict(line.usd_by_basis)) == (
        1,
        int(known is None),
        {"estimated": known} if known else {},
    )


@pytest.mark.parametrize("wanted", [1, 2])
def test_adopting_twice_counts_one_image(writer, reader, wanted):
    async def story():
        batch_id = await loaded(writer, [plan("cat", wanted=wanted)])
        _, attempt = await claimed(writer, reader.job(batch_id, "cat"), 7_000)
        doubtful = await writer.settle(miss(attempt), NOW)
        after = await writer.adopt(doubtful, attempt.id, picture(), NOW)
        with pytest.raises(StaleClaim):
            await writer.adopt(doubtful, attempt.id, picture(), NOW)
        return batch_id, after

    batch_id, after = run(story)
    assert after == reader.job(batch_id, "cat")
    [line] = reader.usage(batch_id)
    assert (line.attempts, line.images, line.usd) == (1, 1, 7_000)
    assert [len(page) for page in reader.files(batch_id)] == [1]


def test_settling_several_calls_books_all_or_none(writer, reader):
    async def story():
        batch_id = await loaded(writer, [plan("cat"), plan("dog")])
        calls = []
        for key in ("cat", "dog"):
            _, attempt = await claimed(writer, reader.job(batch_id, key), 7_000)
            job = await writer.settle(miss(attempt), NOW)
            calls += reader.ask(partial(at_risk.attempts_to_settle, job_id=job.id))
        await writer.book([(calls[1], COST)])
        with pytest.raises(StaleClaim):
            await writer.book([(call, COST) for call in calls])
        return batch_id

    assert reader.spent(batch_id=run(story)).at_risk_usd == 7_000


def test_adopting_for_a_job_that_was_never_sent_costs_nothing(writer, reader):
    async def story():
        batch_id = await loaded(writer, [plan("cat", wanted=2)])
        job = reader.job(batch_id, "cat")
        half = await writer.adopt(job, "brought", picture("cat-1.png"), NOW)
        assert reader.attempt_of_supplied_file(half) == "brought"
        return batch_id, half, await writer.adopt(half, "brought", picture("cat-2.png", 1), NOW)

    batch_id, half, whole = run(story)
    assert (half.state, half.delivered, whole.state, whole.delivered) == ("pending", 1, "done", 2)
    [line] = reader.usage(batch_id)
    assert (line.attempts, line.images, line.usd) == (1, 2, 0)


def test_files_are_read_a_page_at_a_time_without_the_superseded(writer, reader):
    async def story():
        batch_id = await loaded(writer, [plan(f"j{number}") for number in range(5)])
        found = [trace(f"j{number}", file=picture(f"j{number}.png")) for number in range(5)]
        await writer.add_recovered(batch_id, found, NOW, last=True)
        await writer.move(reader.job(batch_id, "j3"), Requeued(at=NOW))
        return batch_id

    batch_id = run(story)
    keys = [file.key for page in reader.files(batch_id) for file in page]
    assert keys == ["j0", "j1", "j2", "j4"]
    assert [file.key for page in reader.files(batch_id, Selection(ids=("j1",))) for file in page] == ["j1"]


# --- what lies on disk --------------------------------------------------------


def batch_of(tmp_path: Path, *jobs) -> Batch:
    return Batch(name="b", manifest=tmp_path / "m.yaml", folder=tmp_path / "out", jobs=jobs, profiles={})


def test_a_sidecar_contains_the_facts_it_was_given(tmp_path):
    (tmp_path / "out").mkdir()
    task = Task(kind=Kind.EDIT, prompt="a cat", provider="aigate", model="m", n=2, seed=0, extra={"a": 1})
    job = plan("cat", task=task)
    order = replace(attempt_for_plan(job), folder=str(tmp_path / "out"))
    data = b"bytes"
    import hashlib

    file = Artifact(
        ordinal=1, path="x", sha256=hashlib.sha256(data).hexdigest(), size_bytes=5, width=1, height=2, mime="image/png"
    )
    image = tmp_path / "out" / "cat-2.png"
    image.write_bytes(data)
    beside = image.with_name("cat-2.png.json")
    beside.write_bytes(describe(order, file, Picture(data=data), Usage(images=2, output_tokens=7), COST))
    batch = batch_of(tmp_path)
    said = evidence.read_sidecar(list_file(beside), batch, Project.of(tmp_path, None))
    assert said is not None
    got = said.verified()
    assert got.file == replace(file, path="out/cat-2.png")
    assert (got.id, got.key, got.task, got.charge, got.usage.output_tokens) == (order.id, "cat", task, COST, 7)
    image.write_bytes(b"bytez")
    assert said.verified().file is None
    image.unlink()
    assert said.verified().file is None


def attempt_for_plan(job):
    from batchgen.job import Job

    return attempt_for(Job(id=1, batch="b", key=job.key, task=job.task, fingerprint=job.fingerprint, output=job.output))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{" * 100_000,
        '{"batch": "b"}',
        '{"batch": "b", "schema_version": 1, "asked": {"kind": "paint"}}',
        '{"batch": "b", "schema_version": 1, "file": {"ordinal": -1}, "asked": {"kind": "edit"}, "cost": {}}',
    ],
)
def test_a_file_that_is_no_sidecar_is_left_alone(tmp_path, text):
    (tmp_path / "out").mkdir()
    file = tmp_path / "out" / "a.json"
    file.write_text(text)
    assert evidence.read_sidecar(list_file(file), batch_of(tmp_path), Project.of(tmp_path, None)) is None
    slot = tmp_path / "x.slot"
    slot.write_text(text)
    assert evidence.read_order(slot, batch_of(tmp_path)) is None


def test_an_order_survives_its_slot(tmp_path):
    attempt = replace(attempt_for_plan(plan("cat")), batch="b")
    Spool(tmp_path / "spool").open(attempt.id, asdict(attempt), 10).close()
    [slot] = evidence.slots(tmp_path / "spool", ".slot")
    found = evidence.read_order(slot, batch_of(tmp_path))
    assert found is not None
    assert (found.id, found.key, found.task, found.claim) == (attempt.id, "cat", attempt.task, attempt.claim)
    assert evidence.read_order(slot, replace(batch_of(tmp_path), name="other")) is None


def test_files_come_in_the_order_of_their_numbers(tmp_path):
    for number in (1, 10, 2):
        (tmp_path / f"x-{number}.png.json").write_text("{}")
    assert [file.place.name.split(".")[0] for file in evidence.sidecars(tmp_path, None)] == ["x-1", "x-2", "x-10"]


def test_a_table_is_behind_when_it_does_not_know_its_last_run(tmp_path, writer, reader):
    place = Project(root=tmp_path, db=tmp_path / "batchgen.db")

    async def story():
        batch_id = await loaded(writer, [])
        await writer.begin_run("r1", batch_id, command="x", pid=1, host="h", now=NOW)
        return batch_id

    batch_id = run(story)
    runs = reader.runs(batch_id)
    assert not last_run.is_behind(place, "b", runs)
    last_run.record_start(place, "b", "r1")
    last_run.record_start(place, "other", "r0")
    assert (tmp_path / last_run.NAME).stat().st_mode & 0o777 == 0o600
    assert not last_run.is_behind(place, "b", runs)
    last_run.record_end(place, "b", "r1")
    assert last_run.is_behind(place, "b", runs)  # it ended, and the table does not know
    last_run.record_start(place, "b", "r2")
    assert last_run.is_behind(place, "b", runs)
    last_run.record_recovery(place, "b")
    assert not last_run.is_behind(place, "b", runs)
    assert json.loads((tmp_path / last_run.NAME).read_text())["batchgen.db"]["other"] == {"run": "r0", "ended": False}
    (tmp_path / last_run.NAME).write_text("{torn")
    assert not last_run.is_behind(place, "b", runs)


def test_a_kept_answer_is_booked_as_paid_for(tmp_path):
    place = Project(root=tmp_path, db=tmp_path / "state" / "batchgen.db")
    attempt = replace(attempt_for_plan(plan("cat")), batch="b")
    spool = Spool(tmp_path / "state" / "spool")
    spool.open(attempt.id, asdict(attempt), 10).close()
    spool.set_aside(attempt.id)
    learnt = rebuild.recover(place, batch_of(tmp_path, plan("cat")))
    assert learnt.intake.attempts == 1
    with Reader(place.db) as reader:
        [line] = reader.usage(reader.batch("b").id)
        assert (line.attempts, line.unpriced, line.usd) == (1, 1, None)  # no price is known: never 0
        assert reader.job(reader.batch("b").id, "cat").state == "pending"
    assert not rebuild.recover(place, batch_of(tmp_path, plan("cat"))).found_anything


def test_slots_are_cleared_away_that_no_start_will_ever_finish(tmp_path):
    place = Project(root=tmp_path, db=tmp_path / "state" / "batchgen.db")
    folder = tmp_path / "state" / "spool"
    other = replace(attempt_for_plan(plan("cat")), batch="another")
    Spool(folder).open(other.id, asdict(other), 10).close()
    (folder / "torn.slot").write_bytes(b"\0" * 100)  # its run died while it was made
    assert not rebuild.recover(place, batch_of(tmp_path, plan("cat"))).found_anything
    # what belongs to another batch waits for that one
    assert sorted(path.name for path in folder.iterdir()) == sorted([f"{other.id}.slot", "torn.kept"])


def test_runners_of_one_folder_lose_no_note_of_another(tmp_path):
    place, names = Project(root=tmp_path, db=tmp_path / "batchgen.db"), ("a", "b", "c")

    def note(batch):
        for number in range(8):
            last_run.record_start(place, batch, f"run-{number}")

    with ThreadPoolExecutor() as runners:
        list(runners.map(note, names))
    notes = json.loads((tmp_path / last_run.NAME).read_text())["batchgen.db"]
    assert notes == {name: {"run": "run-7", "ended": False} for name in names}
