"""Lookup of one batch, which a plan is compared with. Short read-only transactions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from sqlalchemy import Connection

from ..fingerprint import OVERRIDDEN
from ..job import State
from ..planning.compare import StoredJob
from ..task import Task
from .connection import driver
from .rows import decode_task, encode_list

PAGE = 5_000  #: keys read in one transaction

_STATES = {state.value: state for state in State}

_WANTED = "FROM json_each(?) AS wanted CROSS JOIN jobs ON jobs.batch_id = ? AND jobs.key = wanted.value"
_ROWS = f"SELECT jobs.key, jobs.id, jobs.state, jobs.fingerprint, jobs.cause {_WANTED}"
_TASKS = f"SELECT jobs.key, jobs.task {_WANTED}"
_OVERRIDDEN = f"SELECT key, fingerprint FROM jobs WHERE batch_id = ? AND instr(fingerprint, '{OVERRIDDEN}')"  # noqa: S608
_OVERRIDDEN_ORPHANS = f"{_OVERRIDDEN} AND orphaned_at IS NOT NULL"
_ORPHANED = "SELECT 1 FROM jobs WHERE batch_id = ? AND orphaned_at IS NOT NULL LIMIT 1"
#: ASCII sorts hexadecimal digits from "0" to "f", which "g" follows.
_HASHED = (
    "SELECT jobs.key, json_extract(jobs.task, '$.prompt') FROM json_each(?) AS stem CROSS JOIN jobs "
    "ON jobs.batch_id = ? AND jobs.key >= stem.value || '0' AND jobs.key < stem.value || 'g'"
)
#: Ordered by key, because the index on keys contains everything that is selected.
_KEYS = "SELECT key, id FROM jobs WHERE batch_id = ? AND key > ? ORDER BY key LIMIT ?"


class BatchLookup:
    """The jobs of one batch; each question sees the database as it is at that moment."""

    def __init__(self, connect: Callable[[], AbstractContextManager[Connection]], batch_id: int) -> None:
        self._connect = connect
        self._batch_id = batch_id

    def lookup(self, keys: Sequence[str]) -> Mapping[str, StoredJob]:
        """Return the jobs with these keys, including orphaned ones."""
        with self._connect() as connection:
            rows = driver(connection).execute(_ROWS, (encode_list(keys), self._batch_id))
            return {
                key: StoredJob(job_id, _STATES[state], fingerprint, cause)
                for key, job_id, state, fingerprint, cause in rows
            }

    def tasks(self, keys: Sequence[str]) -> Mapping[str, Task]:
        """Return the tasks of the jobs with these keys, as they were last loaded."""
        with self._connect() as connection:
            rows = driver(connection).execute(_TASKS, (encode_list(keys), self._batch_id))
            return {key: decode_task(task) for key, task in rows}

    def hashed_ids(self, stems: Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield id and prompt of the jobs whose ids start with one of *stems* and a hexadecimal digit."""
        with self._connect() as connection:
            yield from driver(connection).execute(_HASHED, (encode_list(stems), self._batch_id))

    def has_orphaned(self) -> bool:
        """Return whether there are jobs that are no longer in the manifest."""
        with self._connect() as connection:
            return driver(connection).execute(_ORPHANED, (self._batch_id,)).fetchone() is not None

    def overridden(self, *, only_orphaned: bool = False) -> Mapping[str, str]:
        """Return the fingerprints of jobs with overrides, by key; with *only_orphaned*, of orphaned ones, at once."""
        query = _OVERRIDDEN_ORPHANS if only_orphaned else _OVERRIDDEN
        with self._connect() as connection:
            return dict(driver(connection).execute(query, (self._batch_id,)).fetchall())

    def last_id(self) -> int:
        """Return the highest id of a job, of any batch."""
        with self._connect() as connection:
            [(last,)] = driver(connection).execute("SELECT coalesce(max(id), 0) FROM jobs")
            return int(last)

    def others(self, seen: Container[int], last_id: int) -> Iterator[str]:
        """Yield the keys of jobs up to *last_id* whose ids are not in *seen*, a page per transaction.

        *last_id* leaves out jobs that another process adds meanwhile.
        """
        page = self._page("")
        while page:
            yield from (key for key, job_id in page if job_id <= last_id and job_id not in seen)
            page = self._page(page[-1][0]) if len(page) == PAGE else []

    def _page(self, after: str) -> list[tuple[str, int]]:
        with self._connect() as connection:
            return driver(connection).execute(_KEYS, (self._batch_id, after, PAGE)).fetchall()
