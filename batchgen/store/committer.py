"""Committer: the one thread and connection that write, with group commit and without a timer.

Everything that waits when the thread is free becomes one transaction: a single write is durable at once, and a
thousand concurrent ones share an fsync. Results are returned only after a commit with synchronous=FULL.
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

from ..errors import BatchgenError, StoreError
from .connection import FATAL, checkpoint, explain, is_busy, patiently, result_code, writing

T = TypeVar("T")

#: The largest group, so that its first command does not wait for a flood of others.
LARGEST = 500


@dataclass(slots=True)
class _Command:
    """Work to do inside a transaction, and the future for its result."""

    work: Callable[[Connection], object]
    answer: Future[Any] = field(default_factory=Future)


class Committer:
    """Executes commands on the only connection that writes.

    A command either raises a BatchgenError before it writes anything, or *returns* one: then everything that it wrote
    is kept, and its caller receives the error.
    """

    def __init__(self, path: Path, *, patience: float = 120.0, guest: bool = False) -> None:
        self._path = path
        self._guest = guest  #: writes while another process holds the run lock and checkpoints the log
        self._patience = patience  #: seconds to keep trying while another process holds the database
        self._inbox: SimpleQueue[_Command | None] = SimpleQueue()
        self._gate = Lock()  #: guards ``_ended``, after which nothing enters the inbox
        self._ended: StoreError | None = None
        self._group: list[_Command] = []
        self.commits = 0
        connected: Future[None] = Future()
        self._thread = Thread(target=self._live, args=(connected,), name="batchgen-writer", daemon=True)
        self._thread.start()
        connected.result()

    async def submit(self, work: Callable[[Connection], T | BatchgenError]) -> T:
        """Return the result of *work* once it is durable; the work is done even if the caller is cancelled."""
        return await self.post(work)

    def post(self, work: Callable[[Connection], T | BatchgenError]) -> asyncio.Future[T]:
        """Queue *work* and return a future for its result, which is set once it is durable."""
        command = _Command(work)
        command.answer.set_running_or_notify_cancel()  # from here on a cancelled caller cannot cancel it
        with self._gate:
            if self._ended is not None:
                raise self._ended
            self._inbox.put(command)
        answer: asyncio.Future[T] = asyncio.wrap_future(command.answer)
        answer.add_done_callback(_retrieve_error)
        return answer

    def close(self) -> None:
        """Execute what still waits, shrink the log, and end the thread."""
        with self._gate:
            if self._ended is None:
                self._ended = StoreError(f"Job database {self._path}: it is closed.")
                self._inbox.put(None)
        self._thread.join()

    # --- inside the thread ----------------------------------------------------

    def _live(self, connected: Future[None]) -> None:
        try:
            engine = writing(self._path, guest=self._guest)
            try:
                with engine.connect() as connection:
                    connected.set_result(None)
                    while self._take():
                        self._execute(connection)
                    if not self._guest:
                        checkpoint(connection)
            finally:
                engine.dispose()
        except BaseException as error:  # noqa: BLE001 - without a writer nothing may continue, whatever the error
            reason = error if isinstance(error, StoreError) else explain(error, self._path)
            if not connected.done():
                connected.set_exception(reason)
            self._give_up(reason)

    def _take(self) -> bool:
        """Fill the group with everything that waits; return False at the end."""
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
            self._inbox.put(None)  # the group comes first; read the end again next time
        return bool(self._group)

    def _execute(self, connection: Connection) -> None:
        try:
            self._commit(connection, self._group)
        except Exception as error:
            if _is_fatal(error):
                raise
            # One failing command must not fail the others, so each gets its own transaction.
            for command in self._group:
                self._execute_alone(connection, command)

    def _execute_alone(self, connection: Connection, command: _Command) -> None:
        try:
            self._commit(connection, [command])
        except Exception as error:
            if _is_fatal(error):
                raise
            from_database = isinstance(error, DBAPIError | sqlite3.Error)
            command.answer.set_exception(explain(error, self._path) if from_database else error)

    def _commit(self, connection: Connection, group: list[_Command]) -> None:
        answers = patiently(self._patience)(_transact, connection, group)
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


def _retrieve_error(answer: asyncio.Future[Any]) -> None:
    """Retrieve an error whose caller is gone, so that asyncio does not log it as never retrieved."""
    if not answer.cancelled():
        answer.exception()


def _transact(connection: Connection, group: list[_Command]) -> list[object]:
    with connection.begin():
        return [_answer(connection, command.work) for command in group]


def _answer(connection: Connection, work: Callable[[Connection], object]) -> object:
    try:
        return work(connection)
    except BatchgenError as refusal:  # raised before it wrote anything: the other commands are not affected
        return refusal


def _is_fatal(error: BaseException) -> bool:
    return result_code(error) in FATAL or is_busy(error) or getattr(error, "connection_invalidated", False)
