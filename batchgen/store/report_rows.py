"""Rows of a report: the selected jobs of a batch with all their calls and files. SQL on an open connection.

A report reads every row of a batch, so these queries go past SQLAlchemy, and times stay whole microseconds.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection, func, select

from ..mode import Mode
from ..planning.selection import Selection
from .connection import driver
from .queries import require_listed, selected
from .rows import encode_list
from .tables import jobs

Row = TypeVar("Row", "Call", "FileRow")


class ReportRow(NamedTuple):
    """The columns of a job that a report shows; ``task`` and ``tags`` are JSON."""

    id: int
    key: str
    task: str
    fingerprint: str
    output: str
    sidecar: int
    tags: str
    priority: int
    position: int
    state: str
    cause: str | None
    message: str | None
    wanted: int
    delivered: int
    kind: str
    provider: str
    model: str


class Call(NamedTuple):
    """An attempt and its booking; nano-USD and milli-credits, times in microseconds since 1970 UTC."""

    job_id: int
    id: str
    run_id: str
    provider: str
    model: str
    account: str | None
    state: str  #: open, delivered or missed
    cause: str | None
    message: str | None
    status: int | None
    request_id: str | None
    started_at: int
    ended_at: int | None
    seconds: float | None
    mode: str | None  #: None: standard
    handle: str | None  #: JSON: of the remote task that it started
    submission_id: str | None  #: of the submission that it is in
    estimate_usd: int | None  #: reserved
    estimate_credits: int | None
    usd: int | None
    credits: int | None
    basis: str | None  #: None: not booked yet
    charged: str | None
    at_risk_usd: int | None
    at_risk_credits: int | None
    tier: str | None  #: that the answer states
    standard_usd: int | None  #: its price in the standard mode, if it was bought in another one and that is known

    @property
    def mode_name(self) -> str:
        """Return the mode in which it was bought."""
        return self.mode or Mode.STANDARD.value

    @property
    def is_at_provider(self) -> bool:
        """Return whether it is a remote task, or in a submission, that has not ended."""
        return self.state == "open" and (self.handle is not None or self.submission_id is not None)

    @property
    def at(self) -> int:
        """Return when it ended, or when it was sent if it is still open."""
        return self.started_at if self.ended_at is None else self.ended_at

    @property
    def is_at_risk(self) -> bool:
        """Return whether it may have been charged an unknown amount."""
        return self.charged == "maybe" and self.usd is None


class FileRow(NamedTuple):
    """A delivered file, current or superseded."""

    id: int
    job_id: int
    attempt_id: str
    ordinal: int
    path: str
    sha256: str
    size_bytes: int
    width: int
    height: int
    mime: str
    created_at: int
    superseded_at: int | None


_JOBS = (
    f"SELECT {', '.join(f'jobs.{name}' for name in ReportRow._fields)} FROM jobs "  # noqa: S608
    "JOIN json_each(?) AS wanted ON jobs.id = CAST(wanted.value AS BIGINT)"
)
#: Where the columns of the booking begin.
_BOOKED = Call._fields.index("usd")
_CALLS = (
    f"SELECT {', '.join(f'attempts.{name}' for name in Call._fields[:_BOOKED])}, "  # noqa: S608
    f"{', '.join(f'ledger.{name}' for name in Call._fields[_BOOKED:])} FROM json_each(?) AS wanted "
    "CROSS JOIN attempts ON attempts.job_id = CAST(wanted.value AS BIGINT) "
    "LEFT JOIN ledger ON ledger.attempt_id = attempts.id "
    "ORDER BY attempts.job_id, attempts.claim"
)
_FILE_COLUMNS = ", ".join(f"artifacts.{name}" for name in FileRow._fields).replace("size_bytes", "bytes")
_FILES = (
    f"SELECT {_FILE_COLUMNS} FROM json_each(?) AS wanted "  # noqa: S608
    "CROSS JOIN artifacts ON artifacts.job_id = CAST(wanted.value AS BIGINT) ORDER BY job_id, ordinal, artifacts.id"
)


def selected_ids(connection: Connection, *, batch_id: int, selection: Selection) -> array[int]:
    """Return the ids of the selected jobs in the order of the manifest; raise NotFound for an id that no job has."""
    require_listed(connection, batch_id, selection)
    wanted = select(jobs.c.id).where(*selected(batch_id, selection)).order_by(jobs.c.position, jobs.c.id)
    return array("q", connection.execute(wanted.limit(selection.limit)).scalars())


def count_tiles(connection: Connection, *, batch_id: int, selection: Selection) -> int:
    """Return how many pictures, and jobs without one, are selected."""
    tiles = select(func.max(jobs.c.delivered, 1)).where(*selected(batch_id, selection)).limit(selection.limit)
    return int(connection.scalar(select(func.sum(tiles.subquery().c[0]))) or 0)


def jobs_of(connection: Connection, *, ids: Sequence[int]) -> list[ReportRow]:
    """Return the jobs with these ids, in the order of *ids*."""
    rows = {row[0]: row for row in driver(connection).execute(_JOBS, (encode_list(ids),))}
    return [ReportRow._make(rows[job_id]) for job_id in ids if job_id in rows]


def calls_of(connection: Connection, *, ids: Sequence[int]) -> dict[int, list[Call]]:
    """Return the calls made for these jobs in order, by job id."""
    return _by_job(map(Call._make, driver(connection).execute(_CALLS, (encode_list(ids),))))


def files_of(connection: Connection, *, ids: Sequence[int]) -> dict[int, list[FileRow]]:
    """Return all files ever delivered for these jobs in order, by job id."""
    return _by_job(map(FileRow._make, driver(connection).execute(_FILES, (encode_list(ids),))))


def _by_job(rows: Iterable[Row]) -> dict[int, list[Row]]:
    by_job: dict[int, list[Row]] = {}
    for row in rows:
        by_job.setdefault(row.job_id, []).append(row)
    return by_job
