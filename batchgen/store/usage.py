"""Usage: sums over the ledger, in nano-USD and milli-credits. SQL on an open connection."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Subquery, and_, case, func, select, type_coerce

from ..job import State
from ..mode import Mode
from .dialects import Number, is_postgres, of_last
from .ledger import Calls, Spent, UsageLine
from .records import Bill, StoredArtifact
from .rows import decode_tags, listed, to_artifact
from .tables import EPOCH, IS_REMOTE, OPEN, artifacts, attempts, batch_of_job, batches, jobs, ledger, micros
from .totals import AT_RISK, bookings, bookings_by
from .usage_groups import ALWAYS, GroupBy, Period, UsageSum, totals

#: Seconds in a quarter of an hour.
_QUARTER = 900
#: The mode of an attempt.
_MODE = func.coalesce(attempts.c.mode, Mode.STANDARD.value)


def usage(connection: Connection, batch_id: int) -> list[UsageLine]:
    """Return the ledger of a batch by provider and model; attempts in flight are counted."""
    return totals(booked(connection, batch_id))


def booked(
    connection: Connection, batch_id: int | None, by: Sequence[GroupBy] = (), period: Period = ALWAYS
) -> list[UsageSum]:
    """Return the sums of a period, grouped as finely as *by* needs, and those of attempts in flight.

    Without a batch, the sums are over all batches.
    """
    more: dict[str, ColumnElement[Any]] = {}
    if GroupBy.TAG in by:
        more["tags"] = jobs.c.tags
    if GroupBy.MODE in by:
        more["mode"] = _MODE
    if GroupBy.DAY in by and (time.timezone % _QUARTER or time.altzone % _QUARTER):
        more["quarter"] = ledger.c.at  # no zone of today has such days, but a user may define one
    source = bookings_by(period, **more) if more else bookings(period)
    kinds = (source.c.provider, source.c.model, source.c.basis)
    groups = [column.label(key) for key, column in _groups(connection, source).items() if key in by]
    sums = [func.sum(source.c[name]).label(name) for name in _SUMS]
    grouped = select(*kinds, *sums, *groups).group_by(*kinds, *groups)
    if GroupBy.BATCH in by:
        grouped = grouped.join(batches, batches.c.id == source.c.batch_id)
    if batch_id is not None:
        grouped = grouped.where(source.c.batch_id == batch_id)
    return [_booked(row) for row in connection.execute(grouped)] + _in_flight(connection, batch_id, by)


def _in_flight(connection: Connection, batch_id: int | None, by: Sequence[GroupBy]) -> list[UsageSum]:
    kinds = (attempts.c.provider, attempts.c.model)
    groups = [column.label(key) for key, column in _OPEN_GROUPS.items() if key in by]
    source = attempts.join(jobs)
    source = source.join(batches, batches.c.id == jobs.c.batch_id) if GroupBy.BATCH in by else source
    numbers = (
        func.count().label("attempts"),
        func.count().label("open"),
        func.sum(attempts.c.estimate_usd).label("open_usd"),
        func.sum(attempts.c.estimate_credits).label("open_credits"),
    )
    going = select(*kinds, *numbers, *groups).select_from(source).where(OPEN).group_by(*kinds, *groups)
    if batch_id is not None:
        going = going.where(batch_of_job == batch_id)
    return [_booked(row) for row in connection.execute(going)]


def _booked(row: Row[Any]) -> UsageSum:
    """Return the totals of a row and the columns it is grouped by."""
    columns = row._asdict()
    basis, usd = columns.pop("basis", ""), columns.pop("usd", None)
    return UsageSum(
        day=_day(columns.pop(GroupBy.DAY, None)),
        tags=decode_tags(columns.pop(GroupBy.TAG, "[]")),
        run=columns.pop(GroupBy.RUN, ""),
        batch=columns.pop(GroupBy.BATCH, ""),
        mode=columns.pop(GroupBy.MODE, ""),
        line=UsageLine(**columns, usd_by_basis={} if usd is None else {basis: usd}),
    )


def _day(stored: int | str | None) -> str | None:
    return datetime.fromtimestamp(stored).astimezone().date().isoformat() if isinstance(stored, int) else stored


def of_run(connection: Connection, batch_id: int, run_id: str) -> dict[str, dict[str, int]]:
    """Return what a run did so far, by provider: its jobs by state, images, nano-USD and milli-credits.

    This reads every attempt of the batch.
    """
    newest = select(attempts.c.provider, jobs.c.state, func.count()).select_from(attempts.join(jobs))
    newest = newest.where(attempts.c.run_id == run_id, jobs.c.batch_id == batch_id, attempts.c.claim == jobs.c.claim)
    sums: dict[str, dict[str, int]] = {}
    for provider, state, count in connection.execute(newest.group_by(attempts.c.provider, jobs.c.state)):
        sums.setdefault(provider, {})["in_flight" if state == State.RUNNING.value else state] = count
    source = bookings()
    money = select(source.c.provider, *(func.sum(source.c[name]) for name in ("images", "usd", "credits")))
    money = money.where(source.c.batch_id == batch_id, source.c.run_id == run_id).group_by(source.c.provider)
    for provider, images, usd, credits_ in connection.execute(money):
        sums.setdefault(provider, {}).update(images=images, usd=usd or 0, credits=credits_ or 0)
    return sums


def calls(
    connection: Connection, batch_id: int | None, period: Period = ALWAYS, *, in_flight: bool = True
) -> list[Calls]:
    """Return the calls of a period by provider, provider of the job, and outcome; with *in_flight*, also open ones.

    Without a batch, the calls of all batches are counted.
    """
    source = bookings(period)
    counts = select(source.c.provider, source.c.home, source.c.outcome, func.sum(source.c.attempts))
    counts = counts.where(source.c.home != "")
    going = select(attempts.c.provider, jobs.c.provider, attempts.c.state, func.count())
    going = going.select_from(attempts.join(jobs)).where(OPEN)
    if batch_id is not None:
        counts, going = counts.where(source.c.batch_id == batch_id), going.where(batch_of_job == batch_id)
    rows = list(connection.execute(counts.group_by(source.c.provider, source.c.home, source.c.outcome)))
    if in_flight:
        rows += connection.execute(going.group_by(attempts.c.provider, jobs.c.provider, attempts.c.state))
    calls = [Calls(provider=who, home=home, outcome=how, count=count) for who, home, how, count in rows]
    return sorted(calls, key=lambda group: (group.provider, -group.count, group.home, group.outcome))


def spent(
    connection: Connection,
    *,
    batch_id: int | None,
    provider: str | None,
    run_id: str | None,
    since: datetime | None,
    until: datetime | None = None,
) -> Spent:
    """Return what counts against budgets; None does not restrict."""
    source = bookings(Period(since=since, until=until))
    names = ("usd", "credits", "at_risk_usd", "at_risk_credits")
    settled = select(
        *(_sum(source.c[name]).label(name) for name in names), _sum(source.c.unestimated).label("unpriced")
    )
    going = select(
        _sum(attempts.c.estimate_usd).label("open_usd"), _sum(attempts.c.estimate_credits).label("open_credits")
    )
    going = going.select_from(attempts.join(jobs)).where(OPEN)
    for value, booked_column, open_column in (
        (batch_id, source.c.batch_id, batch_of_job),
        (provider, source.c.provider, attempts.c.provider),
        (run_id, source.c.run_id, attempts.c.run_id),
    ):
        if value is not None:
            settled, going = settled.where(booked_column == value), going.where(open_column == value)
    # An open attempt is booked when it ends, so that it counts in full whenever it was sent.
    return Spent(**connection.execute(settled).mappings().one(), **connection.execute(going).mappings().one())


def bills(connection: Connection, ids: Sequence[int]) -> dict[int, Bill]:
    """Return the bill of each of these jobs; every id has an entry."""
    wanted = listed(ids)
    files: dict[int, list[StoredArtifact]] = {}
    current = select(artifacts).where(artifacts.c.job_id.in_(wanted), artifacts.c.superseded_at.is_(None))
    for row in connection.execute(current.order_by(artifacts.c.ordinal, artifacts.c.id)):
        files.setdefault(row.job_id, []).append(to_artifact(row))
    last = (of_last(attempts.c.provider, attempts.c.claim), of_last(_MODE, attempts.c.claim))
    at_risk = func.coalesce(func.sum(case((AT_RISK, 1), else_=0)), 0)
    risk = (at_risk, func.sum(ledger.c.at_risk_usd), func.sum(ledger.c.at_risk_credits))
    # Of another max(), SQLite could take the row of the last attempt.
    remote = func.sum(case((and_(OPEN, IS_REMOTE), 1), else_=0))
    spent = (func.count(), func.sum(ledger.c.usd), func.sum(ledger.c.credits))
    costs = (
        select(attempts.c.job_id, *spent, *risk, remote, *last, func.max(attempts.c.claim))
        .select_from(attempts.outerjoin(ledger))
        .where(attempts.c.job_id.in_(wanted))
        .group_by(attempts.c.job_id)
    )
    result = {job_id: Bill() for job_id in ids}
    for row in connection.execute(costs):
        job_id, number, usd, credit, at_risk, risk_usd, risk_credits, remote, provider, mode, _ = row
        result[job_id] = Bill(
            attempts=number,
            usd=usd,
            credits=credit,
            provider=provider,
            mode=Mode(mode),
            at_provider=bool(remote),
            at_risk=at_risk,
            at_risk_usd=risk_usd,
            at_risk_credits=risk_credits,
        )
    return {job_id: replace(bill, files=tuple(files.get(job_id, ()))) for job_id, bill in result.items()}


def _groups(connection: Connection, source: Subquery) -> dict[GroupBy, ColumnElement[Any]]:
    """Return the columns by which bookings are grouped; days are in this machine's time zone."""
    seconds = type_coerce(source.c.quarter, Number) // micros(EPOCH + timedelta(seconds=1))
    return {
        # A server may be in another time zone, so that PostgreSQL returns quarters of an hour: see ``_day``.
        GroupBy.DAY: seconds if is_postgres(connection) else func.date(seconds, "unixepoch", "localtime"),
        GroupBy.RUN: source.c.run_id,
        GroupBy.BATCH: batches.c.name,
    } | {key: source.c[name] for key, name in ((GroupBy.TAG, "tags"), (GroupBy.MODE, "mode")) if name in source.c}


_OPEN_GROUPS: dict[GroupBy, ColumnElement[Any]] = {
    GroupBy.TAG: jobs.c.tags,
    GroupBy.RUN: attempts.c.run_id,
    GroupBy.BATCH: batches.c.name,
    GroupBy.MODE: _MODE,
}
_SUMS = (
    "attempts",
    "images",
    "input_tokens",
    "output_tokens",
    "credits",
    "usd",
    "at_risk_usd",
    "at_risk_credits",
    "unpriced",
    "at_risk",
)


def _sum(column: ColumnElement[int | None]) -> ColumnElement[int]:
    return func.coalesce(func.sum(column), 0)
