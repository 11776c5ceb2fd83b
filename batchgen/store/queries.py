"""Queries for jobs: which are selected, which may be sent now, and which a run may send at all.

SQL expressions, and queries on an open connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from threading import Lock
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, false, func, or_, select, text, true

from ..errors import NotFound, nearest
from ..job import State
from ..planning.selection import ORPHANED, UNMARKED, Selection, absent_ids, is_literal, literal_start
from . import needs
from .connection import driver
from .dialects import named
from .judging import judging_conditions, require_examined
from .records import DeliveredFile, DueFilter, StoredArtifact
from .repair import RECOVERED
from .rows import listed, listed_texts, to_artifact
from .tables import OPEN, artifacts, attempts, batch_of_job, batches, jobs, ledger
from .totals import bookings

#: Jobs of a scope that are looked up together.
PAGE = 500
#: Characters without one that follows: the last before the surrogates, and the last of all.
_LAST_CHARACTERS = {0xD7FF, 0x10FFFF}
#: Jobs whose ids are compared with a misspelt one.
_SEARCHED = 5_000

_PENDING = (jobs.c.state == State.PENDING.value, jobs.c.orphaned_at.is_(None))
_UNFINISHED = jobs.c.state.in_((State.PENDING.value, State.RUNNING.value))
_SENDING_ORDER = (jobs.c.priority.desc(), jobs.c.position)


# --- selected jobs ------------------------------------------------------------


def selected(
    batch_id: int, selection: Selection, *more: ColumnElement[bool], batch: ColumnElement[int] = jobs.c.batch_id
) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for the selected jobs of a batch, and *more*; a limit is left to the caller.

    *batch* is ``batch_of_job`` in a query that begins with another table.
    """
    if selection.judges and UNMARKED not in selection.marks:
        batch = batch_of_job  # Marks and suspects are few: they lead to their jobs.
    conditions = (batch == batch_id, *_conditions(selection), *judging_conditions(batch_id, selection), *more)
    if selection.sample is None:
        return conditions
    # The seed is bound as text because it may be an integer of any length.
    key = func.sample_key(jobs.c.key, str(selection.seed))
    sample = select(jobs.c.id).where(*conditions).order_by(key, jobs.c.key).limit(selection.sample)
    return (jobs.c.id.in_(sample.correlate(None)),)


def _conditions(selection: Selection) -> Iterator[ColumnElement[bool]]:
    if selection.ids:
        yield or_(*map(_named, selection.ids))
    if selection.listed is not None:
        yield jobs.c.key.in_(listed_texts(selection.listed.lines))
    if selection.tags:
        tag = func.json_each(jobs.c.tags).table_valued("value")
        yield exists().select_from(tag).where(tag.c.value.in_(selection.tags))
    for column, values in (
        (jobs.c.provider, selection.providers),
        (jobs.c.model, selection.models),
        (jobs.c.kind, selection.kinds),
        (jobs.c.cause, selection.causes),
    ):
        if values:
            yield column.in_(values)
    if selection.shard is not None:
        number, shards = selection.shard
        yield func.shard_of(jobs.c.key, shards) == number
    orphaned, states = jobs.c.orphaned_at.is_not(None), [state for state in selection.states if state != ORPHANED]
    if not selection.states:
        yield true() if selection.orphaned else ~orphaned
    elif not states:
        yield orphaned
    elif selection.states == (State.FAILED.value,):
        yield text("jobs.state = 'failed'")  # type: ignore[misc] # a literal, for the partial index of failed jobs
        yield true() if selection.orphaned else ~orphaned
    else:
        in_state = jobs.c.state.in_(states) if selection.orphaned else jobs.c.state.in_(states) & ~orphaned
        yield in_state | orphaned if ORPHANED in selection.states else in_state


