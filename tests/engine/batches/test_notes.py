"""Notes of submissions: what is written is read again, and nothing else is taken for a note."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from batchgen.engine.batches.notes import note_batch, read_note, write_note
from batchgen.files.result_files import SubmissionFiles
from batchgen.job import Job, State
from batchgen.mode import Mode
from batchgen.store.records import AttemptRecord
from batchgen.store.submissions import Submission, SubmissionState
from batchgen.task import Kind, Source, Task

NOW = datetime(2026, 11, 30, 22, 0, tzinfo=UTC)
NAME = "5" * 32
SUBMITTING = Submission(
    id=NAME, batch_id=7, run_id="run-1", provider="openai", account="SECOND_KEY", endpoint="edit", model="gpt-image-2",
    state=SubmissionState.SUBMITTING, body_sha256="ab", input_file="file-1", created_at=NOW, submitted_at=NOW,
)  # fmt: skip
TASK = Task(kind=Kind.EDIT, prompt="a cat\u2028and\na dog", provider="openai", model="gpt-image-2", n=2,
            images=(Source(path="a.png", sha256="cd"),), extra={"user": "é"})  # fmt: skip
JOB = Job(id=3, batch="shop", key="cat", task=TASK, fingerprint='2:ef+{"quality":"high"}', output="pets/cat",
          sidecar=False, state=State.RUNNING, wanted=3, delivered=1, claim=4, tries=2, unknown_attempts=1)  # fmt: skip
RECORD = AttemptRecord(
    id="1" * 32, job_id=3, claim=4, run_id="run-1", provider="openai", model="gpt-image-2", state="open", cause=None,
    message=None, code=None, status=None, request_id=None, estimate_usd=5_000, estimate_credits=None, started_at=NOW,
    ended_at=None, seconds=None, mode=Mode.BATCH, submission_id=NAME,
)  # fmt: skip


@pytest.fixture
def files(tmp_path):
    files = SubmissionFiles(tmp_path / "submissions", NAME)
    calls = [(JOB, RECORD), (replace(JOB, id=4, key="dog"), replace(RECORD, id="2" * 32, job_id=4))]
    write_note(files, SUBMITTING, "shop", "batchgen.db", calls)
    return files


def path_of(files):
    return files.folder / f"{NAME}.note.jsonl"


def test_note_has_all_that_the_database_knows(files):
    note = read_note(files)
    assert (note.batch, note.database) == ("shop", "batchgen.db")
    assert note.submission == replace(SUBMITTING, batch_id=0)
    cat, dog = note.calls()
    assert (cat.id, cat.provider, cat.model, cat.mode) == ("1" * 32, "openai", "gpt-image-2", "batch")
    assert (cat.estimate_usd, cat.estimate_credits, cat.started_at) == (5_000, None, NOW)
    sent = cat.job
    assert (sent.key, sent.task, sent.fingerprint, sent.output) == ("cat", TASK, JOB.fingerprint, "pets/cat")
    assert (sent.sidecar, sent.wanted, sent.delivered, sent.claim, sent.tries, sent.doubts) == (False, 3, 1, 4, 2, 1)
    assert (dog.id, dog.job.key) == ("2" * 32, "dog")


def test_note_learns_the_id_of_the_batch_and_keeps_its_calls(files):
    note_batch(files, "batch_1")
    write_note(files, SUBMITTING, "shop", "batchgen.db", [])  # it is noted already
    note = read_note(files)
    assert note.submission == replace(SUBMITTING, batch_id=0, remote_id="batch_1", state=SubmissionState.SUBMITTED)
    assert len(list(note.calls())) == 2


def test_note_whose_last_line_was_cut_off_has_no_id_of_a_batch(files):
    with path_of(files).open("ab") as file:
        file.write(b'{"remote_id":"batch_')
    assert read_note(files).submission.state is SubmissionState.SUBMITTING
    assert len(list(read_note(files).calls())) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [],
        lambda lines: lines[:-1],
        lambda lines: [*lines[:-1], lines[-1][:40]],
        lambda lines: lines[1:],
        lambda lines: [lines[0].replace(b'"version":1', b'"version":2'), *lines[1:]],
        lambda lines: [lines[0].replace(b"5" * 32, b"6" * 32), *lines[1:]],
        lambda lines: [b"[]", *lines[1:]],
        lambda lines: [lines[0], b"{}", lines[2]],
    ],
    ids=["empty", "short", "cut off", "no head", "of a later version", "another's", "a list", "no call"],
)
def test_what_is_no_whole_note_is_none(files, damage):
    lines = path_of(files).read_bytes().splitlines()
    path_of(files).write_bytes(b"\n".join(damage(lines)) + b"\n")
    assert read_note(files) is None


def test_there_is_no_note_once_the_files_are_removed(files):
    files.remove()
    assert read_note(files) is None
    assert list(files.folder.iterdir()) == []
