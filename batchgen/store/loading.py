"""Loading: brings the job database up to a plan, one chunk of jobs per transaction.

Plans may have a million jobs, most of them unchanged. Rows therefore go straight to the driver instead of through
SQLAlchemy, and only rows that differ are updated. A row cannot change between reading and writing it: on SQLite no
other transaction can write meanwhile, and on PostgreSQL, where runners of other shards claim jobs of the same batch,
rows that differ are locked and read again before they are written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import orjson
from sqlalchemy import Connection, select

from ..job import Job, State
from . import load_record, needs
from .compare_and_set import supersede
from .connection import driver
from .dialects import BATCH, is_postgres, lock_rows_of
from .records import Loaded
from .rows import PlanRow, decode_task, encode_list, listed, to_job
from .tables import attempts, jobs, ledger, micros
from .totals import reopen

if TYPE_CHECKING:
    from ..manifest.batch import PlannedJob

_COLUMNS = ", ".join(PlanRow._fields)
_STORED = (
    f"SELECT json_array({', '.join(f'jobs.{name}' for name in PlanRow._fields)}), "  # noqa: S608 - our own names
    "jobs.orphaned_at IS NOT NULL, jobs.state, jobs.id "
    "FROM json_each(?) AS wanted CROSS JOIN jobs ON jobs.batch_id = ? AND jobs.key = wanted.value"
)
_INSERT = (
    "INSERT INTO jobs (batch_id, created_at, updated_at, state, delivered, claim, tries, doubts, "  # noqa: S608
    f"{_COLUMNS}) VALUES (?, ?, ?, 'pending', 0, 0, 0, 0{', ?' * len(PlanRow._fields)})"
)
_UPDATE = (
    f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in PlanRow._fields)}, "  # noqa: S608
    "orphaned_at = NULL, updated_at = ? WHERE id = ?"
)
#: What ``advance`` makes of a job in any state when it is revised.
_RESET = (
    "UPDATE jobs SET state = 'pending', cause = NULL, message = NULL, delivered = 0, claim = claim + 1, tries = 0, "
    "doubts = 0, not_before = NULL WHERE id = ?"
)
_ORPHAN = "UPDATE jobs SET orphaned_at = ?, updated_at = ? WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(?))"
_PRESENT = "SELECT id FROM jobs WHERE batch_id = ? AND orphaned_at IS NULL AND id <= ?"
_LAST_ID = "SELECT coalesce(max(id), 0) FROM jobs"

#: The states by name; a lookup takes 0.5 us less than ``State(name)``.
_STATES = {state.value: state for state in State}


class _StoredJob(NamedTuple):
    """A job as the database has it."""

    row: PlanRow
    orphaned: bool
    state: State
    id: int


class _Difference(NamedTuple):
    """A job whose row is not as planned."""

    planned: PlanRow
    stored: _StoredJob
    outcome: str  #: the field of ``Loaded`` that counts it


class Loading:
    """One load of a batch; remembers which jobs it has seen."""

    def __init__(
        self,
        connection: Connection,
        *,
        batch_id: int,
        now: datetime,
        keep_changed: bool,
        revise: Container[str] | None,
    ) -> None:
        lock_rows_of(connection, BATCH, batch_id)
        load_record.forget(connection, batch_id)
        [(self._last_id,)] = driver(connection).execute(_LAST_ID)
        self.is_exact = True  #: every row is as planned
        self.busy: dict[str, tuple[int, PlannedJob]] = {}  #: jobs in flight that are not as planned yet
        self._seen: set[int] = set()
        self._chained = needs.keys(connection, batch_id)  #: jobs that waited for others until now
        self._batch_id = batch_id
        self._now = now
        self._keep_changed = keep_changed
        self._revise_keys = revise

    def merge(self, connection: Connection, chunk: Sequence[tuple[int, PlannedJob]]) -> Loaded:
        """Bring the rows of *chunk* up to the plan; each job comes with its position in the manifest."""
        lock_rows_of(connection, BATCH, self._batch_id)  # Another runner may add the same jobs.
        stored_jobs = self._stored(connection, [planned.key for _, planned in chunk])
        if is_postgres(connection):
            rows = ((PlanRow.of(planned, position), stored_jobs.get(planned.key)) for position, planned in chunk)
            differing = [stored.row.key for row, stored in rows if stored and _differs(row, stored)]
            stored_jobs |= self._stored(connection, differing, locks=True)
        new: list[PlanRow] = []
        differences: list[_Difference] = []
        for position, planned in chunk:
            row, stored = PlanRow.of(planned, position), stored_jobs.get(planned.key)
            if stored is None:
                new.append(row)
                continue
            self._seen.add(stored.id)
            if _differs(row, stored):
                differences.append(_Difference(row, stored, self._outcome(planned, stored)))
                if stored.state is State.RUNNING and _target(differences[-1]) != row:
                    self.busy[planned.key] = position, planned
        moment = micros(self._now)
        driver(connection).executemany(_INSERT, ((self._batch_id, moment, moment, *row) for row in new))
        self._update(connection, differences)
        self._store_needs(connection, chunk)
        counts = Counter(difference.outcome for difference in differences)
        counts["returned"] = sum(difference.stored.orphaned for difference in differences)
        counts["kept"] += len(chunk) - len(new) - len(differences)
        return Loaded(new=len(new), **counts)

    def revise_settled(self, connection: Connection, job: Job, now: datetime) -> Job:
        """Bring a job that was in flight up to the plan, in the transaction that ends its attempt; return it."""
        if job.key not in self.busy:
            return job
        self._now = now
        self.merge(connection, [self.busy[job.key]])
        row = connection.execute(select(jobs).where(jobs.c.id == job.id)).one()
        return to_job(row, job.batch)

    def lock(self, connection: Connection, key: str) -> None:
        """Lock the batch before one of its jobs that may be revised, as a load does."""
        if key in self.busy:
            lock_rows_of(connection, BATCH, self._batch_id)

    def _store_needs(self, connection: Connection, chunk: Sequence[tuple[int, PlannedJob]]) -> None:
        chained = {
            planned.key: planned.recipe.parents
            for _, planned in chunk
            if planned.recipe.parents or planned.key in self._chained
        }
        if chained:
            needs.store(connection, self._batch_id, chained)

    def absent(self, connection: Connection) -> list[int]:
        """Return the ids of jobs of the batch that are in no chunk and not orphaned yet."""
        present = driver(connection).execute(_PRESENT, (self._batch_id, self._last_id))
        return [job_id for (job_id,) in present if job_id not in self._seen]

    def orphan(self, connection: Connection, ids: Sequence[int]) -> Loaded:
        """Mark jobs that are no longer in the manifest."""
        moment = micros(self._now)
        driver(connection).execute(_ORPHAN, (moment, moment, encode_list(ids)))
        return Loaded(orphaned=len(ids))

    def _stored(self, connection: Connection, keys: Sequence[str], *, locks: bool = False) -> dict[str, _StoredJob]:
        """Return the rows of jobs; with *locks*, no other transaction changes them before the end of this one."""
        query = f"{_STORED} FOR UPDATE OF jobs" if locks else _STORED
        rows = driver(connection).execute(query, (encode_list(keys), self._batch_id))
        found = (
            _StoredJob(PlanRow(*orjson.loads(columns)), bool(orphaned), _STATES[state], job_id)
            for columns, orphaned, state, job_id in rows
        )
        return {job.row.key: job for job in found}

    def _outcome(self, planned: PlannedJob, stored: _StoredJob) -> str:
        """Return the field of ``Loaded`` that counts a job whose row differs."""
        before = stored.row.fingerprint
        if planned.is_unchanged(before) or planned.is_unchanged(before, decode_task(stored.row.task)):
            return "kept"
        if stored.state is State.RUNNING:
            return "busy"
        # A redo names the done jobs that it revises.
        is_kept = stored.state is State.DONE and planned.key not in (self._revise_keys or ())
        if is_kept and (self._keep_changed or planned.is_to_be_kept(before)):
            return "held"
        # A pending job may be sent by any run, and must not be sent as it was requested before.
        selected = self._revise_keys is None or stored.state is State.PENDING or planned.key in self._revise_keys
        return "changed" if selected else "left"

    def _update(self, connection: Connection, differences: Iterable[_Difference]) -> None:
        updates: list[tuple[object, ...]] = []
        revised: list[int] = []
        moved: list[int] = []
        for difference in differences:
            row, stored = _target(difference), difference.stored
            if difference.outcome == "changed":
                revised.append(stored.id)
            if row.provider != stored.row.provider:
                moved.append(stored.id)
            self.is_exact = self.is_exact and row == difference.planned
            if row != stored.row or stored.orphaned:
                updates.append((*row, micros(self._now), stored.id))
        driver(connection).executemany(_UPDATE, updates)
        if moved:
            calls = select(attempts.c.id).where(attempts.c.job_id.in_(listed(moved)))
            reopen(connection, ledger.c.attempt_id.in_(calls))
        if revised:
            driver(connection).executemany(_RESET, ((job_id,) for job_id in revised))
            supersede(connection, revised, self._now)


def _differs(row: PlanRow, stored: _StoredJob) -> bool:
    return stored.orphaned or stored.row != row


def _target(difference: _Difference) -> PlanRow:
    """Return the row that a job shall have.

    A job that is done or in flight, or changed without being revised, keeps on record what was requested.
    """
    planned, stored, outcome = difference
    if outcome == "changed" or (outcome != "left" and stored.state not in {State.DONE, State.RUNNING}):
        return planned
    row = stored.row._replace(
        position=planned.position, tags=planned.tags, priority=planned.priority, route=planned.route
    )
    if outcome in {"held", "left"}:
        return row
    row = row._replace(output=planned.output, sidecar=planned.sidecar)
    return row if stored.state is State.RUNNING else row._replace(fingerprint=planned.fingerprint)
