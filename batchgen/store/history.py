"""History: what is known from earlier calls about latencies, image sizes, rates and prices.

Only the newest rows are read, of any batch: a provider is as fast for all of them, and a large database costs no more
time than a small one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Integer, and_, cast, func, select, text
from sqlalchemy.exc import DBAPIError

from ..database_url import Database
from ..mode import Mode
from ..task import Basis, Charge, Task, Usage
from .connection import brief_engine
from .database_errors import explain
from .dialects import is_postgres, newest_first, upsert
from .rows import decode_task
from .tables import artifacts, attempts, jobs, learned, ledger

if TYPE_CHECKING:
    from ..planning.forecast import Latency

#: Rows that are read for latencies and sizes, and how many of a kind are enough.
RECENT, ENOUGH = 2_000, 20
#: Attempts read in one query for recently sent requests.
_PAGE = 2_000
#: Rows of the ledger that are read for prices.
_RECENT_BILLS = 300


@contextmanager
def _open(database: Database) -> Iterator[Connection]:
    try:
        with brief_engine(database) as engine, engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise explain(error, database) from error


# --- latencies and sizes ------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """Latencies and sizes of earlier calls; kinds with too few of them are left out."""

    latencies: Mapping[tuple[str, str], Latency] = field(default_factory=dict)  #: by provider and model
    bytes_per_pixel: Mapping[str, float] = field(default_factory=dict)  #: by format: "png", "jpeg", "webp"


def measured(database: Database) -> History:
    """Return the history of the job database *database*; raise StoreError if it cannot be read."""
    with _open(database) as connection:
        return History(latencies=_latencies(connection), bytes_per_pixel=_sizes(connection))


def _latencies(connection: Connection) -> dict[tuple[str, str], Latency]:
    calls = select(attempts.c.provider, attempts.c.model, attempts.c.state, attempts.c.seconds)
    calls = calls.where(attempts.c.mode.is_(None))  # Answers in other modes take longer.
    newest = newest_first(connection, calls, attempts).limit(RECENT)
    durations: dict[tuple[str, str], list[float]] = {}
    for provider, model, state, seconds in connection.execute(newest):
        if state == "delivered" and seconds:
            durations.setdefault((provider, model), []).append(seconds)
    return {name: _latency(sorted(seconds)) for name, seconds in durations.items() if len(seconds) >= ENOUGH}


def _latency(seconds: list[float]) -> Latency:
    from ..planning.forecast import Latency

    return Latency(median=seconds[len(seconds) // 2], p90=seconds[len(seconds) * 9 // 10], measured=True)


def _sizes(connection: Connection) -> dict[str, float]:
    files = select(artifacts.c.mime, artifacts.c.bytes, artifacts.c.width, artifacts.c.height)
    newest = newest_first(connection, files, artifacts).limit(RECENT).subquery()
    pixels = func.sum(newest.c.width * newest.c.height)
    sums = select(newest.c.mime, func.sum(newest.c.bytes), pixels).group_by(newest.c.mime)
    rows = connection.execute(sums.having(func.count() >= ENOUGH))
    return {mime.rpartition("/")[2]: size / area for mime, size, area in rows if area}


# --- requests sent recently ---------------------------------------------------


class SentRequest(NamedTuple):
    """One request that was sent, or was about to be."""

    at: datetime
    images: int  #: requested images and source images
    model: str
    account: str | None  #: which of several API keys was used
    run_id: str


def sent_since(database: Database, provider: str, since: datetime) -> list[SentRequest]:
    """Return the requests to *provider* sent after *since*, of every batch and run; raise StoreError.

    Limits are the provider's, not a run's, and calls in submissions count against none. Attempts are never deleted and
    their rows are numbered in order, so the newest are found without reading the others.
    """
    requested = func.coalesce(cast(func.json_extract(jobs.c.task, "$.n"), Integer), 1)
    sources = func.coalesce(func.json_array_length(jobs.c.task, "$.images"), 0)
    facts = (
        attempts.c.provider,
        attempts.c.started_at,
        requested + sources,
        attempts.c.model,
        attempts.c.account,
        attempts.c.run_id,
        attempts.c.submission_id,
    )
    with _open(database) as connection:
        if is_postgres(connection):
            sent = (attempts.c.provider == provider, attempts.c.started_at > since, attempts.c.submission_id.is_(None))
            recent = select(*facts[1:-1]).join_from(attempts, jobs).where(*sent)
            return [SentRequest(*row) for row in connection.execute(recent)]
        return list(_sent_since(connection, facts, provider, since))


def _sent_since(
    connection: Connection, facts: Sequence[ColumnElement[Any]], provider: str, since: datetime
) -> Iterator[SentRequest]:
    """Yield the requests, page by page in the order of SQLite's own numbers, without an index on their times."""
    page = select(text("attempts.rowid"), *facts).join_from(attempts, jobs)
    page = page.order_by(text("attempts.rowid DESC")).limit(_PAGE)
    rows = connection.execute(page).all()
    while rows:
        recent = [row for row in rows if row[2] > since]
        yield from (SentRequest(*row[2:-1]) for row in recent if row[1] == provider and row[-1] is None)
        if len(recent) < len(rows):
            break
        rows = connection.execute(page.where(text("attempts.rowid < :last")), {"last": rows[-1][0]}).all()


