"""Committer: the one thread and connection that write, with group commit.

Everything that waits when the thread is free becomes one transaction, so that a thousand concurrent writes share a
sync. A single write is durable at once; it waits for company only while the caller has it *pause*, or if it is
*patient*. Results are returned only after a commit with synchronous=FULL.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ..database_url import Database
from ..errors import BatchgenError, StoreError
from . import totals
from .connection import checkpoint, patiently, writing
from .database_errors import explain, is_busy, is_fatal
from .dialects import LEDGER, lock_rows_of
from .last_transaction import LastTransaction, remove_tokens

T = TypeVar("T")

#: The largest group, so that its first command does not wait for a flood of others.
LARGEST = 500
#: Seconds that patient commands wait for one that starts a commit.
PATIENCE = 0.003


@dataclass(slots=True)
class _Command:
    """Work to do inside a transaction, and the future for its result, which belongs to the caller's event loop."""

    work: Callable[[Connection], object]
    answer: asyncio.Future[Any]
    patient: bool  #: can wait for others that start a commit
    result: object = None  #: a BaseException is raised for the caller


#: A future and its result.
_Answer = tuple[asyncio.Future[Any], object]


class Committer:
    """Executes commands on the only connection that writes.

    A command either raises a BatchgenError before it writes anything, or *returns* one: then everything that it wrote
    is kept, and its caller receives the error.
    """

    def __init__(
        self, path: Database, *, patience: float = 120.0, guest: bool = False, pause: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._path = path
        self._guest = guest  #: writes while another process holds the run lock and checkpoints the log
        self._patience = patience  #: seconds to keep trying while another process holds the database
        self._pause = pause  #: returns the seconds that a group waits for more commands
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

    def post(self, work: Callable[[Connection], T | BatchgenError], *, patient: bool = False) -> asyncio.Future[T]:
        """Queue *work* and return a future for its result, which is set once it is durable."""
        command = _Command(work, asyncio.get_running_loop().create_future(), patient)
        with self._gate:
            if self._ended is not None:
                raise self._ended
            self._inbox.put(command)
        return command.answer

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
                        _close_blocks(connection)
                    with suppress(DBAPIError, StoreError):  # A later program removes them.
                        remove_tokens(connection)
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
        command = self._inbox.get()
        if command is None:
            return False
        self._group = [command]
        if pause := self._pause():
            time.sleep(pause)  # a sleeping thread is not woken by each command
        else:
            self._await_company()
        while len(self._group) < LARGEST and self._receive(0):
            pass
        return True

    def _await_company(self) -> None:
        """Wait for a command that starts the commit, as long as all commands of the group can wait."""
        deadline = time.monotonic() + PATIENCE
        while all(command.patient for command in self._group):
            if not self._receive(deadline - time.monotonic()):
                return

    def _receive(self, seconds: float) -> bool:
        """Add the next command to the group; return False if none comes within *seconds*, or at the end."""
        try:
            command = self._inbox.get(timeout=seconds) if seconds > 0 else self._inbox.get_nowait()
        except Empty:
            return False
        if command is None:
            self._inbox.put(None)  # the group comes first; read the end again next time
            return False
        self._group.append(command)
        return True

    def _execute(self, connection: Connection) -> None:
        try:
            self._commit(connection, self._group)
        except Exception as error:
            if is_fatal(error):
                raise
            # One failing command must not fail the others, so each gets its own transaction.
            for command in self._group:
                self._execute_alone(connection, command)

    def _execute_alone(self, connection: Connection, command: _Command) -> None:
        try:
            self._commit(connection, [command])
        except Exception as error:
            if is_fatal(error):
                raise
            from_database = isinstance(error, DBAPIError | sqlite3.Error)
            command.result = explain(error, self._path) if from_database else error
            _deliver([command])

    def _commit(self, connection: Connection, group: list[_Command]) -> None:
        last = LastTransaction()
        try:
            _transact(connection, group, last)
        except Exception as error:
            if not is_busy(error):
                raise
            patiently(self._patience)(_transact, connection, group, last)
        self.commits += 1
        _deliver(group)

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
            command.result = reason
        _deliver(waiting)


def _transact(connection: Connection, group: list[_Command], last: LastTransaction) -> None:
    """Carry the commands out in one transaction, unless the *last* one did, and only its answer was lost."""
    if not last.is_committed(connection):
        with connection.begin():
            last.record(connection)
            lock_rows_of(connection, LEDGER, shared=True)
            for command in group:
                command.result = _result(connection, command.work)


def _close_blocks(connection: Connection) -> None:
    """Close full blocks of the ledger, after the commands have their answers: a failure must not repeat them."""
    try:
        totals.close_after_commit(connection)
    except Exception as error:
        if not is_busy(error):
            raise
        # Sums are right all the same, and the next full block closes this one, too.


def _result(connection: Connection, work: Callable[[Connection], object]) -> object:
    try:
        return work(connection)
    except BatchgenError as refusal:  # raised before it wrote anything: the other commands are not affected
        return refusal


def _deliver(commands: list[_Command]) -> None:
    """Give the results to their callers; each event loop wakes up once for all of its commands."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Answer]] = {}
    for command in commands:
        by_loop.setdefault(command.answer.get_loop(), []).append((command.answer, command.result))
    for loop, answers in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: its callers are gone
            loop.call_soon_threadsafe(_set_results, answers)


def _set_results(answers: list[_Answer]) -> None:
    for answer, result in answers:
        if answer.done():  # its caller was cancelled, or the writer gave up after it had answered
            continue
        if isinstance(result, BaseException):
            answer.set_exception(result)
            answer.exception()  # the caller may be gone, and asyncio must not log the error as never retrieved
        else:
            answer.set_result(result)
