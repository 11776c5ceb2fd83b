"""Notes of submissions: what the job database knows of one, beside its files, for the day on which that is lost.

A note is written before the batch is created. Its first line is the submission, and each further one a call; the id
that the provider gives the batch follows in a line of its own. So no note has to be in memory as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import islice
from typing import Any

from ...files.result_files import SubmissionFiles
from ...job import Job
from ...store.lost_submissions import SentCall, SentJob
from ...store.records import AttemptRecord
from ...store.rows import decode_task, encode_task
from ...store.submissions import Submission, SubmissionState

_VERSION = 1
#: What a note keeps of a submission, besides its times.
_FACTS = ("id", "run_id", "provider", "account", "endpoint", "model", "body_sha256", "input_file")
_JOB_FACTS = tuple(field.name for field in fields(SentJob))


#: A call that is sent in a file, as the job database has it.
Sent = tuple[Job, AttemptRecord]


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmissionNote:
    """A note that was read."""

    batch: str
    database: str
    submission: Submission  #: ``batch_id`` is 0: the batch has another id in each database
    size: int  #: calls in the file of the submission
    files: SubmissionFiles

    def calls(self) -> Iterator[SentCall]:
        """Yield the calls in the file of the submission."""
        for line in islice(self.files.note_lines(), 1, self.size + 1):
            yield _call(json.loads(line))


def write_note(
    files: SubmissionFiles, submission: Submission, batch: str, database: str, calls: Sequence[Sent]
) -> None:
    """Note a submission whose batch may exist from now on, unless that is noted; raise StoreError."""
    if read_note(files) is not None:
        return
    head = {name: getattr(submission, name) for name in _FACTS}
    times = {name: _text(getattr(submission, name)) for name in ("created_at", "submitted_at")}
    first = {"version": _VERSION, "batch": batch, "database": database, "calls": len(calls), **head, **times}
    lines = (_dump(_document(job, record)) for job, record in calls)
    files.write_note(line for part in ([_dump(first)], lines) for line in part)


def note_batch(files: SubmissionFiles, remote_id: str) -> None:
    """Add the id that the provider gave the batch; without it, the provider's list is searched."""
    files.add_to_note(_dump({"remote_id": remote_id}))


def read_note(files: SubmissionFiles) -> SubmissionNote | None:
    """Return the note of a submission; None if there is none, or none that can be read from end to end."""
    try:
        lines = files.note_lines()
        head = json.loads(next(lines))
        if head["version"] != _VERSION or head["id"] != files.submission_id:
            return None
        size = int(head["calls"])
        for _ in range(size):
            _call(json.loads(next(lines)))
        remote_id = None
        for line in lines:
            with suppress(ValueError):  # a line that was cut off
                remote_id = json.loads(line).get("remote_id", remote_id)
        submission = Submission(
            **{name: head[name] for name in _FACTS},
            batch_id=0,
            created_at=datetime.fromisoformat(head["created_at"]),
            submitted_at=None if head["submitted_at"] is None else datetime.fromisoformat(head["submitted_at"]),
            remote_id=remote_id,
            state=SubmissionState.SUBMITTING if remote_id is None else SubmissionState.SUBMITTED,
        )
        where = {"batch": head["batch"], "database": head["database"]}
        return SubmissionNote(**where, submission=submission, size=size, files=files)
    except (OSError, StopIteration, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _document(job: Job, record: AttemptRecord) -> dict[str, Any]:
    """Return a call and its job as they were when the file was written."""
    sent = SentJob(
        key=job.key,
        task=job.task,
        fingerprint=job.fingerprint,
        output=job.output,
        sidecar=job.sidecar,
        wanted=job.wanted,
        delivered=job.delivered,
        claim=record.claim,
        tries=job.tries,
        doubts=job.unknown_attempts,
    )
    facts = {name: getattr(sent, name) for name in _JOB_FACTS} | {"task": encode_task(job.task)}
    return {
        "id": record.id,
        "provider": record.provider,
        "model": record.model,
        "mode": record.mode.value,
        "estimate_usd": record.estimate_usd,
        "estimate_credits": record.estimate_credits,
        "started_at": _text(record.started_at),
        "job": facts,
    }


def _call(document: Mapping[str, Any]) -> SentCall:
    sent = dict(document["job"])
    job = SentJob(**sent | {"task": decode_task(sent["task"])})
    return SentCall(**{**document, "job": job, "started_at": datetime.fromisoformat(document["started_at"])})


def _dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
