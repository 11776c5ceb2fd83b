"""Several that follow one run: who shows it, who logs it, who measures it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from ...engine.runner import Runner
from ...store.reader import Reader
from ..wiring import Follow


def together(*followers: Follow) -> Follow:
    """Return what lets all *followers* follow a run, the first one outermost."""

    @asynccontextmanager
    async def follow(runner: Runner, reader: Reader) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for follower in followers:
                await stack.enter_async_context(follower(runner, reader))
            yield

    return follow
