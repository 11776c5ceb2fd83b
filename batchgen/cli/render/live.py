"""The display of a run on stderr: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

from anyio import create_task_group, sleep, to_thread

from .. import output
from .format import credits_, usd
from .progress import LaneEvents, Progress, waiting

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from ...app.run import Follow
    from ...engine.runner import Runner
    from ...store.reader import Reader

#: Seconds between two plain lines: at least, and at most while something changes.
PLAIN_LEAST, PLAIN_MOST = 2.0, 60.0
REFRESH = 0.25
#: Columns of a live table that are aligned to the left.
_TEXTS = ("provider", "waiting for", "controls")


def follower(mode: str) -> Follow:
    """Return the display "bar", "plain" or "none"."""
    return {"bar": _live, "plain": _plain, "none": _silent}[mode]


@asynccontextmanager
async def _silent(runner: Runner, reader: Reader) -> AsyncIterator[None]:
    del runner, reader
    yield


@asynccontextmanager
async def _plain(runner: Runner, reader: Reader) -> AsyncIterator[None]:
    progress = Progress(runner, await to_thread.run_sync(reader.lanes, runner.batch_id))
    async with create_task_group() as tasks:
        tasks.start_soon(_report, progress)
        yield
        tasks.cancel_scope.cancel()


async def _report(progress: Progress) -> None:
    """Print a line for every twentieth of the jobs: at most every other second, at least every minute."""
    reported, last = -1, time.monotonic()
    events = LaneEvents(progress.runner)
    while True:
        await sleep(REFRESH)
        for line in events.lines():
            output.say(line)
        step = progress.done * 20 // (progress.total or 1)
        age = time.monotonic() - last
        if (step != reported and age >= PLAIN_LEAST) or age >= PLAIN_MOST:
            output.say("; ".join([progress.summary, *_stuck(progress)]))
            reported, last = step, time.monotonic()


def _stuck(progress: Progress) -> Iterator[str]:
    """Yield what paused and closed lanes wait for: the last column of the table, as text."""
    for lane in progress.runner.lanes:
        if lane.closed is not None or lane.paused or lane.pause_left >= 1:
            yield f"{lane.name} waits for {waiting(lane)}" if lane.paused else f"{lane.name} {waiting(lane)}"


@asynccontextmanager
async def _live(runner: Runner, reader: Reader) -> AsyncIterator[None]:
    from rich.console import Console
    from rich.live import Live

    progress = Progress(runner, await to_thread.run_sync(reader.lanes, runner.batch_id))
    console = Console(stderr=True)
    with Live(_screen(progress, console.width), console=console, auto_refresh=False, transient=True) as live:
        async with create_task_group() as tasks:
            tasks.start_soon(_redraw, live, progress)
            yield
            tasks.cancel_scope.cancel()


async def _redraw(live: Live, progress: Progress) -> None:
    while True:
        await sleep(REFRESH)
        live.update(_screen(progress, live.console.width), refresh=True)


def _screen(progress: Progress, width: int) -> RenderableType:
    columns = _columns(width)
    return screen(columns, ([row[head] for head in columns] for row in _rows(progress)), progress.summary)


def screen(heads: Sequence[str], rows: Iterable[Sequence[str]], summary: str) -> RenderableType:
    """Return a table with figures to the right and texts to the left, and a line below it."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for head in heads:
        side: Literal["left", "right"] = "left" if head in _TEXTS else "right"
        table.add_column(head, justify=side, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(Text(output.printable(cell)) for cell in row))
    return Group(table, Text(output.printable(summary)))


def _columns(width: int) -> list[str]:
    minimum = {"provider": 0, "done": 0, "in flight": 0, "failed": 40, "spent": 50, "waiting for": 60}
    return [head for head, room in minimum.items() if width >= room]


def _rows(progress: Progress) -> Iterator[dict[str, str]]:
    for lane in progress.runner.lanes:
        spent = usd(lane.usd) + (f" {credits_(lane.credits)} cr" if lane.credits else "")
        yield {
            "provider": lane.name,
            "done": str(lane.done),
            "in flight": f"{lane.in_flight}/{lane.width}",
            "failed": str(lane.failed) if lane.failed else "",
            "spent": spent,
            "waiting for": waiting(lane),
        }
