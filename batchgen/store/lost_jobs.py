"""Jobs of a lost database whose failure only the log shows. SQL on an open transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, update

from ..fault import Cause
from ..job import State
from .tables import jobs


def mark_failed(
    connection: Connection, *, batch_id: int, failed: Mapping[str, tuple[Cause, str]], now: datetime
) -> int:
    """Mark pending jobs, by key, as failed; return how many there were. Other jobs are left alone."""
    count = 0
    for key, (cause, message) in failed.items():
        pending = (
            jobs.c.batch_id == batch_id,
            jobs.c.key == key,
            jobs.c.state == State.PENDING.value,
            jobs.c.orphaned_at.is_(None),
        )
        facts = {"state": State.FAILED.value, "cause": cause.value, "message": message, "not_before": None}
        count += connection.execute(update(jobs).where(*pending).values(**facts, updated_at=now)).rowcount
    return count