def _named(pattern: str) -> ColumnElement[bool]:
    """Return the condition for keys that a glob matches; the index on keys finds those that begin like the glob."""
    if is_literal(pattern):
        return jobs.c.key == pattern
    start = literal_start(pattern)
    conditions: list[ColumnElement[bool]] = []
    if start:
        conditions.append(jobs.c.key >= start)
    if start and ord(start[-1]) not in _LAST_CHARACTERS:
        conditions.append(jobs.c.key < start[:-1] + chr(ord(start[-1]) + 1))
    return and_(*conditions, named(jobs.c.key, pattern))


def known_keys(connection: Connection, batch_id: int, keys: Iterable[str]) -> frozenset[str]:
    """Return those of *keys* that jobs of the batch have."""
    known = select(jobs.c.key).where(jobs.c.batch_id == batch_id, jobs.c.key.in_(listed_texts(keys)))
    return frozenset(connection.execute(known).scalars())


def near_key(connection: Connection, batch_id: int, key: str) -> str:
    """Return the end of a sentence on an unknown job: the id that was probably meant, and how to list all."""
    first = select(jobs.c.key).where(jobs.c.batch_id == batch_id).order_by(jobs.c.id).limit(_SEARCHED)
    keys = connection.execute(first).scalars().all()
    start = key.rstrip("*")
    longer = [each for each in keys if each.lower().startswith(start.lower())]
    if len(longer) > 1:
        hint = f"; {len(longer):,} ids begin with {start!r}, such as {longer[0]!r}."
    else:
        similar = longer[0] if longer else nearest(key, keys)
        hint = f"; did you mean {similar!r}?" if similar else "."
    return f"{hint} `batchgen list jobs` shows all of them."


def require_listed(connection: Connection, batch_id: int, selection: Selection) -> None:
    """Raise NotFound if the batch lacks ids that the selection lists, and UsageError as ``require_examined`` does."""
    require_examined(connection, batch_id, selection)
    if selection.listed is None:
        return
    known = known_keys(connection, batch_id, selection.listed.lines)
    if absent := [key for key in selection.listed.lines if key not in known]:
        keys = connection.execute(select(jobs.c.key).where(jobs.c.batch_id == batch_id)).scalars()
        raise NotFound(
            f"no job in this batch has the id {absent_ids(selection, absent, keys)}. "
            "`batchgen list jobs` shows all of them."
        )


def remade(connection: Connection, ids: Iterable[int]) -> frozenset[int]:
    """Return those of these jobs with superseded files."""
    superseded = select(artifacts.c.job_id).where(artifacts.c.superseded_at.is_not(None))
    return frozenset(connection.execute(superseded.where(artifacts.c.job_id.in_(listed(ids)))).scalars())


def files(connection: Connection, ids: Sequence[int]) -> list[DeliveredFile]:
    """Return the current files of these jobs, job by job."""
    current = select(artifacts, jobs.c.key, jobs.c.orphaned_at).join(jobs).where(jobs.c.id.in_(listed(ids)))
    page = current.where(artifacts.c.superseded_at.is_(None)).order_by(jobs.c.id, artifacts.c.ordinal, artifacts.c.id)
    return [
        DeliveredFile(
            job_id=row.job_id,
            key=row.key,
            orphaned=row.orphaned_at is not None,
            file=to_artifact(row),
        )
        for row in connection.execute(page)
    ]


def superseded_files(connection: Connection, batch_id: int) -> list[StoredArtifact]:
    """Return the superseded files of a batch, as they were delivered."""
    earlier = select(artifacts).join(jobs).where(jobs.c.batch_id == batch_id, artifacts.c.superseded_at.is_not(None))
    return [to_artifact(row) for row in connection.execute(earlier.order_by(artifacts.c.id))]


