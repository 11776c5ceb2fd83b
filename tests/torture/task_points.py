"""Points between the steps of a remote task at which a run is killed, as hooks that the run calls first."""

from __future__ import annotations

from collections.abc import Callable

from . import deaths


def _sent() -> None:
    from batchgen.files.slot import Slot

    deaths.before(Slot, "keep_head")


def _in_slot() -> None:
    from batchgen.engine.remote_tasks import RemoteTasks

    deaths.before(RemoteTasks, "remember")


def _committed() -> None:
    from batchgen.engine.remote_tasks import RemoteTasks

    deaths.after_awaiting(RemoteTasks, "remember")


def _polling() -> None:
    from batchgen.transport.client import ProviderClient

    deaths.after_awaiting(ProviderClient, "poll", 2)


def _finished() -> None:
    from batchgen.transport.client import ProviderClient

    deaths.before(ProviderClient, "fetch")


#: In the order in which a task passes them.
POINTS: dict[str, Callable[[], None]] = {
    "sent": _sent,
    "in slot": _in_slot,
    "committed": _committed,
    "polling": _polling,
    "finished": _finished,
    "downloaded": deaths.examined,
    "published": deaths.published,
    "marked": deaths.marked,
    "settled": deaths.settled,
}


def die_at(point: str) -> None:
    """Hook: be killed when the first task of the run reaches *point*."""
    POINTS[point]()
