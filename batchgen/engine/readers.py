"""Readers: the threads that read answers and publish their images; each holds one whole answer in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from anyio import CancelScope

from ..errors import StoreError
from ..files.group_thread import started

T = TypeVar("T")

#: Work, and the future for its result.
_Piece = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class Readers:
    """A fixed number of threads, started before anything is sent.

    A hop to one costs 20 us of CPU, one by ``anyio.to_thread`` 55 us.
    """

    def __init__(self, count: int) -> None:
        self.idle = count  #: how many threads have no work
        self._inbox: SimpleQueue[_Piece | None] = SimpleQueue()
        self._threads = list[Thread]()
        try:
            for number in range(count):
                self._threads.append(started(f"batchgen-reader-{number}", self._live))
        except StoreError:
            self.close()
            raise

    async def run(self, work: Callable[[], T]) -> T:
        """Return the result of *work*, done in the next thread that is free; a cancelled caller waits for it too."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.idle -= 1
        try:
            self._inbox.put((work, answer))
            with CancelScope(shield=True):
                await answer
        finally:
            self.idle += 1
        return answer.result()

    def close(self) -> None:
        """End the threads, once they have done what waits."""
        for _ in self._threads:
            self._inbox.put(None)
        for thread in self._threads:
            thread.join()

    def _live(self) -> None:
        while (piece := self._inbox.get()) is not None:
            _do(*piece)


def _do(work: Callable[[], Any], answer: asyncio.Future[Any]) -> None:
    settle: Callable[[Any], None] = answer.set_result
    try:
        result = work()
    except StopIteration as error:  # no future takes one
        settle, result = answer.set_exception, RuntimeError(repr(error))
    except BaseException as error:  # noqa: BLE001 - the caller must learn of any error, and the thread continues
        settle, result = answer.set_exception, error
    with suppress(RuntimeError):  # the loop was closed: its run was cut off
        answer.get_loop().call_soon_threadsafe(_settle, answer, settle, result)


def _settle(answer: asyncio.Future[Any], settle: Callable[[Any], None], result: object) -> None:
    if not answer.done():
        settle(result)
