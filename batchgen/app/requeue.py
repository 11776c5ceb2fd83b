"""Failed jobs back into the queue, for a retry."""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import UTC, datetime

import anyio

from ..errors import NotFound
from ..job import Job, Requeued
from ..manifest import Batch
from ..planning.selection import Selection
from ..store.reader import Reader
from ..store.writer import Writer
from .project import Project


def to_put_back(reader: Reader, batch: Batch, selection: Selection) -> Mapping[str, Job]:
    """Return the selected jobs of *batch* by key; raise NotFound where it never ran."""
    known = {found.name: found.id for found in reader.batches()}
    if batch.name not in known:
        raise NotFound(f"batch {batch.name} has not run yet: batchgen run {batch.manifest}")
    return {job.key: job for job in reader.jobs(known[batch.name], selection)}


def put_back(project: Project, jobs: Mapping[str, Job], keys: Container[str]) -> list[int]:
    """Put those of *jobs* back that *keys* names; return their numbers."""
    with Writer(project.db) as writer:

        async def move() -> list[int]:
            chosen = [job for key, job in jobs.items() if key in keys]
            return [(await writer.move(job, Requeued(at=datetime.now(UTC)))).id for job in chosen]

        return anyio.run(move)
