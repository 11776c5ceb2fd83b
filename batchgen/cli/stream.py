"""A run as JSON lines on stdout, for programs that follow it: start, job, progress, warning, summary."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio import create_task_group, sleep, to_thread

from ..money import show_usd
from . import words
from .progress import News, Progress

if TYPE_CHECKING:
    from ..job import Settlement
    from ..lane import Lane
    from ..purchase import Opened
    from ..runner import Runner
    from ..store.reader import Reader

#: Seconds between two looks at the lanes, and at least between two lines of progress.
LOOK, LEAST = 0.25, 2.0


def tell(kind: str, **told: object) -> None:
    """Print one line; what is None is left out."""
    said = {name: value for name, value in told.items() if value is not None}
    words.document({"type": kind, **said}, indent=None)


@asynccontextmanager
async def stream(runner: Runner, reader: Reader) -> AsyncIterator[None]:
    """Print a run while it goes on: where it starts, every call that ends, and how far it is."""
    progress = Progress(runner, await to_thread.run_sync(reader.lanes, runner.batch_id))
    purchases = runner.purchases
    purchases.listeners.append(_job)
    tell(
        "start",
        schema_version=1,
        run=purchases.run_id,
        batch=purchases.batch,
        folder=purchases.folder,
        jobs={"total": progress.total, "done": progress.done, "left": progress.left},
        providers=[lane.name for lane in runner.lanes],
    )
    async with create_task_group() as tasks:
        tasks.start_soon(_report, progress)
        yield
        tasks.cancel_scope.cancel()
    _progress(progress)


def _job(lane: Lane, opened: Opened, settlement: Settlement | None) -> None:
    from ..app.journal import call, ending

    if settlement is None:
        return
    name, _, told = ending(opened, settlement)
    outcome = getattr(settlement.event, "outcome", None)
    files = [artifact.path for artifact in outcome.artifacts] if outcome is not None else None
    tell("job", event=name, **call(lane, opened), **told, files=files)


async def _report(progress: Progress) -> None:
    said, at, news = -1, time.monotonic(), News(progress.runner)
    while True:
        await sleep(LOOK)
        for text in news.lines():
            tell("warning", message=text)
        if progress.ended != said and time.monotonic() - at >= LEAST:
            _progress(progress)
            said, at = progress.ended, time.monotonic()


def _progress(progress: Progress) -> None:
    lanes = progress.runner.lanes
    tell(
        "progress",
        jobs={"total": progress.total, "done": progress.done, "left": progress.left},
        failed=sum(lane.failed for lane in lanes),
        in_flight=sum(lane.in_flight for lane in lanes),
        images=progress.images,
        images_per_minute=round(progress.per_minute, 1),
        usd=show_usd(sum(lane.usd for lane in lanes)),
        seconds_left=None if (left := progress.seconds_left) is None else round(left),
    )
