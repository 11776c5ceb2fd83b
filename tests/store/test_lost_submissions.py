"""Submissions that a job database takes in from their notes: which jobs are in flight again, and which are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from batchgen.database_url import Database
from batchgen.errors import StaleClaim
from batchgen.job import Job
from batchgen.store import lost_submissions, submissions
from batchgen.store.guest import write_as_guest
from batchgen.store.lost_submissions import SentCall, SentJob
from batchgen.store.reader import Reader
from batchgen.store.records import RecoveredAttempt
from batchgen.store.submissions import Submission, SubmissionState
from batchgen.store.writer import Writer

from .kit import NOW, Raw, loaded, picture, plan
from .test_submissions import submission

SENT = NOW - timedelta(hours=1)


def sent_job(job: Job) -> SentJob:
    return SentJob(
        key=job.key, task=job.task, fingerprint=job.fingerprint, output=job.output, sidecar=True, wanted=job.wanted,
        delivered=job.delivered, claim=job.claim + 1, tries=1, doubts=0,
    )  # fmt: skip


def call(job: Job, number: int = 1, sent: SentJob | None = None, **changes: object) -> SentCall:
    facts = {"provider": job.task.provider, "model": job.task.model, "mode": "batch", "estimate_credits": None}
    known = facts | {"id": f"{number:032x}", "job": sent or sent_job(job), "estimate_usd": 5_000, "started_at": SENT}
    return SentCall(**known | changes)  # type: ignore[arg-type]


def take_in(path: Database, lost: Submission, *calls: SentCall) -> int:
    write_as_guest(path, partial(lost_submissions.begin, submission=lost))
    add = partial(lost_submissions.add_calls, submission=lost, calls=calls, now=NOW)
    return write_as_guest(path, add)


def lost(batch_id: int) -> Submission:
    return submission(batch_id, state=SubmissionState.SUBMITTED, remote_id="batch_1", submitted_at=SENT)


def found(job: Job, at: timedelta) -> RecoveredAttempt:
    """Return what a sidecar shows of an attempt that delivered at a time after the submission."""
    facts = {"key": job.key, "fingerprint": job.fingerprint, "task": job.task, "output": job.output}
    return RecoveredAttempt(id="a" * 32, at=SENT + at, file=picture(), **facts)  # type: ignore[arg-type]


async def test_its_jobs_are_in_flight_again_and_what_is_reserved_counts(
    writer: Writer, reader: Reader, path: Database
) -> None:
    batch_id = await loaded(writer, [plan("cat"), plan("dog")])
    wanted = lost(batch_id)
    calls = [call(reader.job(batch_id, key), number) for number, key in enumerate(("cat", "dog"), start=1)]
    assert take_in(path, wanted, calls[0]) == 1  # and there the run is cut off
    state = partial(lost_submissions.states, ids=[wanted.id])
    assert reader.ask(state) == {wanted.id: SubmissionState.BUILDING}
    assert take_in(path, wanted, *calls) == 1
    write_as_guest(path, partial(lost_submissions.complete, submission=wanted))
    assert reader.ask(state) == {wanted.id: SubmissionState.SUBMITTED}
    assert reader.ask(partial(submissions.of_batch, batch_id=batch_id)) == [replace(wanted, run_id="recovered")]
    opened = reader.ask(partial(submissions.open_calls, submission_id=wanted.id))
    assert [(job.key, job.state, job.claim, record.estimate_usd) for job, record in opened] == [
        ("cat", "running", 1, 5_000),
        ("dog", "running", 1, 5_000),
    ]
    with pytest.raises(StaleClaim):
        write_as_guest(path, partial(lost_submissions.complete, submission=wanted))


async def test_a_job_that_is_gone_or_changed_is_as_it_was_sent(writer: Writer, reader: Reader, path: Database) -> None:
    batch_id = await loaded(writer, [plan("cat")])
    job = reader.job(batch_id, "cat")
    before = replace(sent_job(job), task=replace(job.task, prompt="a cat of yesterday"), fingerprint="2:yesterday")
    gone = replace(before, key="gone")
    assert take_in(path, lost(batch_id), call(job, 1, before), call(job, 2, gone)) == 2
    for key in ("cat", "gone"):
        after = reader.job(batch_id, key)
        assert (after.state, after.task.prompt, after.fingerprint) == ("running", "a cat of yesterday", "2:yesterday")
    assert reader.counts(batch_id).orphaned == 1


@pytest.mark.parametrize(("at", "state", "claim"), [(-1, "running", 8), (1, "done", 8)], ids=["before", "after"])
async def test_a_job_that_was_delivered_after_its_submission_is_only_booked(
    writer: Writer, reader: Reader, path: Database, at: int, state: str, claim: int
) -> None:
    """A file from before is one that a redo replaces: the job is in flight, and its file does not count any more."""
    batch_id = await loaded(writer, [plan("cat")])
    job = reader.job(batch_id, "cat")
    await writer.add_recovered(batch_id, [found(job, timedelta(minutes=at))], NOW, last=True)
    sent = call(job, sent=replace(sent_job(job), claim=8))
    assert take_in(path, lost(batch_id), sent) == 1
    after = reader.job(batch_id, "cat")
    assert (after.state, after.claim, after.delivered) == (state, claim, int(state == "done"))
    assert [file.superseded_at is None for file in reader.artifacts(after, superseded=True)] == [state == "done"]
    [(_, record)] = reader.ask(partial(submissions.open_calls, submission_id=lost(batch_id).id))
    assert (record.id, record.claim) == (sent.id, 8)


async def test_calls_that_are_known_by_their_files_belong_to_their_submission_again(
    writer: Writer, reader: Reader, path: Database
) -> None:
    """Their lines in the file of requests are counted by them."""
    batch_id = await loaded(writer, [plan("cat"), plan("dog")])
    cat, dog = (reader.job(batch_id, key) for key in ("cat", "dog"))
    known = found(cat, timedelta(minutes=1))
    await writer.add_recovered(batch_id, [known], NOW, last=True)
    assert take_in(path, lost(batch_id), call(cat, id=known.id), call(dog, 2)) == 1
    assert reader.job(batch_id, "cat").state == "done"
    assert reader.ask(partial(submissions.sent_calls, submission=lost(batch_id))) == [f"{2:032x}", known.id]


async def test_a_submission_that_another_runner_builds_just_now_is_left_alone(
    writer: Writer, reader: Reader, path: Database
) -> None:
    batch_id = await loaded(writer, [plan("cat")])
    built = submission(batch_id)
    write_as_guest(path, partial(submissions.add, submission=built))
    with Raw(path) as raw:
        columns = "id, batch_id, host, pid, started_at, heartbeat_at, lease_until"
        raw.execute(f"INSERT INTO runners ({columns}) VALUES ('run-1', ?, 'h', 1, 0, 0, 0)", (batch_id,))
    assert reader.ask(partial(lost_submissions.states, ids=[built.id])) == {built.id: SubmissionState.SUBMITTING}
