"""Loading a plan into the job table, a chunk of jobs at a time.  SQL on an open transaction.

Plans come by the million, and most of their jobs are as they were: past SQLAlchemy straight to the driver, and only
what differs is looked at closely.  Between reading a row and changing it nothing can happen to it: no transaction but
this one may write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from sqlalchemy import Connection, func, select

from ..fingerprint import unchanged
from ..job import Job, Revised, State, advance
from ..task import Kind, Task
from .compare_and_set import supersede
from .connection import driver
from .records import Loaded
from .rows import GLANCE, LOOKS, PLAN_COLUMNS, RowTemplate, encode_list, progress_columns
from .tables import jobs, micros

if TYPE_CHECKING:
    from ..manifest.batch import PlannedJob

#: Values of some columns of a row.
Cells = Sequence[Any]

#: Recipes whose forms are kept.  A plan has a handful, or one for each job with source images.
_FORMS = 1_000

#: All rows as one value: made in one step of SQLite's, while Python plans the next chunk.
_FIND = (
    f"SELECT json_group_array(json_array({', '.join(GLANCE)}, jobs.orphaned_at, jobs.state, jobs.id)) "  # noqa: S608
    "FROM json_each(?) AS wanted CROSS JOIN jobs ON jobs.batch_id = ? AND jobs.key = wanted.value"
)
#: Where mark, mark with looks, and the end of a glance stand in what ``_FIND`` finds.
_MARK, _LOOKS, _GLANCED = 1, slice(1, 2 + len(LOOKS)), len(GLANCE)
#: Of mark and looks, those that a job keeps which is not made again: what was asked for, and where its files lie.
_KEPT = frozenset({0, 1 + LOOKS.index("output"), 1 + LOOKS.index("sidecar")})

#: Rows of one INSERT: older builds of SQLite take 999 values.
_TOGETHER = 996 // len(PLAN_COLUMNS)
_UPDATE = "UPDATE jobs SET {}, orphaned_at = NULL, updated_at = ? WHERE id = ?"
_FOLLOW = _UPDATE.format(", ".join(f"{name} = ?" for name in PLAN_COLUMNS))
#: What was asked for stays on record as it was, where a job is done or under way.
_SETTLED = (State.DONE, State.RUNNING)
_FOLLOW_LOOKS = _UPDATE.format(", ".join(f"{name} = ?" for name in PLAN_COLUMNS[_LOOKS]))
_ORPHAN = "UPDATE jobs SET orphaned_at = ?, updated_at = ? WHERE id IN (SELECT value FROM json_each(?))"
_PRESENT = "FROM jobs WHERE batch_id = ? AND orphaned_at IS NULL AND id < ?"


#: A job as far from new as can be.
_SPECIMEN = Job(
    id=0,
    batch="",
    key="",
    task=Task(kind=Kind.GENERATE, prompt="", provider="", model=""),
    fingerprint="",
    output="",
    state=State.FAILED,
    cause="error",
    message="no",
    delivered=1,
    tries=1,
    unknown_attempts=1,
)


class _Differing(NamedTuple):
    """A job whose row is not as the plan has it."""

    facts: Cells  #: its ``PLAN_COLUMNS``, as planned
    known: Cells  #: its glance, as it stands
    orphaned: bool
    state: State
    id: int
    changed: bool  #: it asks for something else


class Loading:
    """One load of a batch; remembers which jobs it met."""

    def __init__(
        self,
        connection: Connection,
        *,
        batch_id: int,
        now: datetime,
        keep_changed: bool,
        revise: Container[str] | None,
    ) -> None:
        last = connection.execute(select(func.coalesce(func.max(jobs.c.id), 0))).scalar_one()
        self._seen = bytearray(last + 1)  # a byte a job: a set of a million ids would take 60 MB
        self._batch_id = batch_id
        self._now = now
        self._keep_changed = keep_changed
        self._wanted = revise
        self._form = lru_cache(_FORMS)(RowTemplate.of)

    def merge(self, connection: Connection, chunk: Sequence[tuple[int, PlannedJob]]) -> Loaded:
        """Bring the rows of *chunk* up to the plan; each job comes with its place in the manifest."""
        keys = encode_list([planned.key for _, planned in chunk])
        [(rows,)] = driver(connection).execute(_FIND, (keys, self._batch_id))
        known = {row[0]: row for row in orjson.loads(rows)}
        find, form_of, seen, size = known.get, self._form, self._seen, len(self._seen)
        fresh: list[Cells] = []
        differing: list[_Differing] = []
        for position, planned in chunk:
            form = form_of(planned.recipe)
            row = find(planned.key)
            if row is None:
                fresh.append(form.row(planned, position))
                continue
            glance, (orphaned_at, state, number) = row[:_GLANCED], row[_GLANCED:]
            if number < size:
                seen[number] = 1
            if orphaned_at is not None or glance != form.glance(planned, position):
                facts, known_mark, mark = form.row(planned, position), glance[_MARK], planned.fingerprint
                changed = known_mark != mark and not unchanged(known_mark, planned.task, mark)
                differing.append(_Differing(facts, glance, orphaned_at is not None, State(state), number, changed))
        self._add(connection, fresh)
        as_it_was = len(chunk) - len(fresh) - len(differing)
        return Loaded(new=len(fresh), kept=as_it_was) + self._follow(connection, differing)

    def absent(self, connection: Connection) -> list[int]:
        """Return the ids of those jobs of the batch that were in no chunk and are not orphaned yet."""
        bounds = (self._batch_id, len(self._seen))
        [(count,)] = driver(connection).execute(f"SELECT count(*) {_PRESENT}", bounds)
        if count == self._seen.count(1):
            return []
        found = driver(connection).execute(f"SELECT id {_PRESENT}", bounds)
        return [number for (number,) in found if not self._seen[number]]

    def orphan(self, connection: Connection, ids: Sequence[int]) -> Loaded:
        """Note that these jobs stand in the manifest no more."""
        moment = micros(self._now)
        driver(connection).execute(_ORPHAN, (moment, moment, encode_list(ids)))
        return Loaded(orphaned=len(ids))

    def _add(self, connection: Connection, fresh: Sequence[Cells]) -> None:
        execute, own = driver(connection).execute, (self._batch_id, micros(self._now))
        for start in range(0, len(fresh), _TOGETHER):
            some = fresh[start : start + _TOGETHER]
            execute(_adding(len(some)), (*own, *chain.from_iterable(some)))

    def _follow(self, connection: Connection, differing: Iterable[_Differing]) -> Loaded:
        """Carry out what *differing* jobs ask for."""
        counts: Counter[str] = Counter()
        revised: list[tuple[Cells, int]] = []
        touched: dict[str, list[Cells]] = {_FOLLOW: [], _FOLLOW_LOOKS: []}
        moment = micros(self._now)
        for job in differing:
            verdict = self._verdict(job)
            counts[verdict] += 1
            counts["returned"] += job.orphaned
            if verdict == "changed":
                revised.append((job.facts, job.id))
            elif job.state not in _SETTLED and verdict != "left":
                touched[_FOLLOW].append((*job.facts, moment, job.id))
            elif (looks := _looks(job, verdict)) != job.known[_LOOKS] or job.orphaned:
                touched[_FOLLOW_LOOKS].append((*looks, moment, job.id))
        if revised:
            self._revise(connection, revised)
        for statement, rows in touched.items():
            driver(connection).executemany(statement, rows)
        return Loaded(**counts)

    def _verdict(self, job: _Differing) -> str:
        """Return under which name of ``Loaded`` a job counts."""
        if not job.changed:
            return "kept"
        if job.state == State.RUNNING:
            return "busy"
        if self._keep_changed and job.state == State.DONE:
            return "held"
        # what is pending may be sent whoever selected it, and never as it was asked for before
        ours = self._wanted is None or job.state == State.PENDING or job.facts[0] in self._wanted
        return "changed" if ours else "left"

    def _revise(self, connection: Connection, revised: Sequence[tuple[Cells, int]]) -> None:
        """Make jobs pending again, for what they ask for now."""
        # whatever a job was, ``advance`` makes the same of it when it is revised, but for its claim, which only grows
        after = progress_columns(advance(replace(_SPECIMEN, not_before=self._now), Revised(at=self._now)))
        del after["claim"]
        columns = ", ".join(f"{name} = ?" for name in (*PLAN_COLUMNS, *after))
        rows = ((*facts, *after.values(), micros(self._now), number) for facts, number in revised)
        driver(connection).executemany(_UPDATE.format(columns), rows)
        supersede(connection, [number for _, number in revised], self._now)


def _looks(job: _Differing, verdict: str) -> Cells:
    """Return mark and looks that a job has from now on which is done, under way or not made again."""
    if verdict in {"held", "left"}:
        both = zip(job.known[_LOOKS], job.facts[_LOOKS], strict=True)
        return [known if number in _KEPT else planned for number, (known, planned) in enumerate(both)]
    mark = job.known if job.state is State.RUNNING else job.facts
    return (mark[_MARK], *job.facts[_LOOKS][1:])


@lru_cache
def _adding(rows: int) -> str:
    """Return the INSERT of so many new jobs: one step of SQLite's, during which Python can plan the next."""
    row = f"({', '.join('?' * len(PLAN_COLUMNS))})"
    return (
        "INSERT INTO jobs (batch_id, created_at, updated_at, state, delivered, claim, tries, doubts, "  # noqa: S608 - our own
        f"{', '.join(PLAN_COLUMNS)}) SELECT own.*, own.moment, '{State.PENDING.value}', 0, 0, 0, 0, fresh.* "
        f"FROM (SELECT ? AS batch, ? AS moment) AS own, (VALUES {', '.join([row] * rows)}) AS fresh"
    )
