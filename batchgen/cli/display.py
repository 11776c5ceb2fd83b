"""A run while it goes on: a live table on a terminal, plain lines elsewhere.  On stderr."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Literal

from anyio import create_task_group, sleep, to_thread

from ..fault import Cause
from . import words

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from ..app.run import Follow
    from ..lane import Lane
    from ..ledger import Counts
    from ..runner import Runner
    from ..store.reader import Reader

#: Plain progress: a line at most so often (seconds), and at least so often while something changes.
PLAIN_LEAST, PLAIN_MOST = 2.0, 60.0
REFRESH = 0.25
#: Seconds of a pause from which on it is told.
LONG_PAUSE = 20.0


def follower(mode: str) -> Follow:
    """Return what shows a run: "bar", "plain" or "none"."""
    shown = {"bar": _live, "plain": _plain, "none": _silent}[mode]

    def follow(runner: Runner, reader: Reader) -> AbstractAsyncContextManager[None]:
        return shown(runner, reader)

    return follow


class Progress:
    """The figures of a run: what the job table said at the start, and what the lanes did since."""

    def __init__(self, runner: Runner, start: Mapping[str, Counts]) -> None:
        self.runner = runner
        self._start = start
        self._began = time.monotonic()

    @property
    def total(self) -> int:
        """Return how many jobs the batch has."""
        return sum(counts.total for counts in self._start.values())

    @property
    def done(self) -> int:
        """Return how many of them are done."""
        return sum(counts.done for counts in self._start.values()) + sum(lane.done for lane in self.runner.lanes)

    @property
    def left(self) -> int:
        """Return how many still wait or are under way."""
        began = sum(counts.pending + counts.running for counts in self._start.values())
        return max(0, began - sum(lane.done + lane.failed + lane.doubtful for lane in self.runner.lanes))

    @property
    def images(self) -> int:
        """Return the images of this run."""
        return sum(lane.images for lane in self.runner.lanes)

    @property
    def per_minute(self) -> float:
        """Return images per minute so far."""
        return self.images / max(1e-9, time.monotonic() - self._began) * 60

    @property
    def summary(self) -> str:
        """Return one line: jobs, images, pace, spend, time left."""
        lanes = self.runner.lanes
        failed, left = sum(lane.failed for lane in lanes), self.left
        parts = [f"{self.done}/{self.total} jobs done"]
        parts += [f"{failed} failed"] if failed else []
        parts += [f"{sum(lane.in_flight for lane in lanes)} in flight", f"{self.per_minute:.0f} images/min"]
        parts.append(f"spent {words.usd(sum(lane.usd for lane in lanes))}")
        if left and self.images:
            parts.append(f"about {words.duration(left / self.per_minute * 60)} left")
        if self.runner.draining:
            parts.append("stopping: no new calls; those under way are waited for (again to cut them off)")
        return ", ".join(parts)


def waiting(lane: Lane) -> str:
    """Return what a lane waits for, and why; "" where it just works."""
    if lane.closed is not None:
        return f"closed: {words.short(lane.fault.message, 90)}" if lane.fault else f"closed: {lane.closed}"
    if lane.held:
        return f"you: batchgen resume-lane {lane.provider}"
    pause = lane.pause_left
    if pause >= 1 and lane.fault is not None:
        why = "throttled" if lane.fault.cause is Cause.THROTTLED else words.short(lane.fault.message, 50)
        return f"{why}, on in {words.duration(pause)}"
    if lane.waits == "pace" and (left := lane.wait(1)) >= LONG_PAUSE:
        return f"its limits, on in {words.duration(left)}"
    return lane.waits


def _waits_long(lane: Lane) -> bool:
    if lane.fault is not None:
        return lane.pause_left >= LONG_PAUSE
    return lane.waits == "pace" and lane.wait(1) >= LONG_PAUSE


class News:
    """What happens to lanes, told once each: closed, in a long pause, taking calls again."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._down: dict[str, bool] = {}  #: lanes that were told of, and whether they are closed

    def lines(self) -> Iterator[str]:
        """Yield what is new."""
        for lane in self._runner.lanes:
            told, closed = self._down.get(lane.name), lane.closed is not None
            if closed and not told:
                self._down[lane.name] = True
                yield f"{lane.name}: {waiting(lane)}"
            elif not closed and told is None and _waits_long(lane):
                self._down[lane.name] = False
                yield f"{lane.name}: {waiting(lane)}"
            elif not closed and told is not None and lane.fault is None and not _waits_long(lane):
                del self._down[lane.name]
                yield f"{lane.name}: takes calls again"


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
    """Say one line for every twentieth done, not more often than every other second, not less than every minute."""
    said, last = -1, time.monotonic()
    news = News(progress.runner)
    while True:
        await sleep(REFRESH)
        for line in news.lines():
            words.say(line)
        step = progress.done * 20 // (progress.total or 1)
        age = time.monotonic() - last
        if (step != said and age >= PLAIN_LEAST) or age >= PLAIN_MOST:
            words.say("; ".join([progress.summary, *_stuck(progress)]))
            said, last = step, time.monotonic()


def _stuck(progress: Progress) -> Iterator[str]:
    """Yield which lanes wait for more than their turn, and for what: the last column of the table, in words."""
    for lane in progress.runner.lanes:
        if lane.closed is not None or lane.held or lane.pause_left >= 1:
            yield f"{lane.name} waits for {waiting(lane)}" if lane.held else f"{lane.name} {waiting(lane)}"


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
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    shown = _columns(width)
    for head in shown:
        side: Literal["left", "right"] = "left" if head in ("provider", "waiting for") else "right"
        table.add_column(head, justify=side, no_wrap=True, overflow="ellipsis")
    for row in _rows(progress):
        table.add_row(*(Text(row[head]) for head in shown))
    return Group(table, Text(progress.summary, no_wrap=False))


def _columns(width: int) -> list[str]:
    """Return the columns of the table that are worth their room on a terminal of *width*."""
    least = {"provider": 0, "done": 0, "in flight": 0, "failed": 40, "spent": 50, "waiting for": 60}
    return [head for head, room in least.items() if width >= room]


def _rows(progress: Progress) -> Iterator[dict[str, str]]:
    for lane in progress.runner.lanes:
        spent = words.usd(lane.usd) + (f" {words.credits_(lane.credits)} cr" if lane.credits else "")
        yield {
            "provider": lane.name,
            "done": str(lane.done),
            "in flight": f"{lane.in_flight}/{lane.width}",
            "failed": str(lane.failed) if lane.failed else "",
            "spent": spent,
            "waiting for": words.printable(waiting(lane)),
        }
