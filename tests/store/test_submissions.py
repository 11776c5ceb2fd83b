"""Submissions in the job database: their steps, their calls, and who has them in hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from batchgen.database_url import Database
from batchgen.errors import StaleClaim
from batchgen.job import Job
from batchgen.mode import Mode
from batchgen.store import submissions
from batchgen.store.guest import write_as_guest
from batchgen.store.history import sent_since
from batchgen.store.reader import Reader
from batchgen.store.submissions import Submission, SubmissionState
from batchgen.store.writer import Writer

from .kit import NOW, Raw, attempt_for, delivery, loaded, plan


def submission(batch_id: int, name: str = "5" * 32, **changes: object) -> Submission:
    facts = {"run_id": "run-1", "provider": "openai", "endpoint": "generate", "model": "gpt-image-2"}
    return Submission(id=name, batch_id=batch_id, created_at=NOW, **(facts | changes))  # type: ignore[arg-type]


async def in_submission(writer: Writer, reader: Reader, batch_id: int, name: str, *keys: str) -> list[Job]:
    claimed = []
    for key in keys:
        job = reader.job(batch_id, key)
        attempt = replace(attempt_for(job), mode=Mode.BATCH, submission=name)
        claimed.append(await writer.claim(job, attempt, "run-1", 5_000, None, NOW))
    return claimed


async def test_a_submission_is_stored_and_changed_step_by_step(writer: Writer, reader: Reader, path: Database) -> None:
    batch_id = await loaded(writer, [plan("cat")])
    first = submission(batch_id)
    write_as_guest(path, partial(submissions.add, submission=first))
    uploaded = replace(first, state=SubmissionState.SUBMITTING, input_file="file-1", body_sha256="ab")
    write_as_guest(path, partial(submissions.change, before=first, after=uploaded))
    known = replace(uploaded, state=SubmissionState.SUBMITTED, remote_id="batch_1", submitted_at=NOW,
                    deadline_at=NOW + timedelta(hours=24), counts={"total": 3, "completed": 1})  # fmt: skip
    write_as_guest(path, partial(submissions.change, before=uploaded, after=known))
    assert reader.ask(partial(submissions.of_batch, batch_id=batch_id)) == [known]
    with pytest.raises(StaleClaim):
        write_as_guest(path, partial(submissions.change, before=uploaded, after=replace(uploaded, input_file="x")))
    assert reader.ask(partial(submissions.find, batch_id=batch_id, start="5555")) == [known]
    assert reader.ask(partial(submissions.find, batch_id=batch_id, start="batch_1")) == [known]
    assert reader.ask(partial(submissions.find, batch_id=batch_id, start="batch_")) == [known]
    assert reader.ask(partial(submissions.find, batch_id=batch_id, start="atch_1")) == []


async def test_only_live_submissions_are_taken_over_and_none_of_another_living_runner(
    writer: Writer, reader: Reader, path: Database
) -> None:
    batch_id = await loaded(writer, [plan("cat")])
    states = {
        "a" * 32: SubmissionState.SUBMITTED,
        "b" * 32: SubmissionState.COLLECTED,
        "c" * 32: SubmissionState.BUILDING,
    }
    for name, state in states.items():
        write_as_guest(path, partial(submissions.add, submission=submission(batch_id, name, state=state)))
    with Raw(path) as raw:
        columns = "id, batch_id, host, pid, started_at, heartbeat_at, lease_until"
        raw.execute(f"INSERT INTO runners ({columns}) VALUES ('run-1', ?, 'h', 1, 0, 0, 0)", (batch_id,))
    take = partial(submissions.take_over, batch_id=batch_id, run_id="run-2")
    assert write_as_guest(path, take) == []
    with Raw(path) as raw:
        raw.execute("DELETE FROM runners")
    taken = write_as_guest(path, take)
    assert {each.id[0]: each.run_id for each in taken} == {"a": "run-2", "c": "run-2"}
    live = reader.ask(partial(submissions.of_batch, batch_id=batch_id, live=True))
    assert [each.id for each in live] == [each.id for each in taken]


async def test_calls_of_a_submission_are_found_by_it_and_by_nothing_else(
    writer: Writer, reader: Reader, path: Database
) -> None:
    batch_id = await loaded(writer, [plan(key, provider="openai") for key in ("cat", "dog", "owl")])
    first = submission(batch_id)
    write_as_guest(path, partial(submissions.add, submission=first))
    await in_submission(writer, reader, batch_id, first.id, "cat", "dog")
    assert reader.open_attempts(batch_id) == []
    calls = reader.ask(partial(submissions.open_calls, submission_id=first.id))
    assert sorted((job.key, record.mode, record.submission_id) for job, record in calls) == [
        ("cat", Mode.BATCH, first.id),
        ("dog", Mode.BATCH, first.id),
    ]
    assert reader.ask(partial(submissions.open_counts, ids=[first.id, "none"])) == {first.id: 2}
    assert sent_since(path, "openai", NOW - timedelta(days=1)) == []
    assert [record.id for _, record in calls] == sorted(record.id for _, record in calls)
    job, record = next(call for call in calls if call[0].key == "cat")
    attempt = replace(attempt_for(job), id=record.id, claim=record.claim)
    await writer.settle(delivery(attempt), NOW)
    assert [job.key for job, _ in reader.ask(partial(submissions.open_calls, submission_id=first.id))] == ["dog"]
    assert reader.spent(batch_id=batch_id).open_usd == 5_000
