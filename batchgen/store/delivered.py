"""Files that were delivered last, and the calls that they came from. SQL on an open transaction."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, select

from ..task import UNPRICED, Basis, Charge, Usage
from .records import DeliveredFile
from .rows import to_artifact
from .tables import artifacts, jobs, ledger


def latest_files(connection: Connection, batch_id: int, within: timedelta) -> list[DeliveredFile]:
    """Return the current files with a sidecar that were booked *within* a time before the last one of a batch."""
    current = (
        select(artifacts, jobs.c.key, jobs.c.orphaned_at)
        .join(jobs)
        .where(jobs.c.batch_id == batch_id, jobs.c.sidecar, artifacts.c.superseded_at.is_(None))
        .order_by(artifacts.c.id.desc())  # the order in which they were booked, without an index on their times
        .execution_options(yield_per=500)
    )
    files: list[DeliveredFile] = []
    with connection.execute(current) as rows:
        for row in rows:
            if files and row.created_at < files[0].file.created_at - within:
                break
            orphaned = row.orphaned_at is not None
            files.append(DeliveredFile(job_id=row.job_id, key=row.key, orphaned=orphaned, file=to_artifact(row)))
    return files


def booking(connection: Connection, attempt_id: str) -> tuple[Usage, Charge]:
    """Return what an attempt used and cost, as far as the ledger knows."""
    row = connection.execute(select(ledger).where(ledger.c.attempt_id == attempt_id)).one_or_none()
    if row is None:
        return Usage(), UNPRICED
    usage = Usage(images=row.images, input_tokens=row.input_tokens, output_tokens=row.output_tokens)
    return usage, Charge(usd=row.usd, credits=row.credits, basis=Basis(row.basis))
