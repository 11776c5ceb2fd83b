"""Background task of a run that writes derived copies, on a few threads, while requests are in flight."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from anyio import CapacityLimiter, Event, create_task_group, move_on_after, to_thread

from ..engine.attempts import OpenAttempt
from ..engine.lane import Lane
from ..files import log
from ..job import Delivery, Incomplete, PartialDelivery, Settlement
from ..store.queries import files
from ..store.reader import Reader
from ..store.records import DeliveredFile
from .deliver import Copies, CopyFailure, CopyReport, Order
from .run_options import ShowMessage

#: Threads that make copies: half of the processors, so that answers do not wait for them.
THREADS = max(1, (os.cpu_count() or 2) // 2)
#: Seconds after the last answer before the user reads that copies are still being written.
_PATIENCE = 2.0


class CopyTask:
    """Writes the copies of a batch: first those that earlier runs left out, then those of each job that is settled."""

    def __init__(self, copies: Copies, reader: Reader, batch_id: int, show_message: ShowMessage) -> None:
        self.report = CopyReport()
        self._copies = copies
        self._reader = reader
        self._batch_id = batch_id
        self._show_message = show_message
        self._limiter = CapacityLimiter(THREADS)
        self._due: list[int] = []  #: ids of jobs that were settled
        self._news = Event()
        self._ending = False
        self._is_stopped: Callable[[], bool] = lambda: False

    def record(self, lane: Lane, opened: OpenAttempt, settlement: Settlement | None) -> None:
        """Note that a job has new files; listens to the runner."""
        del lane
        if settlement is not None and isinstance(settlement.event, Delivery | PartialDelivery | Incomplete):
            self._due.append(opened.job.id)
            self._news.set()

    @asynccontextmanager
    async def around(
        self, display: AbstractAsyncContextManager[None], is_stopped: Callable[[], bool]
    ) -> AsyncIterator[None]:
        """Write copies while *display* is open, and the rest after it, unless the run is stopped by a signal."""
        self._is_stopped = is_stopped
        finished = Event()
        async with create_task_group() as tasks:
            tasks.start_soon(self._run, finished)
            async with display:
                yield
            self._ending = True
            self._news.set()
            with move_on_after(_PATIENCE):
                await finished.wait()
            if not finished.is_set() and not is_stopped():
                self._show_message("copies    are still being written; Ctrl-C leaves the rest to the next run")
            await finished.wait()

    async def _run(self, finished: Event) -> None:
        try:
            await self._sweep()
            while not (self._ending and not self._due):
                if not self._due:
                    await self._news.wait()
                self._news = Event()
                settled, self._due = self._due, []
                await self._write_all(await to_thread.run_sync(self._files_of, settled))
        except Exception as error:  # noqa: BLE001 - a bug here must not end a run that buys images
            log.event("copies_failed", logging.ERROR, error=repr(error))
            self.report.failures.append(CopyFailure(path="", message=f"{type(error).__name__}: {error}"))
        finally:
            finished.set()

    async def _sweep(self) -> None:
        pages = self._reader.files(self._batch_id)
        while (page := await to_thread.run_sync(next, pages, None)) is not None:
            await self._write_all(page)

    def _files_of(self, settled: Sequence[int]) -> list[DeliveredFile]:
        return self._reader.ask(partial(files, ids=sorted(set(settled))))

    async def _write_all(self, page: Sequence[DeliveredFile]) -> None:
        orders = iter(await to_thread.run_sync(list, self._copies.orders(page)))
        async with create_task_group() as tasks:
            for _ in range(THREADS):
                tasks.start_soon(self._write_each, orders)

    async def _write_each(self, orders: Iterator[Order]) -> None:
        for order in orders:
            if self._is_stopped() or any(failure.fatal for failure in self.report.failures):
                self.report.unfinished = True
                return
            written, failures = await to_thread.run_sync(self._copies.write, order, limiter=self._limiter)
            self.report.written += written
            self.report.failures += failures
            for failure in failures:
                log.event("copy_failed", logging.WARNING, path=failure.path, message=failure.message)
