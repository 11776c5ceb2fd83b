"""The compare-and-set that every change of a job is.  SQL on an open transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, update

from ..errors import StaleClaim
from ..job import Job
from .rows import listed, progress_columns
from .tables import artifacts, jobs

#: State and claim are the fence.  The others tell apart two pending forms at one claim: a job that was requeued
#: or revised and not claimed since must not be sent, or set back, as it was before.
_FENCE = ("id", "state", "claim", "fingerprint", "tries", "delivered")
_SWAP = update(jobs).where(*(jobs.c[name] == bindparam(f"known_{name}") for name in _FENCE))


def swap(connection: Connection, before: Job, after: Job, now: datetime) -> None:
    """Change a job; raise StaleJob where it is no longer *before*."""
    known = {f"known_{name}": getattr(before, name) for name in _FENCE}
    if connection.execute(_SWAP, known | progress_columns(after) | {"updated_at": now}).rowcount == 0:
        raise StaleClaim(f"job {before.key} is no longer {before.state} at claim {before.claim}")


def supersede(connection: Connection, ids: Sequence[int], now: datetime) -> None:
    """Let jobs count on none of their files any more; files and rows stay."""
    old = update(artifacts).where(artifacts.c.job_id.in_(listed(ids)), artifacts.c.superseded_at.is_(None))
    connection.execute(old.values(superseded_at=now))
