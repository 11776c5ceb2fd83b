"""Runners that share a job database on PostgreSQL: their heartbeats, leases and shares of limits.

All times are by the clock of the database, so that the clocks of the runners' hosts do not matter. A heartbeat is a
short transaction of its own: no group of claims and settlements delays it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, union, update

from ..errors import AlreadyRunning
from ..files import lock
from ..share import Capacity, Share, allot
from .dialects import SHARES, is_postgres, lock_rows_of, upsert
from .shared_tables import runners, shares
from .tables import EPOCH, batches, micros


@dataclass(frozen=True, kw_only=True, slots=True)
class RunnerRecord:
    """A runner as the database has it."""

    id: str  #: of its run
    batch_id: int
    batch: str
    shard: str | None
    host: str
    pid: int
    started_at: datetime
    heartbeat_at: datetime
    lease_until: datetime
    silent: bool  #: its lease has ended, or its process is known to be dead
    age: float  #: seconds since its last heartbeat

    @property
    def text(self) -> str:
        """Return where it runs, and what: "web2 (shard 1/3)"."""
        part = "" if self.shard is None else f" {self.shard}"
        return f"{self.host} ({self.batch}{part}{', silent' if self.silent else ''})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """The answer to a runner that was added."""

    now: datetime  #: by the clock of the database
    others: frozenset[str]  #: runners that count their requests themselves
    gone: frozenset[str]  #: runners that are gone, whose requests this one counts


@dataclass(frozen=True, kw_only=True, slots=True)
class GateReport:
    """The report of a runner on one gate: its limits, the share in force and what it has used."""

    capacity: Mapping[str, Capacity]
    share: Share


@dataclass(frozen=True, kw_only=True, slots=True)
class Beat:
    """The answer to a heartbeat."""

    granted: Mapping[str, Mapping[str, int]]  #: the share of each gate, by limit
    gone: Mapping[str, frozenset[str]] = field(default_factory=dict)  #: by gate: runners whose requests must be counted
    others: frozenset[str] = frozenset()  #: runners that count their requests themselves
    neighbours: Sequence[str] = ()  #: all other runners, for display


def database_now(connection: Connection) -> datetime:
    """Return the current time by the clock of the database."""
    if not is_postgres(connection):
        return datetime.now(UTC)
    moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return EPOCH + timedelta(microseconds=micros(moment))


def register(
    connection: Connection,
    *,
    run_id: str,
    batch_id: int,
    shard: str | None,
    host: str,
    machine: str | None,
    pid: int,
    lease: float,
) -> Registration:
    """Add a runner, whose lease begins now; raise AlreadyRunning if another one has the same jobs.

    *machine* is what its *pid* is unique in (``files.lock.machine``).
    """
    lock_rows_of(connection, SHARES)
    for other in records(connection):
        if other.batch_id == batch_id and overlap(other.shard, shard) and not other.silent:
            raise AlreadyRunning(f"Another run of these jobs has just started: process {other.pid} on {other.host}.")
    now = database_now(connection)
    until = now + timedelta(seconds=lease)
    own = {"id": run_id, "batch_id": batch_id, "shard": shard, "host": host, "machine": machine, "pid": pid}
    connection.execute(insert(runners).values(**own, started_at=now, heartbeat_at=now, lease_until=until))
    others = _others(connection, run_id, now)
    gone = frozenset(connection.execute(select(shares.c.runner_id)).scalars()) - others
    return Registration(now=now, others=others, gone=gone)


def overlap(shard: str | None, other: str | None) -> bool:
    """Return whether two shards of a batch may have jobs in common; None is the whole batch."""
    if shard is None or other is None or shard == other:
        return True
    return shard.partition("/")[2] != other.partition("/")[2]


def leave(connection: Connection, *, run_id: str) -> None:
    """Remove a runner whose run ends. What it has used of the limits counts until another one counts it."""
    lock_rows_of(connection, SHARES)
    ended = {"lease_until": database_now(connection), "wanted": False}
    connection.execute(update(shares).where(shares.c.runner_id == run_id).values(**ended))
    connection.execute(delete(runners).where(runners.c.id == run_id))


def take_over(connection: Connection, *, ids: Collection[str]) -> None:
    """Remove silent runners whose jobs another one takes over."""
    for run_id in ids:
        leave(connection, run_id=run_id)


def records(connection: Connection) -> list[RunnerRecord]:
    """Return all runners, the oldest first."""
    now = database_now(connection)
    rows = select(runners, batches.c.name).join(batches, batches.c.id == runners.c.batch_id).order_by(runners.c.id)
    return [
        RunnerRecord(
            id=row.id,
            batch_id=row.batch_id,
            batch=row.name,
            shard=row.shard,
            host=row.host,
            pid=row.pid,
            started_at=row.started_at,
            heartbeat_at=row.heartbeat_at,
            lease_until=row.lease_until,
            silent=row.lease_until <= now or lock.is_gone(row.pid, row.machine),
            age=max(0.0, (now - row.heartbeat_at).total_seconds()),
        )
        for row in connection.execute(rows)
    ]


def beat(
    connection: Connection,
    *,
    run_id: str,
    gates: Mapping[str, GateReport],
    counted: Mapping[str, Collection[str]],
    lease: float,
) -> Beat | None:
    """Renew the lease of a runner and return its shares; None if another runner has taken its place.

    *counted*: by gate, the runners that are gone and whose requests are among those that this one reports as used.
    """
    lock_rows_of(connection, SHARES)
    now = database_now(connection)
    until = now + timedelta(seconds=lease)
    own = update(runners).where(runners.c.id == run_id)
    if connection.execute(own.values(heartbeat_at=now, lease_until=until)).rowcount == 0:
        return None
    for gate, ids in counted.items():
        over = (shares.c.gate == gate, shares.c.runner_id.in_(ids), shares.c.lease_until <= now)
        connection.execute(delete(shares).where(*over))
    granted, gone = {}, {}
    for gate, report in gates.items():
        rows = connection.execute(select(shares).where(shares.c.gate == gate)).all()
        granted[gate] = _grant(connection, run_id, gate, report, rows, now, until)
        gone[gate] = frozenset(row.runner_id for row in rows if row.lease_until <= now and row.runner_id != run_id)
    neighbours = [each.text for each in records(connection) if each.id != run_id]
    return Beat(granted=granted, gone=gone, others=_others(connection, run_id, now), neighbours=neighbours)


def _others(connection: Connection, run_id: str, now: datetime) -> frozenset[str]:
    """Return the other runners that live, or whose lease has not ended."""
    alive = select(runners.c.id).where(runners.c.lease_until > now)
    held = select(shares.c.runner_id).where(shares.c.lease_until > now)
    return frozenset(connection.execute(union(alive, held)).scalars()) - {run_id}


def _grant(  # noqa: PLR0917 - a row of the table
    connection: Connection,
    run_id: str,
    gate: str,
    report: GateReport,
    rows: Sequence[Any],
    now: datetime,
    until: datetime,
) -> Mapping[str, int]:
    """Return the share of one gate and store it. A share that shrinks is stored when the runner reports it as such."""
    all_shares = {row.runner_id: _share(row) for row in rows}
    lapsed = all(row.lease_until <= now for row in rows if row.runner_id == run_id)
    all_shares[run_id] = report.share
    order = sorted(all_shares)
    granted = allot(report.capacity, [all_shares[each] for each in order], order.index(run_id))
    # A runner without a lease sends nothing until it has read the answer.
    in_force = {} if lapsed else report.share.granted
    limits = {
        name: [max(most, in_force.get(name, 0)), report.share.used.get(name, 0)] for name, most in granted.items()
    }
    facts = {
        "lease_until": until,
        "limits": json.dumps(limits),
        "wanted": report.share.wanted,
        "heaviest": report.share.heaviest,
    }
    statement = upsert(connection, shares).values(runner_id=run_id, gate=gate, **facts)
    connection.execute(statement.on_conflict_do_update(index_elements=["runner_id", "gate"], set_=facts))
    return granted


def _share(row: Any) -> Share:  # noqa: ANN401 - a row
    limits = json.loads(row.limits)
    return Share(
        granted={name: most for name, (most, _) in limits.items()},
        used={name: used for name, (_, used) in limits.items()},
        wanted=row.wanted,
        heaviest=row.heaviest,
    )
