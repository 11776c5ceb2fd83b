"""Failed jobs back into the queue, for a retry."""

from __future__ import annotations

from datetime import UTC, datetime

import anyio

from ..errors import NotFound
from ..job import Job, Requeued
from ..manifest import Batch
from ..selection import Selection
from ..store.reader import Reader
from ..store.writer import Writer
from .place import Place


def put_back(place: Place, reader: Reader, batch: Batch, selection: Selection) -> list[Job]:
    """Put the selected jobs of *batch* back and return them; raise NotFound where it never ran."""
    known = {found.name: found.id for found in reader.batches()}
    if batch.name not in known:
        raise NotFound(f"batch {batch.name} has not run yet: batchgen run {batch.manifest}")
    with Writer(place.db) as writer:

        async def move() -> list[Job]:
            chosen = reader.jobs(known[batch.name], selection)
            return [await writer.move(job, Requeued(at=datetime.now(UTC))) for job in chosen]

        return anyio.run(move)
