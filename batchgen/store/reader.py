"""Reader: all queries of the job database, in short read-only transactions.

Methods block, so asynchronous callers run them in a thread. Jobs that are no longer in the manifest are never due and
not counted, but can be looked up by name.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, exists, func, select, text
from sqlalchemy.exc import DBAPIError

from ..database_url import Database
from ..errors import NoSuchBatch, NotFound
from ..job import Job
from ..planning.selection import Selection
from ..route import ModelFilter
from .claims import open_attempts
from .connection import reading
from .database_errors import explain
from .history import LearnedRate, PastCall, learned_rates, past_calls
from .ledger import Calls, Counts, Failure, Spent, UsageLine
from .patience import patient
from .queries import (
    Scope,
    attempt_states,
    due,
    files,
    near_key,
    newest_attempt,
    pending,
    require_listed,
    scope_of,
    scope_of_ids,
    selected,
    sending_order,
    waiting,
)
from .records import AttemptRecord, Batch, Bill, DeliveredFile, DueFilter, Run, StoredArtifact, UnknownAttempt
from .repair import attempt_of_supplied_file, unknown_attempt
from .rows import listed, to_artifact, to_attempt, to_batch, to_job, to_run
from .tables import artifacts, attempts, batches, jobs, runs
from .usage import bills, booked, calls, spent, usage
from .usage_groups import ALWAYS, Period, UsageQuery, UsageSum

if TYPE_CHECKING:
    from .lookup import BatchLookup

T = TypeVar("T")

PAGE = 1_000  #: jobs read in one transaction, so that a long export does not block checkpoints


@patient
class Reader:
    """Reads the job database as plain values; methods raise StoreError if it cannot be read."""

    def __init__(self, path: Database) -> None:
        self._path, self._engine = path, reading(path)
        self.earlier_batch: str | None = None  #: the last one that was asked for, unless it is the one that ran last

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    # --- batches and runs -----------------------------------------------------

    def batches(self) -> list[Batch]:
        """Return every batch, last opened first."""
        with self._open() as connection:
            return [
                to_batch(row)
                for row in connection.execute(select(batches).order_by(batches.c.updated_at.desc())).mappings()
            ]

    def batch(self, name: str | None = None) -> Batch:
        """Return the batch *name*, or the last opened one; raise NotFound."""
        batches = self.batches()
        for number, batch in enumerate(batches):
            if name is None or batch.name == name:
                self.earlier_batch = batch.name if number else None
                return batch
        if not batches:
            raise NoSuchBatch(f"Job database {self._path} has no batch yet. `batchgen run MANIFEST` creates one.")
        raise NoSuchBatch(f"No batch {name!r}. There are: {', '.join(batch.name for batch in batches)}.")

    def batch_id(self, name: str) -> int | None:
        """Return the id of the batch *name*; None if the database does not know it."""
        with self._open() as connection:
            batch_id: int | None = connection.scalar(select(batches.c.id).where(batches.c.name == name))
            return batch_id

    def runs(self, batch_id: int) -> list[Run]:
        """Return the runs of a batch, latest first."""
        with self._open() as connection:
            newest_first = select(runs).where(runs.c.batch_id == batch_id).order_by(runs.c.started_at.desc())
            return [to_run(row) for row in connection.execute(newest_first).mappings()]

    # --- jobs to send ---------------------------------------------------------

    def lookup(self, batch_id: int) -> BatchLookup:
        """Return the lookup that a plan is compared with."""
        from .lookup import BatchLookup

        return BatchLookup(self._open, batch_id)

    def scope(self, batch_id: int, selection: Selection, only: Sequence[int] | None = None) -> Scope | None:
        """Return the scope of a run that starts now, None for all jobs; with *only*, exactly these jobs."""
        if only is None and selection.everything:
            return None
        with self._open() as connection:
            return scope_of(connection, batch_id, selection) if only is None else scope_of_ids(connection, only)

    def due(self, batch_id: int, wanted: DueFilter, limit: int, now: datetime, among: Scope | None = None) -> list[Job]:
        """Return the next jobs that may be sent at *now*, in order; with a scope, only jobs *among* it."""
        if among is not None:
            with self._open() as connection:
                return [to_job(row, row.batch_name) for row in among.due(connection, wanted, limit, now)]
        pending = select(jobs, batches.c.name.label("batch_name")).join(batches).where(jobs.c.batch_id == batch_id)
        return self._jobs(pending.where(*due(wanted, now)).order_by(*sending_order(wanted)).limit(limit))

    def next_retry(self, batch_id: int, wanted: DueFilter, among: Scope | None = None) -> datetime | None:
        """Return when the first waiting job may be sent; None if no job waits."""
        with self._open() as connection:
            if among is not None:
                return among.next_retry(connection, wanted)
            first = select(func.min(jobs.c.not_before)).where(jobs.c.batch_id == batch_id, *waiting(wanted))
            moment: datetime | None = connection.execute(first).scalar()
            return moment

    def open_attempts(
        self, batch_id: int, *, run_id: str | None = None, shard: tuple[int, int] | None = None
    ) -> list[tuple[Job, AttemptRecord]]:
        """Return the attempts that a killed run left open, with their jobs; with *shard*, only those of its jobs.

        Those of other runners that share the job database are theirs, or of who takes their place; *run_id* is not
        another runner.
        """
        return self.ask(partial(open_attempts, batch_id=batch_id, run_id=run_id, shard=shard))

    def learned_rates(self) -> dict[str, LearnedRate]:
        """Return the rates that runs have learned, by lane."""
        with self._open() as connection:
            return learned_rates(connection)

    # --- progress -------------------------------------------------------------

    def counts(self, batch_id: int) -> Counts:
        """Return the numbers of jobs of a batch by state."""
        totals: Counter[str] = Counter()
        for counts in self._tally(batch_id).values():
            totals.update(counts)
        with self._open() as connection:
            orphaned = select(func.count()).where(jobs.c.batch_id == batch_id, jobs.c.orphaned_at.is_not(None))
            return Counts(**totals, orphaned=connection.scalar(orphaned.select_from(jobs)) or 0)

    def lanes(self, batch_id: int) -> dict[str, Counts]:
        """Return the counts of each provider."""
        return {provider: Counts(**tally) for provider, tally in self._tally(batch_id).items()}

    def pending_of(self, batch_id: int, provider: str, models: Iterable[str]) -> int:
        """Return the number of pending jobs of a provider with these models."""
        wanted = DueFilter(provider=provider, models=ModelFilter(frozenset(models), only=True))
        with self._open() as connection:
            here = select(func.count()).select_from(jobs).where(jobs.c.batch_id == batch_id, *pending(wanted))
            return connection.scalar(here) or 0

    def failures(self, batch_id: int) -> list[Failure]:
        """Return the failed jobs by cause with an example, most frequent first."""
        with self._open() as connection:
            failed = select(jobs.c.cause, func.count(), func.min(jobs.c.id))
            failed = failed.where(jobs.c.batch_id == batch_id, jobs.c.orphaned_at.is_(None), _FAILED)
            groups = connection.execute(failed.group_by(jobs.c.cause)).all()
            failures = []
            for cause, count, example in groups:
                row = connection.execute(select(jobs.c.key, jobs.c.message).where(jobs.c.id == example)).one()
                failures.append(Failure(cause=cause or "", count=count, key=row.key, message=row.message or ""))
        return sorted(failures, key=lambda failure: (-failure.count, failure.cause))

    def job(self, batch_id: int, key: str) -> Job:
        """Return one job, even if it is orphaned; raise NotFound."""
        with self._open() as connection:
            job = _job(connection, (jobs.c.batch_id == batch_id) & (jobs.c.key == key))
            if job is None:
                raise NotFound(f"No job {key!r} in this batch{near_key(connection, batch_id, key)}")
        return job

    def jobs(self, batch_id: int, selection: Selection = Selection(), limit: int | None = None) -> Iterator[Job]:  # noqa: B008 - frozen
        """Yield at most *limit* selected jobs in the order they were first added, a page per transaction."""
        wanted = select(jobs, batches.c.name.label("batch_name")).join(batches).order_by(jobs.c.id)
        for ids in self._pages(batch_id, selection, limit):
            yield from self._jobs(wanted.where(jobs.c.id.in_(listed(ids))))

    def attempts(self, job: Job) -> list[AttemptRecord]:
        """Return the attempts of a job, in order."""
        with self._open() as connection:
            made = select(attempts).where(attempts.c.job_id == job.id).order_by(attempts.c.claim)
            return [to_attempt(row) for row in connection.execute(made).mappings()]

    def ended(self, ids: Sequence[str]) -> Mapping[str, bool]:
        """Return those of these attempts that have ended, and whether they delivered."""
        delivered: dict[str, bool] = {}
        with self._open() as connection:
            for start in range(0, len(ids), 500):
                page = attempts.c.id.in_(ids[start : start + 500])
                ended = select(attempts.c.id, attempts.c.state).where(page, attempts.c.state != "open")
                delivered |= {row.id: row.state == "delivered" for row in connection.execute(ended)}
        return delivered

    def artifacts(self, job: Job, *, superseded: bool = False) -> list[StoredArtifact]:
        """Return a job's files in order, superseded ones only on request."""
        return [file for file in self.files_of(job.id) if superseded or file.superseded_at is None]

    def files_of(self, job_id: int) -> list[StoredArtifact]:
        """Return all files ever delivered for a job, in order."""
        with self._open() as connection:
            files = select(artifacts).where(artifacts.c.job_id == job_id)
            return [to_artifact(row) for row in connection.execute(files.order_by(artifacts.c.ordinal, artifacts.c.id))]

    def counts_on(self, path: str) -> bool:
        """Return whether *path*, as stored, is a current file of any job; this reads all files of the database."""
        with self._open() as connection:
            current = exists().where(artifacts.c.path == path, artifacts.c.superseded_at.is_(None))
            return bool(connection.scalar(select(current)))

    # --- repair ---------------------------------------------------------------

    def files(self, batch_id: int, selection: Selection = Selection()) -> Iterator[list[DeliveredFile]]:  # noqa: B008
        """Yield the current files of the selected jobs, a page per transaction."""
        for ids in self._pages(batch_id, selection):
            if page := self.ask(partial(files, ids=ids)):
                yield page

    def unknown_attempt(self, job: Job) -> UnknownAttempt | None:
        """Return the last attempt of a job whose outcome is unknown; None if there is none."""
        with self._open() as connection:
            return unknown_attempt(connection, job.id)

    def attempt_of_supplied_file(self, job: Job) -> str | None:
        """Return the attempt that a file supplied by the user for *job* belongs to, or None."""
        with self._open() as connection:
            return attempt_of_supplied_file(connection, job.id)

    def attempt_states(self, ids: Sequence[str]) -> Mapping[str, tuple[str, str | None]]:
        """Return state and cause of those of *ids* that the database knows with all their files."""
        return self.ask(partial(attempt_states, ids=ids))

    def newest_attempt(self, batch_id: int) -> datetime | None:
        """Return when the last request of a batch was sent; None if none was."""
        return self.ask(partial(newest_attempt, batch_id=batch_id))

    # --- money ----------------------------------------------------------------

    def bills(self, wanted: Sequence[Job]) -> Mapping[int, Bill]:
        """Return the bill of each of these jobs by job id, in a few queries."""
        return self.ask(partial(bills, ids=[job.id for job in wanted]))

    def usage(self, batch_id: int) -> list[UsageLine]:
        """Return the ledger of a batch by provider and model."""
        return self.ask(partial(usage, batch_id=batch_id))

    def past_calls(self) -> list[PastCall]:
        """Return the latest calls of any batch that returned images, oldest first."""
        with self._open() as connection:
            return list(past_calls(connection))

    def booked(self, batch_id: int | None, query: UsageQuery) -> list[UsageSum]:
        """Return the sums over a batch (None: all) that *query* needs; attempts in flight are included."""
        with self._open() as connection:
            return booked(connection, batch_id, query.by, query.period)

    def calls(self, batch_id: int | None, period: Period = ALWAYS, *, in_flight: bool = True) -> list[Calls]:
        """Return the calls of a batch (None: all) by provider, provider of the job, and outcome."""
        with self._open() as connection:
            return calls(connection, batch_id, period, in_flight=in_flight)

    def spent(
        self,
        *,
        batch_id: int | None = None,
        provider: str | None = None,
        run_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Spent:
        """Return the spending that counts against budgets, in nano-USD and milli-credits; None selects all."""
        with self._open() as connection:
            return spent(connection, batch_id=batch_id, provider=provider, run_id=run_id, since=since, until=until)

    def ask(self, query: Callable[[Connection], T]) -> T:
        """Return the result of a query of another module of the store, in a transaction of its own."""
        with self._open() as connection:
            return query(connection)

    @contextmanager
    def _open(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except (DBAPIError, sqlite3.Error) as error:
            raise explain(error, self._path) from error

    def _pages(self, batch_id: int, selection: Selection, limit: int | None = None) -> Iterator[Sequence[int]]:
        """Yield the ids of the selected jobs; one query, because SQLite would sort the rest again for every page."""
        limits = [number for number in (limit, selection.limit) if number is not None]
        wanted = select(jobs.c.id).where(*selected(batch_id, selection)).order_by(jobs.c.id)
        with self._open() as connection:
            require_listed(connection, batch_id, selection)
            ids = array("q", connection.execute(wanted.limit(min(limits, default=None))).scalars())
        for start in range(0, len(ids), PAGE):
            yield ids[start : start + PAGE]

    def _jobs(self, wanted: Select[Any]) -> list[Job]:
        with self._open() as connection:
            return [to_job(row, row.batch_name) for row in connection.execute(wanted)]

    def _tally(self, batch_id: int) -> dict[str, dict[str, int]]:
        standing = select(jobs.c.provider, jobs.c.state, func.count(), func.sum(jobs.c.delivered))
        standing = standing.where(jobs.c.batch_id == batch_id, jobs.c.orphaned_at.is_(None))
        lanes: dict[str, dict[str, int]] = {}
        with self._open() as connection:
            for provider, state, count, images in connection.execute(standing.group_by(jobs.c.provider, jobs.c.state)):
                lane = lanes.setdefault(provider, {"images": 0})
                lane[state] = count
                lane["images"] += images
        return lanes


#: A literal, so that SQLite uses the partial index of failed jobs.
_FAILED = text("jobs.state = 'failed'")


def _job(connection: Connection, which: ColumnElement[bool]) -> Job | None:
    wanted = select(jobs, batches.c.name.label("batch_name")).join(batches).where(which)
    row = connection.execute(wanted).one_or_none()
    return None if row is None else to_job(row, row.batch_name)
