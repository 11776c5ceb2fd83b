"""Readers: the threads that read answers and publish their images; each holds one whole answer in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from anyio import CancelScope

from ..errors import StoreError
from ..files.group_thread import start_thread

T = TypeVar("T")

#: Work, and the future for its result.
_Piece = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class Readers:
    """A fixed number of threads, and a few that only prepare; all of them start before anything is sent.

    A hop to one costs 20 us of CPU, one by ``anyio.to_thread`` 55 us.
    """

    def __init__(self, count: int, helpers: int = 4) -> None:
        self.idle = count  #: how many readers have no work
        self._inbox: SimpleQueue[_Piece | None] = SimpleQueue()
        self._first: SimpleQueue[_Piece | None] = SimpleQueue()
        self._threads = list[tuple[Thread, SimpleQueue[_Piece | None]]]()
        try:
            for number in range(count + helpers):
                inbox = self._inbox if number < count else self._first
                self._threads.append((start_thread(f"batchgen-reader-{number}", partial(_live, inbox)), inbox))
        except StoreError:
            self.close()
            raise

    async def run(self, work: Callable[[], T], first: Callable[[], None] | None = None) -> T:
        """Return the result of *work*, done in the next thread that is free; a cancelled caller waits for it too.

        Where all are busy, *first*, which *work* begins with, is done by a helper at once.
        """
        if first is not None and self.idle <= 0:
            await _hop(self._first, first)
        self.idle -= 1
        try:
            return await _hop(self._inbox, work)
        finally:
            self.idle += 1

    def close(self) -> None:
        """End the threads, once they have done what waits."""
        for _, inbox in self._threads:
            inbox.put(None)
        for thread, _ in self._threads:
            thread.join()


async def _hop(inbox: SimpleQueue[_Piece | None], work: Callable[[], T]) -> T:
    answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    inbox.put((work, answer))
    with CancelScope(shield=True):
        await answer
    return answer.result()


def _live(inbox: SimpleQueue[_Piece | None]) -> None:
    while (piece := inbox.get()) is not None:
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
