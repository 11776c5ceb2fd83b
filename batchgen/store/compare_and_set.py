"""Compare-and-set: every update of a job goes through ``swap``. SQL on an open transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, select, update

from ..errors import StaleClaim
from ..job import Job
from .fixed import FixedChange
from .rows import listed, progress_columns
from .tables import artifacts, jobs

#: State and claim identify a version of a job. The other columns distinguish two pending versions at one claim: a job
#: that was requeued or revised, and not claimed since, must not be sent or updated as it was before.
_FENCE = ("id", "state", "claim", "fingerprint", "tries", "delivered")
_SWAP = FixedChange(update(jobs).where(*(jobs.c[name] == bindparam(f"known_{name}") for name in _FENCE)))


def swap(connection: Connection, before: Job, after: Job, now: datetime) -> None:
    """Update a job from *before* to *after*; raise StaleClaim if it has changed meanwhile."""
    expected = {
        "known_id": before.id,
        "known_state": before.state.value,
        "known_claim": before.claim,
        "known_fingerprint": before.fingerprint,
        "known_tries": before.tries,
        "known_delivered": before.delivered,
    }
    if _SWAP.execute(connection, expected | progress_columns(after) | {"updated_at": now}) == 0:
        raise StaleClaim(f"job {before.key} is no longer {before.state} at claim {before.claim}")


def require_current(connection: Connection, wanted: Sequence[Job]) -> None:
    """Raise StaleClaim, before anything is written, if one of these jobs has changed."""
    columns = [jobs.c[name] for name in _FENCE]
    rows = connection.execute(select(*columns).where(jobs.c.id.in_(listed([job.id for job in wanted]))))
    current = {row.id: tuple(row) for row in rows}
    for job in wanted:
        if current.get(job.id) != tuple(getattr(job, name) for name in _FENCE):
            raise StaleClaim(f"job {job.key} is no longer {job.state} at claim {job.claim}")


def supersede(connection: Connection, ids: Sequence[int], now: datetime) -> None:
    """Mark all files of these jobs as superseded; files and rows are kept."""
    current = update(artifacts).where(artifacts.c.job_id.in_(listed(ids)), artifacts.c.superseded_at.is_(None))
    connection.execute(current.values(superseded_at=now))
