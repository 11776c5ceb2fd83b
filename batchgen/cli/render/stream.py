"""A run as JSON lines on stdout, for programs that follow it: start, job, progress, warning, summary."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from anyio import create_task_group, sleep, to_thread

from ...money import show_usd
from .. import output
from .progress import LaneEvents, Progress

if TYPE_CHECKING:
    from ...app.figures import RunFigures
    from ...engine.attempts import OpenAttempt
    from ...engine.lane import Lane
    from ...engine.runner import Runner
    from ...job import Settlement
    from ...store.reader import Reader

#: Seconds between two looks at the lanes, and at least between two lines of progress.
LOOK, LEAST = 0.25, 2.0


@contextmanager
def streamed() -> Iterator[Stream]:
    """Yield the stream of a run; at the end, wait until its lines are read, or the reader is gone."""
    stream = Stream()
    try:
        yield stream
    finally:
        stream.close()


class Stream:
    """The lines of one run, written by a thread.

    Otherwise a slow reader would block the event loop, and with it the requests in flight: their deadlines would pass,
    and images that were paid for would be bought again.
    """

    def __init__(self) -> None:
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._writer = Thread(target=self._write, daemon=True)  # the program may be ended while nothing reads stdout
        self._writer.start()

    def put(self, kind: str, **values: object) -> None:
        """Add one line; None is left out."""
        self.put_document(kind, {name: value for name, value in values.items() if value is not None})

    def put_document(self, kind: str, document: Mapping[str, object]) -> None:
        """Add *document* as one line."""
        self._lines.put(output.to_json({"type": kind, **document}))

    def close(self) -> None:
        """Wait until all lines are written."""
        self._lines.put(None)
        self._writer.join()

    @asynccontextmanager
    async def follow(self, runner: Runner, reader: Reader) -> AsyncIterator[None]:
        """Stream a run: its start, every request that ends, and its progress."""
        progress = Progress(runner, await to_thread.run_sync(reader.lanes, runner.batch_id))
        attempts = runner.attempts
        runner.subscribe(self._job)
        self.put(
            "start",
            schema_version=1,
            run=attempts.run_id,
            batch=attempts.batch,
            folder=attempts.folder,
            jobs=_batch_jobs(progress.figures()),
            run_jobs={"total": progress.jobs, "done": 0, "left": progress.jobs},
            providers=[lane.name for lane in runner.lanes],
        )
        async with create_task_group() as tasks:
            tasks.start_soon(self._report, progress)
            yield
            tasks.cancel_scope.cancel()
        self._progress(progress)

    def _write(self) -> None:
        try:
            while (text := self._lines.get()) is not None:
                output.raw_unbuffered(text)
        except BrokenPipeError:
            pass  # The run continues without a reader; its exit code still reports the result.
        except OSError as error:
            output.say(f"--progress json: stdout cannot be written: {error.strerror}; the run continues")

    def _job(self, lane: Lane, opened: OpenAttempt, settlement: Settlement | None) -> None:
        from ...app.monitoring.events import call_fields, settlement_fields

        if settlement is None:
            return
        name, _, values = settlement_fields(opened, settlement)
        outcome = getattr(settlement.event, "outcome", None)
        files = [artifact.path for artifact in outcome.artifacts] if outcome is not None else None
        self.put("job", event=name, **call_fields(lane, opened), **values, files=files)

    async def _report(self, progress: Progress) -> None:
        reported, at, events = -1, time.monotonic(), LaneEvents(progress.runner)
        while True:
            await sleep(LOOK)
            for text in events.lines():
                self.put("warning", message=text)
            if (ended := progress.figures().ended) != reported and time.monotonic() - at >= LEAST:
                self._progress(progress)
                reported, at = ended, time.monotonic()

    def _progress(self, progress: Progress) -> None:
        figures = progress.figures()
        left = figures.seconds_left
        self.put(
            "progress",
            jobs=_batch_jobs(figures),
            run_jobs={"total": figures.ended + figures.left, "done": figures.done, "left": figures.left},
            failed=figures.failed,
            in_flight=figures.in_flight,
            images=sum(each.images for each in figures.providers),
            images_per_minute=round(figures.per_minute, 1),
            usd=show_usd(figures.usd),
            seconds_left=None if left is None else round(left),
        )


def _batch_jobs(figures: RunFigures) -> dict[str, int]:
    counts = figures.counts
    return {"total": counts.total, "done": counts.done, "left": counts.pending + counts.running}
