"""Small makers of plans, attempts and settlements for tests of the job table."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Self

import pytest

from batchgen.database_url import Database, DatabaseUrl
from batchgen.fault import Cause, Charged, Fault
from batchgen.job import Attempt, Delivered, Delivery, Event, Job, Settlement, Unknown
from batchgen.manifest.batch import PlannedJob
from batchgen.store import maintenance, postgres
from batchgen.store.reader import Reader
from batchgen.store.writer import Writer
from batchgen.task import Artifact, Basis, Charge, Kind, Task, Usage

NOW = datetime(2026, 3, 1, 3, 0, 0, 123456, tzinfo=UTC)
DOUBT = Fault(cause=Cause.UNKNOWN, message="read timeout", charged=Charged.MAYBE, status=504, code="gateway")


def plan(key: str, prompt: str = "a cat", provider: str = "aigate", **changes: object) -> PlannedJob:
    """A job, by default with a mark that tells its prompt; *changes* are of the job or of its recipe."""
    task = Task(kind=Kind.GENERATE, prompt=prompt, provider=provider, model="gpt-image-2")
    fingerprint, output = changes.pop("fingerprint", f"1:{prompt}"), changes.pop("output", key)
    job = PlannedJob.of(key, changes.pop("task", task), output, **changes)  # type: ignore[arg-type]
    return job._replace(fingerprint=fingerprint)  # type: ignore[arg-type]


def attempt_for(job: Job) -> Attempt:
    return Attempt(
        id=uuid.uuid4().hex,
        job_id=job.id,
        claim=job.claim + 1,
        batch=job.batch,
        key=job.key,
        task=job.task,
        fingerprint=job.fingerprint,
        folder="/out",
        output=job.output,
    )


def picture(path: str = "cat.png", ordinal: int = 0) -> Artifact:
    return Artifact(ordinal=ordinal, path=path, sha256="0" * 64, size_bytes=9, width=1, height=2, mime="image/png")


def delivery(attempt: Attempt, usd: int | None = 1_000, *files: Artifact) -> Settlement:
    usage = Usage(images=1, input_tokens=5, output_tokens=50)
    event = Delivery(at=NOW, outcome=Delivered(artifacts=files or (picture(),), usage=usage))
    charge = Charge(usd=usd, credits=2_000, basis=Basis.PRICED if usd is not None else Basis.UNKNOWN)
    return Settlement(attempt=attempt, event=event, charge=charge, usage=usage, request_id="req-1")


def miss(attempt: Attempt, event: Event | None = None) -> Settlement:
    unknown = Charge(usd=None, credits=None, basis=Basis.UNKNOWN)
    return Settlement(attempt=attempt, event=event or Unknown(at=NOW, fault=DOUBT), charge=unknown)


async def loaded(writer: Writer, plans: Iterable[PlannedJob], name: str = "b") -> int:
    batch_id = await writer.open_batch(name, "/m.yaml", "/out", NOW)
    await writer.load(batch_id, plans, NOW)
    return batch_id


async def claimed(writer: Writer, job: Job, estimate: int | None = 7_000) -> tuple[Job, Attempt]:
    attempt = attempt_for(job)
    return await writer.claim(job, attempt, "run-1", estimate, 3_000, NOW), attempt


async def one(writer: Writer, reader: Reader, key: str = "cat") -> tuple[int, Job]:
    batch_id = await loaded(writer, [plan(key)])
    return batch_id, reader.job(batch_id, key)


class Raw:
    """A connection to a job database without batchgen; placeholders are ``?`` everywhere."""

    def __init__(self, database: Database) -> None:
        if isinstance(database, DatabaseUrl):
            self._dbapi: Any = postgres.connect(database)
        else:
            self._dbapi = sqlite3.connect(database, timeout=10, isolation_level=None)
        self._translated = postgres.translate if isinstance(database, DatabaseUrl) else str

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._dbapi.close()

    def execute(self, query: str, values: Sequence[object] = ()) -> Any:
        return self._dbapi.execute(self._translated(query), values)

    def executemany(self, query: str, rows: Iterable[Sequence[object]]) -> None:
        self._dbapi.execute("BEGIN")
        self._dbapi.cursor().executemany(self._translated(query), rows)
        self._dbapi.execute("COMMIT")


#: Tests of what only a SQLite file does.
on_sqlite = pytest.mark.parametrize("path", ["sqlite"], indirect=True)


def integrity(path: Database) -> str:
    return "; ".join(maintenance.examine(path).problems) or "ok"
