"""Handover: calls that a run gave to a worker of a cluster, as a later run without the cluster finds them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..errors import StoreError
from ..files.slot import StoredAnswer
from ..job import Attempt, Delivered

#: Key of the slot's order that names the worker and its spool, when the call was let go, and when it has ended.
WORKER = "worker"
#: Seconds by which two looks at the clock may differ.
_SLACK = 2.0


def worker_of(stored: StoredAnswer | None) -> Mapping[str, Any] | None:
    """Return what a slot of this machine states about the worker of its call; None if no worker had it."""
    note = None if stored is None or stored.status is not None else stored.order.get(WORKER)
    return note if isinstance(note, dict) else None


def delivered_by_worker(attempt: Attempt, stored: StoredAnswer | None) -> Delivered | None:
    """Return what a worker delivered for an attempt of an earlier run; None if nothing shows that one did.

    Raises StoreError while the call may be in flight: to settle it as unknown now would buy it again.
    """
    note = worker_of(stored)
    if note is None and not (attempt.elsewhere and stored is None):
        return None
    from .cluster import marker  # here because runs without a cluster seldom need it

    if (delivered := marker.read(attempt.folder, attempt.id)) is not None:
        return delivered
    if note is not None and note.get("until", 0.0) - _SLACK > time.time():
        until = datetime.fromtimestamp(note["until"]).astimezone()
        raise StoreError(
            f"job {attempt.key}: its call was given to the worker {note.get('name')} of a cluster, and may be in "
            f"flight until {until:%H:%M:%S}. Nothing was sent again. Run with --backend ray to collect it, or wait "
            "until then"
        )
    return None


def forget_worker(attempt: Attempt) -> None:
    """Remove what a worker left in the output folder of an attempt that is settled."""
    from .cluster import marker

    marker.remove(attempt.folder, attempt.id)
