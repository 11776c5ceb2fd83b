"""Deaths of a run at a function of its own: each is set up in the process of the run, before it begins."""

from __future__ import annotations

import os
from typing import Any


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), 9)


def before(owner: Any, name: str) -> None:
    """Die in place of a call."""
    setattr(owner, name, die)


def after(owner: Any, name: str, number: int = 1) -> None:
    """Die after call *number* of a function that blocks."""
    function, calls = getattr(owner, name), [0]

    def last_deed(*arguments: object, **named: object) -> object:
        result = function(*arguments, **named)
        calls[0] += 1
        return die() if calls[0] == number else result

    setattr(owner, name, last_deed)


def after_awaiting(owner: Any, name: str, number: int = 1) -> None:
    """Die after call *number* of a function that is awaited."""
    function, calls = getattr(owner, name), [0]

    async def last_deed(*arguments: object, **named: object) -> object:
        result = await function(*arguments, **named)
        calls[0] += 1
        return die() if calls[0] == number else result

    setattr(owner, name, last_deed)


# --- of every answer, whichever way it came ---------------------------------------------------------------------------


def examined() -> None:
    from batchgen.engine import publication

    before(publication, "examine")


def published() -> None:
    from batchgen.files import output

    after(output, "publish")


def marked() -> None:
    from batchgen.engine import executor

    after(executor, "write_marker")


def settled() -> None:
    from batchgen.store.writer import Writer

    after_awaiting(Writer, "settle")
