"""Handover: what a run finds of calls that another process carried out, or whose answer no disk could store."""

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


def delivered_before(attempt: Attempt, stored: StoredAnswer | None) -> Delivered | None:
    """Return what the marker beside the images of an earlier run states; None if there is none, or no need of it.

    Raises StoreError while a worker of a cluster may have the call: to settle it as unknown now would buy it again.
    """
    is_whole, was_sent = stored is not None and stored.sealed, stored is not None or attempt.elsewhere
    if is_whole or not was_sent:
        return None
    from .cluster import marker  # here because most runs need none

    note = worker_of(stored)
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


def marked_delivery(attempt: Attempt) -> Delivered | None:
    """Return what the marker beside the images of an attempt states; None if there is none."""
    from .cluster import marker

    return marker.read(attempt.folder, attempt.id)


def write_marker(attempt: Attempt, delivered: Delivered) -> bool:
    """State beside the images of an attempt how it was delivered; return False if that is not possible either."""
    from .cluster import marker

    try:
        marker.write(attempt.folder, attempt.id, delivered)
    except (OSError, StoreError):
        return False
    return True


def remove_marker(attempt: Attempt) -> None:
    """Remove the marker of an attempt that is settled."""
    from .cluster import marker

    marker.remove(attempt.folder, attempt.id)
