"""One batch of the job table, as a plan is compared with it.  A doer: short read-only transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from sqlalchemy import Connection

from ..fingerprint import AMENDED
from ..job import State
from ..planning.plan import Row
from ..task import Task
from .connection import driver
from .rows import decode_task, encode_list

PAGE = 5_000  #: keys read in one transaction

_STATES = {state.value: state for state in State}

_WANTED = "FROM json_each(?) AS wanted CROSS JOIN jobs ON jobs.batch_id = ? AND jobs.key = wanted.value"
_ROWS = f"SELECT jobs.key, jobs.id, jobs.state, jobs.fingerprint, jobs.cause {_WANTED}"
_TASKS = f"SELECT jobs.key, jobs.task {_WANTED}"
_MARKS = f"SELECT key, fingerprint FROM jobs WHERE batch_id = ? AND instr(fingerprint, '{AMENDED}')"  # noqa: S608
_COUNT = "SELECT count(*) FROM jobs WHERE batch_id = ? AND id < ?"
#: By key: that index holds all that is asked for.
_KEYS = "SELECT key, id FROM jobs WHERE batch_id = ? AND key > ? ORDER BY key LIMIT ?"


class BatchLookup:
    """What the job table knows of a batch; each question sees the table as it is then."""

    def __init__(self, opened: Callable[[], AbstractContextManager[Connection]], batch_id: int) -> None:
        self._opened = opened
        self._batch_id = batch_id

    def lookup(self, keys: Sequence[str]) -> Mapping[str, Row]:
        """Return those of *keys* that the batch has, orphaned ones too."""
        with self._opened() as connection:
            found = driver(connection).execute(_ROWS, (encode_list(keys), self._batch_id))
            return {key: Row(number, _STATES[state], mark, cause) for key, number, state, mark, cause in found}

    def tasks(self, keys: Sequence[str]) -> Mapping[str, Task]:
        """Return what those of *keys* that the batch has asked for when they were loaded."""
        with self._opened() as connection:
            found = driver(connection).execute(_TASKS, (encode_list(keys), self._batch_id))
            return {key: decode_task(task) for key, task in found}

    def amended(self) -> Mapping[str, str]:
        """Return the marks of those jobs that were asked for otherwise than by their manifest, by key."""
        with self._opened() as connection:
            return dict(driver(connection).execute(_MARKS, (self._batch_id,)).fetchall())

    def last_id(self) -> int:
        """Return the highest id of a job, of whatever batch: ``bytearray(last_id() + 1)`` has a byte for each."""
        with self._opened() as connection:
            [(last,)] = driver(connection).execute("SELECT coalesce(max(id), 0) FROM jobs")
            return int(last)

    def others(self, seen: bytearray) -> Iterator[str]:
        """Yield the keys of those jobs of the batch whose id is not marked in *seen*, a page per transaction.

        Jobs added after *seen* was made are left out.
        """
        size, last = len(seen), ""
        with self._opened() as connection:
            [(count,)] = driver(connection).execute(_COUNT, (self._batch_id, size))
        page = [] if count == seen.count(1) else self._page(last)
        while page:
            yield from (key for key, number in page if number < size and not seen[number])
            last = page[-1][0]
            page = self._page(last) if len(page) == PAGE else []

    def _page(self, after: str) -> list[tuple[str, int]]:
        with self._opened() as connection:
            return driver(connection).execute(_KEYS, (self._batch_id, after, PAGE)).fetchall()
