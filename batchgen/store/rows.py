"""Rows of the job table to values and back.  Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Row, RowMapping, Select, func, literal, select, text

from ..job import Job, State
from ..route import Route
from ..task import Kind, Source, Task
from .records import AttemptRecord, Batch, Run, StoredArtifact

if TYPE_CHECKING:
    from ..manifest.batch import PlannedJob, Recipe

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

#: Columns of jobs that follow the plan also where a job is done or under way.
LOOKS = ("output", "position", "sidecar", "tags", "priority", "route")

#: Columns of jobs that the plan decides.
PLAN_COLUMNS = ("key", "fingerprint", *LOOKS, "kind", "provider", "model", "wanted", "task")

#: SQL of what differs where one of ``PLAN_COLUMNS`` does.  The fingerprint and the provider tell the task, but for
#: where the files lie that an edit starts from.
GLANCE = (
    *(f"jobs.{name}" for name in ("key", "fingerprint", *LOOKS, "provider", "wanted")),
    f"CASE WHEN jobs.kind = '{Kind.EDIT.value}' THEN jobs.task END",
)


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


def decode_tags(text: str) -> tuple[str, ...]:
    """Return the tags that *encode_tags* wrote."""
    return tuple(json.loads(text))


def encode_route(route: Route | None) -> str | None:
    """Return a route as JSON, in which SQLite finds providers."""
    return None if route is None else _encode(route.as_json())


@lru_cache(1_000)
def decode_route(text: str) -> Route:
    """Return the Route that *encode_route* wrote."""
    return Route.of_json(json.loads(text))


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


class RowTemplate(NamedTuple):
    """What the rows of one recipe's jobs have in common."""

    looks: tuple[bool, str, int, str | None]  #: sidecar, tags, priority, route
    asked: tuple[str, str, str, int]  #: kind, provider, model, wanted
    head: str  #: of the task's JSON, up to the prompt
    tail: str  #: of the task's JSON, from behind the prompt on
    edits: bool  #: the task names files

    @classmethod
    def of(cls, recipe: Recipe) -> RowTemplate:
        """Return the form of *recipe*."""
        task = recipe.task
        # the first one: only the kind stands before it
        head, _, tail = encode_task(replace(task, prompt="")).partition('"prompt":""')
        return cls(
            looks=(recipe.sidecar, encode_tags(recipe.tags), recipe.priority, encode_route(recipe.route)),
            asked=(task.kind.value, task.provider, task.model, recipe.wanted),
            head=f'{head}"prompt":',
            tail=tail,
            edits=task.kind is Kind.EDIT,
        )

    def row(self, planned: PlannedJob, position: int) -> tuple[Any, ...]:
        """Return a job's ``PLAN_COLUMNS``; *position* is its place in the manifest."""
        text = self.head + encode_basestring(planned.prompt) + self.tail
        return (planned.key, planned.fingerprint, planned.output, position, *self.looks, *self.asked, text)

    def glance(self, planned: PlannedJob, position: int) -> list[Any]:
        """Return what tells whether a job's row is as the plan has it, in little time; see ``GLANCE``."""
        key, prompt, fingerprint, output, _ = planned
        looks, asked, head, tail, edits = self
        text = head + encode_basestring(prompt) + tail if edits else None
        return [key, fingerprint, output, position, *looks, asked[1], asked[3], text]


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
    """Return *values* as a JSON list, to be bound as one value: SQLite caps how many may be bound."""
    return _encode(list(values))


def listed(values: Iterable[int | str]) -> Select[Any]:
    """Return *values*, any number of them, as SQL for ``in_``."""
    return select(text("value")).select_from(func.json_each(literal(encode_list(values))))


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
