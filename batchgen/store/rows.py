"""Rows of the job table to values and back.  Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, RowMapping

from ..job import Job, State
from ..task import Kind, Source, Task
from .values import AttemptRecord, Batch, Planned, Run, StoredArtifact

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode

#: Text and numbers of a Task that travel as they are.
_PLAIN = (
    "prompt",
    "provider",
    "model",
    "n",
    "size",
    "quality",
    "resolution",
    "background",
    "output_format",
    "output_compression",
    "moderation",
    "seed",
)
_SOURCE = ("path", "url", "sha256", "mime", "size_bytes")

#: Columns of jobs that the plan decides, apart from key and fingerprint.
PLAN_COLUMNS = ("kind", "provider", "model", "task", "wanted", "output", "sidecar", "tags", "priority", "position")

#: Columns of jobs that only ``advance`` changes.
MOVING = ("state", "cause", "message", "delivered", "claim", "tries", "doubts", "not_before")


def encode_task(task: Task) -> str:
    """Return *task* as compact JSON; what the user did not say is left out."""
    document: dict[str, Any] = {"kind": task.kind.value}
    for name in _PLAIN:
        value = getattr(task, name)
        if value is not None:
            document[name] = value
    if task.images:
        document["images"] = [_source(image) for image in task.images]
    if task.mask is not None:
        document["mask"] = _source(task.mask)
    if task.extra:
        document["extra"] = dict(task.extra)
    return _encode(document)


def decode_task(text: str) -> Task:
    """Return the Task that *encode_task* wrote."""
    document = json.loads(text)
    document["kind"] = Kind(document["kind"])
    if "images" in document:
        document["images"] = tuple(Source(**image) for image in document["images"])
    if "mask" in document:
        document["mask"] = Source(**document["mask"])
    return Task(**document)


def encode_tags(tags: tuple[str, ...]) -> str:
    """Return tags as a JSON list, which SQLite can search."""
    return _encode(tags) if tags else "[]"


def to_job(row: Row[Any], batch: str) -> Job:
    """Return the Job in a row of jobs; *batch* is its batch's name."""
    return Job(
        id=row.id,
        batch=batch,
        key=row.key,
        task=decode_task(row.task),
        fingerprint=row.fingerprint,
        output=row.output,
        sidecar=row.sidecar,
        tags=tuple(json.loads(row.tags)),
        priority=row.priority,
        state=State(row.state),
        cause=row.cause,
        message=row.message,
        wanted=row.wanted,
        delivered=row.delivered,
        claim=row.claim,
        tries=row.tries,
        doubts=row.doubts,
        not_before=row.not_before,
    )


def plan_columns(position: int, planned: Planned) -> dict[str, Any]:
    """Return the columns of jobs that the plan decides, apart from key and fingerprint."""
    task = planned.task
    return {
        "kind": task.kind.value,
        "provider": task.provider,
        "model": task.model,
        "task": encode_task(task),
        "wanted": planned.wanted,
        "output": planned.output,
        "sidecar": planned.sidecar,
        "tags": encode_tags(planned.tags),
        "priority": planned.priority,
        "position": position,
    }


def moving(job: Job) -> dict[str, Any]:
    """Return the columns that *advance* changes, as they stand in *job*."""
    return {name: getattr(job, name) for name in MOVING} | {"state": job.state.value}


def encode_ids(ids: Sequence[int]) -> str:
    """Return ids as a JSON list, to be bound as one value."""
    return _encode(list(ids))


def to_batch(row: RowMapping) -> Batch:
    """Return the value in a row of batches."""
    return Batch(**row)


def to_run(row: RowMapping) -> Run:
    """Return the value in a row of runs."""
    return Run(**row)


def to_attempt(row: RowMapping) -> AttemptRecord:
    """Return the value in a row of attempts."""
    return AttemptRecord(**row)


def to_artifact(row: Row[Any]) -> StoredArtifact:
    """Return the value in a row of artifacts."""
    return StoredArtifact(
        ordinal=row.ordinal,
        path=row.path,
        sha256=row.sha256,
        size_bytes=row.bytes,
        width=row.width,
        height=row.height,
        mime=row.mime,
        attempt_id=row.attempt_id,
        created_at=row.created_at,
        superseded_at=row.superseded_at,
    )


def _source(source: Source) -> dict[str, Any]:
    return {name: value for name in _SOURCE if (value := getattr(source, name)) is not None}
