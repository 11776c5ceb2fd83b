"""Rows: converts rows of the job database to values and back. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Row, RowMapping, Select, func, literal, select, text

from ..job import Job, State
from ..mode import Mode
from ..route import Route
from ..task import Artifact, Kind, Source, Task
from .records import AttemptRecord, Batch, Run, StoredArtifact

if TYPE_CHECKING:
    from datetime import datetime

    from ..manifest.batch import PlannedJob, Recipe

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode

#: Fields of a Task that are stored unchanged.
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
_SOURCE = ("path", "url", "sha256", "etag", "mime", "size_bytes", "copy", "preparation", "job", "number", "version")


class PlanRow(NamedTuple):
    """The columns of a job that the plan decides."""

    key: str
    fingerprint: str
    output: str
    position: int
    sidecar: bool
    tags: str
    priority: int
    route: str | None
    kind: str
    provider: str
    model: str
    wanted: int
    task: str

    @classmethod
    def of(cls, planned: PlannedJob, position: int) -> PlanRow:
        """Return the row of *planned*; *position* is its place in the manifest."""
        columns, start, end = _of_recipe(planned.recipe)
        task = f"{start}{encode_basestring(planned.prompt)}{end}"
        return cls._make((planned.key, planned.fingerprint, planned.output, position, *columns, task))


class JobRow(NamedTuple):
    """The columns of a job that make a ``Job``, and its batch."""

    id: int
    batch_id: int
    key: str
    task: str
    fingerprint: str
    output: str
    sidecar: bool
    tags: str
    priority: int
    position: int
    state: str
    cause: str | None
    message: str | None
    wanted: int
    delivered: int
    claim: int
    tries: int
    doubts: int
    not_before: datetime | None
    route: str | None


class AttemptRow(NamedTuple):
    """The columns of an attempt that its settlement needs."""

    id: str
    run_id: str
    provider: str
    model: str
    state: str
    estimate_usd: int | None
    estimate_credits: int | None
    started_at: datetime


@lru_cache(1_000)
def _of_recipe(recipe: Recipe) -> tuple[tuple[Any, ...], str, str]:
    """Return what rows of one recipe share: the columns from ``sidecar`` to ``wanted``, and the task around its prompt.

    Only the prompt is encoded for each row, which takes 2 us less than the whole task.
    """
    task = recipe.task
    looks = (recipe.sidecar, encode_tags(recipe.tags), recipe.priority, encode_route(recipe.route))
    start, name, end = encode_task(replace(task, prompt="")).partition('"prompt":')
    return (*looks, task.kind.value, task.provider, task.model, recipe.wanted), start + name, end.removeprefix('""')


def encode_task(task: Task) -> str:
    """Return *task* as compact JSON without the fields that are not set."""
    return _encode(_document(task))


def _document(task: Task) -> dict[str, Any]:
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
    return document


def decode_task(text: str) -> Task:
    """Read what ``encode_task`` wrote."""
    document = json.loads(text)
    document["kind"] = Kind(document["kind"])
    if "images" in document:
        document["images"] = tuple(Source(**image) for image in document["images"])
    if "mask" in document:
        document["mask"] = Source(**document["mask"])
    return Task(**document)


def encode_tags(tags: tuple[str, ...]) -> str:
    """Return tags as a JSON list, which SQL can search."""
    return _encode(tags) if tags else "[]"


@lru_cache(1_000)
def decode_tags(text: str) -> tuple[str, ...]:
    """Read what ``encode_tags`` wrote."""
    return tuple(json.loads(text))


def encode_route(route: Route | None) -> str | None:
    """Return a route as JSON, which SQL can search."""
    return None if route is None else _encode(route.as_json())


@lru_cache(1_000)
def decode_route(text: str) -> Route:
    """Read what ``encode_route`` wrote."""
    return Route.of_json(json.loads(text))


def to_job(row: Row[Any] | JobRow, batch: str) -> Job:
    """Return the Job in a row of jobs; *batch* is its batch's name."""
    return Job(
        id=row.id,
        batch=batch,
        key=row.key,
        task=decode_task(row.task),
        fingerprint=row.fingerprint,
        output=row.output,
        sidecar=row.sidecar,
        tags=decode_tags(row.tags),
        priority=row.priority,
        position=row.position,
        state=State(row.state),
        cause=row.cause,
        message=row.message,
        wanted=row.wanted,
        delivered=row.delivered,
        claim=row.claim,
        tries=row.tries,
        unknown_attempts=row.doubts,
        not_before=row.not_before,
        route=None if row.route is None else decode_route(row.route),
    )


def progress_columns(job: Job) -> dict[str, Any]:
    """Return the columns that only ``advance`` changes, with their values in *job*."""
    return {
        "state": job.state.value,
        "cause": job.cause,
        "message": job.message,
        "delivered": job.delivered,
        "claim": job.claim,
        "tries": job.tries,
        "doubts": job.unknown_attempts,
        "not_before": job.not_before,
    }


def encode_list(values: Iterable[int | str]) -> str:
    """Return *values* as a JSON list to bind as one value, because SQLite limits the number of bound values."""
    return _encode(list(values))


def listed(ids: Iterable[int]) -> Select[Any]:
    """Return any number of ids as a subquery for ``in_``."""
    return select(text("CAST(value AS BIGINT)")).select_from(func.json_each(literal(encode_list(ids))))


def listed_texts(texts: Iterable[str]) -> Select[Any]:
    """Return any number of texts as a subquery for ``in_``."""
    return select(text("value")).select_from(func.json_each(literal(encode_list(texts))))


def to_batch(row: RowMapping) -> Batch:
    """Return the value in a row of batches."""
    return Batch(**row)


def to_run(row: RowMapping) -> Run:
    """Return the value in a row of runs."""
    return Run(**{name: value for name, value in row.items() if name != "spool"})


def to_attempt(row: RowMapping) -> AttemptRecord:
    """Return the value in a row of attempts."""
    facts = dict(row)
    facts["mode"] = Mode(facts["mode"] or Mode.STANDARD)
    if facts["handle"] is not None:
        facts["handle"] = json.loads(facts["handle"])
    return AttemptRecord(**facts)


def artifact_row(
    job_id: int, attempt_id: str, file: Artifact, created_at: datetime, *, superseded_at: datetime | None
) -> dict[str, Any]:
    """Return the row of a delivered file."""
    return {
        "job_id": job_id,
        "attempt_id": attempt_id,
        "ordinal": file.ordinal,
        "path": file.path,
        "sha256": file.sha256,
        "bytes": file.size_bytes,
        "width": file.width,
        "height": file.height,
        "mime": file.mime,
        "created_at": created_at,
        "superseded_at": superseded_at,
    }


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
