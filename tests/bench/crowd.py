"""Many at a time, with no library's help."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def crowd(work: Callable[[int], Awaitable[object]], count: int, width: int) -> None:
    """Do *work* for 0 .. count - 1, *width* at a time."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await work(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(width, count)):
            group.create_task(worker())
