"""One thread, one connection, and group commit without a timer.  A doer.

All that waits when the thread is free becomes one transaction, so a lone write is durable at once and a
thousand concurrent ones share an fsync.  What is answered has been committed with synchronous=FULL.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from ..errors import BatchgenError, StoreError
from .connection import FATAL, checkpoint, explain, is_busy, result_code, writing

T = TypeVar("T")

#: A group no larger than this, so that the first of it does not wait for the last of a flood.
LARGEST = 500


@dataclass(slots=True)
class _Command:
    """Work to do inside a transaction, and where its answer goes."""

    work: Callable[[Connection], object]
    answer: Future[Any] = field(default_factory=Future)


class Committer:
    """Carry out commands on the only connection that writes.

    A command raises a BatchgenError before it writes anything, or *returns* one that its caller shall get
    although all that the command wrote is kept.
    """

    def __init__(self, path: Path, *, patience: float = 120.0, guest: bool = False) -> None:
        self._path = path
        self._guest = guest  #: beside the holder of the lock, who keeps the log short
        self._patience = patience  #: seconds to keep trying while another process holds the database
        self._inbox: SimpleQueue[_Command | None] = SimpleQueue()
        self._gate = Lock()  #: nothing enters the inbox once ``_ended`` is set
        self._ended: StoreError | None = None
        self._group: list[_Command] = []
        self.commits = 0
        opened: Future[None] = Future()
        self._thread = Thread(target=self._live, args=(opened,), name="batchgen-writer", daemon=True)
        self._thread.start()
        opened.result()

    async def submit(self, work: Callable[[Connection], T | BatchgenError]) -> T:
        """Return what *work* answers once it is durable; it is carried out even if the waiter is cancelled."""
        return await self.post(work)

    def post(self, work: Callable[[Connection], T | BatchgenError]) -> asyncio.Future[T]:
        """Begin *work* and return where its answer will be once it is durable."""
        command = _Command(work)
        command.answer.set_running_or_notify_cancel()  # from here a cancelled waiter cannot take it back
        with self._gate:
            if self._ended is not None:
                raise self._ended
            self._inbox.put(command)
        answer: asyncio.Future[T] = asyncio.wrap_future(command.answer)
        answer.add_done_callback(_heard)
        return answer

    def close(self) -> None:
        """Carry out what still waits, shrink the log, and end the thread."""
        with self._gate:
            if self._ended is None:
                self._ended = StoreError(f"Job table {self._path}: it is closed.")
                self._inbox.put(None)
        self._thread.join()

    # --- inside the thread ----------------------------------------------------

    def _live(self, opened: Future[None]) -> None:
        try:
            engine = writing(self._path, guest=self._guest)
            try:
                with engine.connect() as connection:
                    opened.set_result(None)
                    while self._take():
                        self._carry_out(connection)
                    if not self._guest:
                        checkpoint(connection)
            finally:
                engine.dispose()
        except BaseException as error:  # noqa: BLE001 - whatever it was: without a writer nobody may go on
            reason = error if isinstance(error, StoreError) else explain(error, self._path)
            if not opened.done():
                opened.set_exception(reason)
            self._give_up(reason)

    def _take(self) -> bool:
        """Fill the group with all that waits; False at the end."""
        self._group = []
        command = self._inbox.get()
        while command is not None:
            self._group.append(command)
            if len(self._group) == LARGEST:
                return True
            try:
                command = self._inbox.get_nowait()
            except Empty:
                return True
        if self._group:
            self._inbox.put(None)  # the end was seen early: see it again next time
        return bool(self._group)

    def _carry_out(self, connection: Connection) -> None:
        try:
            self._commit(connection, self._group)
        except Exception as error:
            if _is_fatal(error):
                raise
            # One bad command must not take the others with it: each gets a transaction of its own.
            for command in self._group:
                self._alone(connection, command)

    def _alone(self, connection: Connection, command: _Command) -> None:
        try:
            self._commit(connection, [command])
        except Exception as error:
            if _is_fatal(error):
                raise
            known = isinstance(error, DBAPIError | sqlite3.Error)
            command.answer.set_exception(explain(error, self._path) if known else error)

    def _commit(self, connection: Connection, group: list[_Command]) -> None:
        patiently = Retrying(
            retry=retry_if_exception(is_busy),
            stop=stop_after_delay(self._patience),
            wait=wait_random_exponential(multiplier=0.01, max=1),
            reraise=True,
        )
        answers = patiently(_transact, connection, group)
        self.commits += 1
        for command, answer in zip(group, answers, strict=True):
            if isinstance(answer, BatchgenError):
                command.answer.set_exception(answer)
            else:
                command.answer.set_result(answer)

    def _give_up(self, reason: StoreError) -> None:
        with self._gate:
            self._ended = reason
        waiting = list(self._group)
        while True:
            try:
                command = self._inbox.get_nowait()
            except Empty:
                break
            if command is not None:
                waiting.append(command)
        for command in waiting:
            if not command.answer.done():
                command.answer.set_exception(reason)


def _heard(answer: asyncio.Future[Any]) -> None:
    """Take note of an error that nobody waits for any more, so that asyncio does not report it as lost."""
    if not answer.cancelled():
        answer.exception()


def _transact(connection: Connection, group: list[_Command]) -> list[object]:
    with connection.begin():
        return [_answer(connection, command.work) for command in group]


def _answer(connection: Connection, work: Callable[[Connection], object]) -> object:
    try:
        return work(connection)
    except BatchgenError as refusal:  # raised before it wrote: the others are not concerned
        return refusal


def _is_fatal(error: BaseException) -> bool:
    return result_code(error) in FATAL or is_busy(error) or getattr(error, "connection_invalidated", False)
