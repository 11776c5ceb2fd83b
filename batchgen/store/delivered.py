"""Delivered files: the latest ones, one by its hash, and the calls that they came from. SQL on an open transaction."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, select

from ..task import UNPRICED, Basis, Charge, Usage
from .records import DeliveredFile
from .rows import to_artifact
from .tables import artifacts, batch_of_job, jobs, ledger


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


def file_of_hash(connection: Connection, batch_id: int, sha: str) -> tuple[str, str] | None:
    """Return the stored path and the hash of a current file whose hash begins with *sha*; None if there is none."""
    begins = artifacts.c.sha256.between(sha, sha + "g")
    current = select(artifacts.c.path, artifacts.c.sha256).join(jobs)
    current = current.where(begins, artifacts.c.superseded_at.is_(None), batch_of_job == batch_id).limit(1)
    row = connection.execute(current).one_or_none()
    return None if row is None else (row.path, row.sha256)


def booking(connection: Connection, attempt_id: str) -> tuple[Usage, Charge]:
    """Return what an attempt used and cost, as far as the ledger knows."""
    row = connection.execute(select(ledger).where(ledger.c.attempt_id == attempt_id)).one_or_none()
    if row is None:
        return Usage(), UNPRICED
    usage = Usage(images=row.images, input_tokens=row.input_tokens, output_tokens=row.output_tokens)
    return usage, Charge(usd=row.usd, credits=row.credits, basis=Basis(row.basis))
