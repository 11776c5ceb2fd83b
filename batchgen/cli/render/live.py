"""The display of a run on stderr: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio import create_task_group, sleep, to_thread

from ...app import live_state
from .. import output
from .figures import bar, rows, summary, sums
from .progress import LaneEvents, Progress, waiting

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from ...app.figures import ProviderFigures, RunFigures
    from ...app.project import Project
    from ...app.run import Follow
    from ...engine.runner import Runner
    from ...store.reader import Reader

#: Seconds between two plain lines: at least, and at most while something changes.
PLAIN_LEAST, PLAIN_MOST = 2.0, 60.0
REFRESH = 0.25
#: Seconds between two states that ``watch`` reads.
PUBLISHED = 1.0


def follower(mode: str) -> Follow:
    """Return the display "bar", "plain" or "none"."""
    return {"bar": _live, "plain": _plain, "none": _silent}[mode]


@asynccontextmanager
async def _silent(runner: Runner, reader: Reader) -> AsyncIterator[None]:
    del runner, reader
    yield


def publisher(project: Project) -> Follow:
    """Return a follower that publishes what ``watch`` cannot read in the job database."""

    @asynccontextmanager
    async def publish(runner: Runner, reader: Reader) -> AsyncIterator[None]:
        progress = Progress(runner, await to_thread.run_sync(reader.lanes, runner.batch_id))
        async with create_task_group() as tasks:
            tasks.start_soon(_publish, project, progress)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()
                live_state.remove(project, runner.attempts.run_id)

    return publish


async def _publish(project: Project, progress: Progress) -> None:
    before = ""
    while True:
        await sleep(PUBLISHED)
        text = progress.state().as_text()
        if text != before:
            await to_thread.run_sync(live_state.write, project, progress.runner.attempts.run_id, text)
            before = text


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
        step = int(progress.figures().share * 20)
        age = time.monotonic() - last
        if (step != reported and age >= PLAIN_LEAST) or age >= PLAIN_MOST:
            output.say("; ".join([summary(progress.figures()), *_stuck(progress)]))
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
    with Live(screen(progress.figures(), console.width), console=console, auto_refresh=False, transient=True) as live:
        async with create_task_group() as tasks:
            tasks.start_soon(_redraw, live, progress)
            yield
            tasks.cancel_scope.cancel()


async def _redraw(live: Live, progress: Progress) -> None:
    while True:
        await sleep(REFRESH)
        live.update(screen(progress.figures(), live.console.width), refresh=True)


def screen(figures: RunFigures, width: int) -> RenderableType:
    """Return what a terminal shows of a run: a bar, a row for each provider, and the sums."""
    from rich.text import Text

    name, filled, empty, end = bar(figures, width)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(output.printable(name), "bold").append(filled, "green").append(empty, "dim").append(f"{end}\n")
    head, *lines = rows(figures, width)
    text.append(f"{head}\n", "dim")
    for each, line in zip(figures.providers, lines, strict=True):
        text.append(f"{line}\n", _style(each))
    return text.append("\n".join(map(output.printable, sums(figures, width))))


def _style(each: ProviderFigures) -> str:
    if each.waits.startswith("closed"):
        return "red"
    return "yellow" if each.failed or each.unknown or "resumes in" in each.waits or "unpause" in each.waits else ""