def newest_file(connection: Connection, batch_id: int) -> StoredArtifact | None:
    """Return the current file of a batch that was delivered last; None if there is none."""
    current = select(artifacts).join(jobs).where(batch_of_job == batch_id, artifacts.c.superseded_at.is_(None))
    row = connection.execute(current.order_by(artifacts.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else to_artifact(row)


def current_paths(connection: Connection, batch_id: int, step: int) -> Iterator[str]:
    """Yield the paths of the current files of a batch's jobs; with *step*, only those of every n-th file."""
    query, more = (_ALL_PATHS, {}) if step == 1 else (_EVERY_NTH_PATH, {"step": step})
    values = {"batch_id": batch_id, **more}
    return (path for (path,) in driver(connection).execute(query, values))


_CURRENT = "jobs.batch_id = :batch_id AND jobs.orphaned_at IS NULL AND artifacts.superseded_at IS NULL"
_ALL_PATHS = f"SELECT artifacts.path FROM jobs JOIN artifacts ON artifacts.job_id = jobs.id WHERE {_CURRENT}"  # noqa: S608
#: By their numbers, so that the other files are not read.
_EVERY_NTH_PATH = (
    "WITH RECURSIVE numbers(id) AS (SELECT CAST(:step AS BIGINT) UNION ALL SELECT id + :step FROM numbers "  # noqa: S608
    "WHERE id + :step <= (SELECT max(id) FROM artifacts)) "
    "SELECT artifacts.path FROM numbers CROSS JOIN artifacts ON artifacts.id = numbers.id "
    f"CROSS JOIN jobs ON jobs.id = artifacts.job_id WHERE {_CURRENT}"
)


def attempt_states(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, str | None]]:
    """Return state and cause of those of *ids* that the database knows completely.

    A recovered attempt that lacks some of its files is left out.
    """
    files = (artifacts.c.job_id == attempts.c.job_id, artifacts.c.attempt_id == attempts.c.id)
    count = select(func.count()).where(*files).scalar_subquery()
    incomplete = (attempts.c.run_id == RECOVERED) & (attempts.c.state == "delivered") & (ledger.c.images > count)
    states = select(attempts.c.id, attempts.c.state, attempts.c.cause).select_from(attempts.outerjoin(ledger))
    rows = connection.execute(states.where(attempts.c.id.in_(listed_texts(ids)), ~func.coalesce(incomplete, False)))
    return {row.id: (row.state, row.cause) for row in rows}


def newest_attempt(connection: Connection, batch_id: int) -> datetime | None:
    """Return when the last request of a batch was sent."""
    source = bookings()
    booked = select(func.max(source.c.last_sent_at)).where(source.c.batch_id == batch_id)
    going = select(func.max(attempts.c.started_at)).select_from(attempts.join(jobs))
    going = going.where(OPEN, batch_of_job == batch_id)
    return max(filter(None, (connection.scalar(booked), connection.scalar(going))), default=None)


# --- due jobs -----------------------------------------------------------------
# States are literals here, not bound values: SQLite uses the partial indexes ``jobs_waiting`` and ``jobs_routed`` only
# if it sees their condition.


def due(wanted: DueFilter, now: datetime) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions for jobs that may be sent at *now*."""
    yield from pending(wanted)
    if wanted.waiting is None:
        yield or_(jobs.c.not_before.is_(None), jobs.c.not_before <= now)
    elif wanted.waiting:
        yield jobs.c.not_before.is_not(None)
        yield jobs.c.not_before <= now
    else:
        yield jobs.c.not_before.is_(None)


def waiting(wanted: DueFilter) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions for jobs with a time before which they are not sent, past or future."""
    yield from pending(wanted)
    yield jobs.c.not_before.is_not(None)


def sending_order(wanted: DueFilter) -> tuple[ColumnElement[object], ...]:
    """Return the order of sending: of waiting jobs, the one that is due longest is first."""
    return (jobs.c.not_before,) if wanted.waiting else _SENDING_ORDER


def pending(wanted: DueFilter) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions for jobs that may be sent now or later."""
    yield text("jobs.state = 'pending' AND jobs.orphaned_at IS NULL")  # type: ignore[misc]
    yield jobs.c.provider == wanted.provider
    if wanted.chained:
        yield needs.are_met()
    models = sorted(wanted.models.named)
    if wanted.models.only:
        yield jobs.c.model.in_(models) if models else false()
    elif models:
        yield jobs.c.model.not_in(models)
    if wanted.by is not None:
        other = func.json_each(jobs.c.route, "$.others").table_valued("value")
        yield jobs.c.route.is_not(None)
        yield exists(select(other.c.value).where(other.c.value == wanted.by))


# --- jobs of a run with a selection -------------------------------------------


class Scope:
    """The jobs that a run may send: ids by provider, in the order of sending.

    The selection is resolved once, when the run starts: a lane that asks for its next jobs must not search the whole
    table each time. Lanes ask concurrently, each in its own thread, so pages are tuples and only ``_forget`` replaces
    them.
    """

    def __init__(self, selected_jobs: Iterable[tuple[int, str]]) -> None:
        ids: dict[str, list[int]] = {}
        for job_id, provider in selected_jobs:
            ids.setdefault(provider, []).append(job_id)
        #: How many jobs there are.
        self.size = sum(map(len, ids.values()))
        self._lock = Lock()
        self._pages = {
            provider: tuple(tuple(numbers[start : start + PAGE]) for start in range(0, len(numbers), PAGE))
            for provider, numbers in ids.items()
        }

    def due(self, connection: Connection, wanted: DueFilter, limit: int, now: datetime) -> list[Row[Any]]:
        """Return the rows of the next jobs that a lane may send at *now*, in order."""
        conditions = select(jobs, batches.c.name.label("batch_name")).join(batches).where(*due(wanted, now))
        rows: list[Row[Any]] = []
        for page in self._pages.get(wanted.provider, ()):
            on_page = conditions.where(jobs.c.id.in_(listed(page))).order_by(*sending_order(wanted))
            more = connection.execute(on_page.limit(limit - len(rows))).all()
            if not more and not connection.scalar(select(exists().where(jobs.c.id.in_(listed(page)), _UNFINISHED))):
                self._forget(wanted.provider, page)
            rows += more
            if len(rows) == limit:
                break
        return rows

    def _forget(self, provider: str, finished: tuple[int, ...]) -> None:
        with self._lock:
            self._pages[provider] = tuple(page for page in self._pages[provider] if page is not finished)

    def next_retry(self, connection: Connection, wanted: DueFilter) -> datetime | None:
        """Return when the first waiting job may be sent; None if no job waits."""
        first = select(func.min(jobs.c.not_before)).where(*waiting(wanted))
        pages = self._pages.get(wanted.provider, ())
        moments = (connection.scalar(first.where(jobs.c.id.in_(listed(page)))) for page in pages)
        return min((moment for moment in moments if moment is not None), default=None)


def scope_of(connection: Connection, batch_id: int, selection: Selection) -> Scope:
    """Return the scope of a run that starts now.

    A sample and a limit count pending jobs. Without them the scope includes jobs that an earlier run left open,
    because they may become pending.
    """
    states = _PENDING if selection.counted else (_UNFINISHED,)
    conditions = (*selected(batch_id, selection, *states), jobs.c.orphaned_at.is_(None))
    if selection.limit is not None:
        # The plan counts the first jobs of the manifest as well.
        first = select(jobs.c.id).where(*conditions).order_by(jobs.c.position).limit(selection.limit)
        conditions = (jobs.c.id.in_(first.correlate(None)),)
    return _scope(connection, *conditions)


def unfinished(connection: Connection, batch_id: int, selection: Selection) -> int:
    """Return the number of selected jobs that a run would send, or has sent without an answer so far."""
    here = select(func.count()).select_from(jobs).where(*selected(batch_id, selection, _UNFINISHED))
    return connection.scalar(here) or 0


def scope_of_ids(connection: Connection, ids: Iterable[int]) -> Scope:
    """Return the scope of a run that sends exactly these jobs."""
    return _scope(connection, jobs.c.id.in_(listed(ids)))


def _scope(connection: Connection, *conditions: ColumnElement[bool]) -> Scope:
    rows = connection.execute(select(jobs.c.id, jobs.c.provider).where(*conditions).order_by(*_SENDING_ORDER))
    return Scope((job_id, provider) for job_id, provider in rows)
