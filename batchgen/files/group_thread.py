"""Group thread: does all work that waits at once, so that a hundred calls share a wake-up, and what the work may share.

A hop of its own to a thread costs a call 55 us of CPU, a place in a group 5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Generic, TypeVar

from ..errors import StoreError

T = TypeVar("T")
R = TypeVar("R")

#: The largest group, so that its first member does not wait for a flood of others.
LARGEST = 100


def start_thread(name: str, work: Callable[[], None]) -> Thread:
    """Return a running thread; raise StoreError if this machine allows no more."""
    thread = Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:
        raise StoreError(
            f"cannot start a thread ({error}). Nothing was sent: allow more processes (ulimit -u) or free memory, "
            "then run the same command again"
        ) from error
    return thread


def in_thread(work: Callable[[], R]) -> asyncio.Future[R]:
    """Do *work* in a thread of its own and return a future for its result; the process may end before it does."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[R] = loop.create_future()

    def resolve(result: R | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(result)  # type: ignore[arg-type]
        else:
            answer.set_exception(error)
            answer.exception()  # Where it is not waited for any more, it is not an error either.

    def carry_out() -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - raised where the result is waited for
            failure = error
        with suppress(RuntimeError):  # The loop has ended.
            loop.call_soon_threadsafe(resolve, result, failure)

    start_thread("batchgen-work", carry_out)
    return answer


class GroupThread(Generic[T, R]):
    """A thread for one kind of work; it starts with the first piece, and ends with ``close`` or with the process."""

    def __init__(self, name: str, work: Callable[[Sequence[T]], Sequence[R | Exception]]) -> None:
        """*work* returns a result or an error for each piece, in order."""
        self._name = name
        self._work = work
        self._inbox: SimpleQueue[tuple[T, asyncio.Future[R]] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._starting = Lock()

    def submit(self, piece: T) -> asyncio.Future[R]:
        """Queue a piece of work and return a future for its result; it is done even if the future is cancelled.

        Raises StoreError if no thread can be started.
        """
        self.start()
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._inbox.put((piece, answer))
        return answer

    def close(self) -> None:
        """Do what still waits, and end the thread."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._inbox.put(None)
            thread.join()

    def start(self) -> None:
        """Start the thread, if it does not run yet; raise StoreError if this machine allows no more."""
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = start_thread(self._name, self._live)

    def _live(self) -> None:
        while True:
            group = [self._inbox.get()]
            while group[-1] is not None and len(group) < LARGEST:
                try:
                    group.append(self._inbox.get_nowait())
                except Empty:
                    break
            pieces = [member for member in group if member is not None]
            if pieces:
                self._do(pieces)
            if group[-1] is None:
                return

    def _do(self, group: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = self._work([piece for piece, _ in group])
        except Exception as error:  # noqa: BLE001 - those who wait must learn of any error
            results = [error] * len(group)
        answered: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[R], R | Exception]]] = {}
        for (_, answer), result in zip(group, results, strict=True):
            answered.setdefault(answer.get_loop(), []).append((answer, result))
        for loop, answers in answered.items():
            with suppress(RuntimeError):  # the loop was closed: its run was cut off
                loop.call_soon_threadsafe(_answer, answers)


def _answer(answers: Sequence[tuple[asyncio.Future[R], R | Exception]]) -> None:
    for answer, result in answers:
        if answer.done():
            continue
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)
