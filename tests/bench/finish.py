"""Finishes all due jobs of a job database, through batchgen's own writer and without a provider.

``python -P finish.py DATABASE`` runs it with the source tree on PYTHONPATH, so that each tree writes its own tables.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from batchgen.job import Job
from batchgen.store.reader import Reader
from batchgen.store.records import DueFilter
from batchgen.store.writer import Writer
from tests.store.kit import NOW, attempt_for, delivery, picture

_PAGE = 2_000


async def finish(database: Path) -> None:
    """Claim and settle every due job of the first batch; the files are named, but not written."""
    with Writer(database) as writer, Reader(database) as reader:
        await writer.begin_run("finish", 1, command="bench", pid=1, host="bench", now=NOW)

        async def one(job: Job) -> None:
            attempt = attempt_for(job)
            await writer.claim(job, attempt, "finish", 7_000, None, NOW)
            await writer.settle(delivery(attempt, 6_000, picture(f"{job.key}.png")), NOW)

        while jobs := reader.due(1, DueFilter(provider="openai"), _PAGE, NOW):
            async with asyncio.TaskGroup() as group:
                for job in jobs:
                    group.create_task(one(job))
        await writer.end_run("finish", 0, NOW)


if __name__ == "__main__":
    asyncio.run(finish(Path(sys.argv[1])))
