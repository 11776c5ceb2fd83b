"""Points between the steps of a remote task at which a run is killed, as hooks that the run calls first."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), 9)


def _before(owner: Any, name: str) -> None:
    setattr(owner, name, die)


def _after(owner: Any, name: str, number: int = 1) -> None:
    """Die after call *number* of a function that blocks."""
    function, calls = getattr(owner, name), [0]

    def last_deed(*arguments: object, **named: object) -> object:
        result = function(*arguments, **named)
        calls[0] += 1
        return die() if calls[0] == number else result

    setattr(owner, name, last_deed)


def _after_awaiting(owner: Any, name: str, number: int = 1) -> None:
    function, calls = getattr(owner, name), [0]

    async def last_deed(*arguments: object, **named: object) -> object:
        result = await function(*arguments, **named)
        calls[0] += 1
        return die() if calls[0] == number else result

    setattr(owner, name, last_deed)


def _sent() -> None:
    from batchgen.files.slot import Slot

    _before(Slot, "keep_head")


def _in_slot() -> None:
    from batchgen.engine.remote_tasks import RemoteTasks

    _before(RemoteTasks, "remember")


def _committed() -> None:
    from batchgen.engine.remote_tasks import RemoteTasks

    _after_awaiting(RemoteTasks, "remember")


def _polling() -> None:
    from batchgen.transport.client import ProviderClient

    _after_awaiting(ProviderClient, "poll", 2)


def _finished() -> None:
    from batchgen.transport.client import ProviderClient

    _before(ProviderClient, "fetch")


def _downloaded() -> None:
    from batchgen.engine import publication

    _before(publication, "examine")


def _published() -> None:
    from batchgen.files import output

    _after(output, "publish")


def _marked() -> None:
    from batchgen.engine import executor

    _after(executor, "write_marker")


def _settled() -> None:
    from batchgen.store.writer import Writer

    _after_awaiting(Writer, "settle")


#: In the order in which a task passes them.
POINTS: dict[str, Callable[[], None]] = {
    "sent": _sent,
    "in slot": _in_slot,
    "committed": _committed,
    "polling": _polling,
    "finished": _finished,
    "downloaded": _downloaded,
    "published": _published,
    "marked": _marked,
    "settled": _settled,
}


def die_at(point: str) -> None:
    """Hook: be killed when the first task of the run reaches *point*."""
    POINTS[point]()