# --- learned rates ------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnedRate:
    """The state of one lane's adaptive limit at a time, as ``engine.limits.adaptive`` saves it."""

    state: Mapping[str, float | bool]
    at: datetime


def learned_rates(connection: Connection) -> dict[str, LearnedRate]:
    """Return the learned rates by lane; unreadable ones are left out."""
    rates = {}
    for row in connection.execute(select(learned)):
        try:
            state = json.loads(row.state)
        except ValueError:
            continue
        if isinstance(state, dict):
            rates[row.lane] = LearnedRate(state=state, at=row.at)
    return rates


def learn(connection: Connection, *, states: Mapping[str, Mapping[str, float | bool]], now: datetime) -> None:
    """Store the learned rates of lanes."""
    for lane, state in states.items():
        columns = {"state": json.dumps(state), "at": now}
        statement = upsert(connection, learned).values(lane=lane, **columns)
        connection.execute(statement.on_conflict_do_update(index_elements=["lane"], set_=columns))


# --- prices -------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class PastCall:
    """A call that returned images, with what it requested and what was booked for it."""

    task: Task  #: as its job asks for it, but with the provider and model that were called
    charge: Charge
    usage: Usage  #: as much as the ledger stores
    mode: Mode = Mode.STANDARD


def past_calls(connection: Connection) -> Iterator[PastCall]:
    """Yield the latest calls that returned images, oldest first, if their jobs still request the same."""
    newest = select(ledger).order_by(ledger.c.id.desc()).limit(_RECENT_BILLS).subquery()
    # A job that was changed since has a later claim or is not done.
    unchanged = and_(jobs.c.id == attempts.c.job_id, jobs.c.claim == attempts.c.claim, jobs.c.state == "done")
    source = newest.join(attempts, attempts.c.id == newest.c.attempt_id).join(jobs, unchanged)
    calls = select(newest, jobs.c.task, jobs.c.wanted, attempts.c.mode).select_from(source)
    for row in connection.execute(calls.where(newest.c.images > 0).order_by(newest.c.id)):
        yield PastCall(
            task=replace(decode_task(row.task), provider=row.provider, model=row.model, n=row.wanted),
            charge=Charge(usd=row.usd, credits=row.credits, basis=Basis(row.basis)),
            usage=Usage(
                images=row.images,
                input_tokens=row.input_tokens,
                output_tokens=row.output_tokens,
                credits=row.credits,
            ),
            mode=Mode(row.mode or Mode.STANDARD),
        )
