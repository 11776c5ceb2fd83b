"""Unknown jobs: calls that may have cost money without an answer. List, requeue, drop or adopt them."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio

from ..errors import NotFound, UsageError
from ..files.images import DamagedImageError, ImageInfo, decode
from ..files.output_tree import output_tree
from ..files.sidecar import describe
from ..job import Attempt, Cancelled, Job, Requeued, State
from ..manifest.filenames import stems
from ..object_url import Folder, parse_folder, stored_path
from ..planning.override_marks import note_of
from ..planning.selection import Selection
from ..store.reader import Reader
from ..store.records import AttemptRecord, Batch, UnknownAttempt
from ..task import NOTHING, Artifact, Basis, Charge, Picture, Usage
from .clock import utc_now
from .output_lock import hold_output
from .project import Project, open_locked, open_reader

#: Bytes of the largest image that is adopted.
_LARGEST = 256 * 1024 * 1024

_ADOPTING = {State.UNKNOWN, State.FAILED, State.PENDING}


def list_unknown(
    project: Project, name: str | None, selection: Selection
) -> tuple[Batch, Sequence[tuple[Job, UnknownAttempt | None]]]:
    """Return the unknown jobs of a batch, each with its last unknown attempt."""
    with open_reader(project) as reader:
        batch = reader.batch(name)
        return batch, [(job, reader.unknown_attempt(job)) for job in _unknown(reader, batch, selection)]


def requeue(project: Project, name: str | None, selection: Selection) -> tuple[Batch, Sequence[Job]]:
    """Requeue unknown jobs; what they may have cost stays in the ledger."""
    with open_locked(project) as (reader, writer):
        batch = reader.batch(name)
        jobs = _unknown(reader, batch, selection)
        _for_each(jobs, lambda job: writer.move(job, Requeued(at=utc_now())))
        return batch, jobs


def drop(
    project: Project, name: str | None, selection: Selection, *, free: bool
) -> tuple[Batch, Sequence[Job], Sequence[Job]]:
    """Cancel unknown jobs; return the batch, these jobs, and those of them whose calls were at risk until now.

    *free*: the provider's records show that these calls were not charged. What was settled stays as it was booked.
    """
    with open_locked(project) as (reader, writer):
        batch = reader.batch(name)
        jobs = _unknown(reader, batch, selection)
        calls = [(job, reader.unknown_attempt(job)) for job in jobs]
        _for_each(jobs, lambda job: writer.drop(job, Cancelled(at=utc_now()), free=free))
        return batch, jobs, [job for job, call in calls if call is not None and call.at_risk]


def _for_each(jobs: Sequence[Job], change: Callable[[Job], Awaitable[object]]) -> None:
    async def change_all() -> None:
        for job in jobs:
            await change(job)

    anyio.run(change_all)


def _unknown(reader: Reader, batch: Batch, selection: Selection) -> list[Job]:
    """Return the selected unknown jobs; raise NotFound if a selection matches none."""
    jobs = list(reader.jobs(batch.id, replace(selection, states=(State.UNKNOWN.value,))))
    if not jobs and selection != Selection():
        raise NotFound("none of these jobs is unknown. `batchgen unknown list` lists those that are.")
    return jobs


def adopt(project: Project, name: str | None, key: str, file: Path) -> tuple[Job, Artifact]:
    """Publish *file* as an image of job *key* and book the call it came from; raise NotFound, UsageError."""
    with open_locked(project) as (reader, writer):
        batch = reader.batch(name)
        job = reader.job(batch.id, key)
        if job.state not in _ADOPTING:
            why = "an interrupted run left it: run again first" if job.state is State.RUNNING else "no file is missing"
            raise UsageError(f"job {key} is {job.state}: {why}. Nothing was changed")
        data, facts = _examined(file)
        image = f"{stems(job.output, job.wanted)[job.delivered]}.{facts.extension}"
        attempt_id = reader.attempt_of_supplied_file(job)
        record = next((attempt for attempt in reader.attempts(job) if attempt.id == attempt_id), None)
        attempt = _attempt(job, batch, record)
        folder = parse_folder(batch.folder)
        artifact, tree = _artifact(project, job, folder / image, data, facts), output_tree(folder)
        with hold_output(project, folder):
            tree.publish(image, data)
            if job.sidecar:
                usage, cost = Usage(images=1), _estimated(record)
                note = note_of(job.fingerprint)
                picture = Picture(data=data)
                sidecar = describe(attempt, artifact, picture, usage, cost, sandbox=project.sandbox, note=note)
                tree.publish(f"{image}.json", sidecar)
        after = anyio.run(partial(writer.adopt, job, attempt.id, artifact, utc_now()))
        return after, artifact


def _examined(file: Path) -> tuple[bytes, ImageInfo]:
    try:
        if file.stat().st_size > _LARGEST:
            raise UsageError(f"{file} is too large for an image. Nothing was changed")
        data = file.read_bytes()
        return data, decode(data)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}. Nothing was changed") from error
    except DamagedImageError as error:
        raise UsageError(f"{file} is not a complete image: {error}. Nothing was changed") from error


def _attempt(job: Job, batch: Batch, record: AttemptRecord | None) -> Attempt:
    task = replace(job.task, n=1)
    return Attempt(
        id=record.id if record else uuid.uuid4().hex,
        job_id=job.id,
        claim=record.claim if record else job.claim,
        batch=job.batch,
        key=job.key,
        task=replace(task, provider=record.provider, model=record.model) if record else task,
        account=record.account if record else None,
        fingerprint=job.fingerprint,
        folder=batch.folder,
        output=job.output,
        ordinal=job.delivered,
        wanted=job.wanted,
    )


def _artifact(project: Project, job: Job, image: Folder, data: bytes, facts: ImageInfo) -> Artifact:
    return Artifact(
        ordinal=job.delivered,
        path=stored_path(image, project.root),
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        width=facts.width,
        height=facts.height,
        mime=facts.mime,
    )


def _estimated(record: AttemptRecord | None) -> Charge:
    if record is None:
        return NOTHING
    basis = Basis.ESTIMATED if record.estimate_usd is not None else Basis.UNKNOWN
    return Charge(usd=record.estimate_usd, credits=record.estimate_credits, basis=basis)
