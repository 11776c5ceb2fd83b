"""Usage: sums over the ledger, in nano-USD and milli-credits. SQL on an open connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Row, and_, case, func, or_, select, text, type_coerce

from .ledger import Calls, Spent, UsageLine
from .records import Bill, StoredArtifact
from .rows import decode_tags, listed, to_artifact
from .tables import EPOCH, artifacts, attempts, batches, jobs, ledger, micros
from .usage_groups import ALWAYS, GroupBy, Period, UsageSum, totals

_UNPRICED = and_(ledger.c.charged != "no", ledger.c.usd.is_(None))
_UNKNOWN = and_(ledger.c.charged == "maybe", ledger.c.usd.is_(None))


def usage(connection: Connection, batch_id: int) -> list[UsageLine]:
    """Return the ledger of a batch by provider and model; attempts in flight are counted."""
    return totals(booked(connection, batch_id))


def booked(
    connection: Connection, batch_id: int | None, by: Sequence[GroupBy] = (), period: Period = ALWAYS
) -> list[UsageSum]:
    """Return the sums of a period, grouped as finely as *by* needs, and those of attempts in flight.

    Without a batch, the sums are over all batches.
    """
    kinds = (ledger.c.provider, ledger.c.model, ledger.c.basis)
    groups = [column.label(key) for key, column in _GROUPS.items() if key in by]
    source = ledger.join(attempts).join(jobs) if GroupBy.TAG in by else ledger
    source = source.join(batches, batches.c.id == ledger.c.batch_id) if GroupBy.BATCH in by else source
    grouped = select(*kinds, *_SUMS, *groups).select_from(source).where(*_within(period)).group_by(*kinds, *groups)
    if batch_id is not None:
        grouped = grouped.where(ledger.c.batch_id == batch_id)
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
    going = select(*kinds, *numbers, *groups).select_from(source).where(_OPEN).group_by(*kinds, *groups)
    if batch_id is not None:
        going = going.where(jobs.c.batch_id == batch_id)
    return [_booked(row) for row in connection.execute(going)]


def _booked(row: Row[Any]) -> UsageSum:
    """Return the totals of a row and the columns it is grouped by."""
    columns = row._asdict()
    basis, usd = columns.pop("basis", ""), columns.pop("usd", None)
    return UsageSum(
        day=columns.pop(GroupBy.DAY, None),
        tags=decode_tags(columns.pop(GroupBy.TAG, "[]")),
        run=columns.pop(GroupBy.RUN, ""),
        batch=columns.pop(GroupBy.BATCH, ""),
        line=UsageLine(**columns, usd_by_basis={} if usd is None else {basis: usd}),
    )


def of_run(connection: Connection, batch_id: int, run_id: str) -> dict[str, dict[str, int]]:
    """Return what a run did so far, by provider: its jobs by state, images, nano-USD and milli-credits."""
    newest = select(attempts.c.provider, jobs.c.state, func.count()).select_from(attempts.join(jobs))
    newest = newest.where(attempts.c.run_id == run_id, jobs.c.batch_id == batch_id, attempts.c.claim == jobs.c.claim)
    sums: dict[str, dict[str, int]] = {}
    for provider, state, count in connection.execute(newest.group_by(attempts.c.provider, jobs.c.state)):
        sums.setdefault(provider, {})[state] = count
    money = select(ledger.c.provider, func.sum(ledger.c.images), func.sum(ledger.c.usd), func.sum(ledger.c.credits))
    money = money.where(ledger.c.batch_id == batch_id, ledger.c.run_id == run_id).group_by(ledger.c.provider)
    for provider, images, usd, credits_ in connection.execute(money):
        sums.setdefault(provider, {}).update(images=images, usd=usd or 0, credits=credits_ or 0)
    return sums


def calls(
    connection: Connection, batch_id: int | None, period: Period = ALWAYS, *, in_flight: bool = True
) -> list[Calls]:
    """Return the calls of a period by provider, provider of the job, and outcome; with *in_flight*, also open ones.

    Without a batch, the calls of all batches are counted.
    """
    outcome = func.coalesce(attempts.c.cause, attempts.c.state)
    kinds = (attempts.c.provider, jobs.c.provider, outcome)
    source = attempts.join(jobs)
    counts = select(*kinds, func.count())
    if period != ALWAYS:
        source, within = source.outerjoin(ledger), and_(*_within(period))
        counts = counts.where(or_(within, _OPEN) if in_flight else within)
    if batch_id is not None:
        counts = counts.where(jobs.c.batch_id == batch_id)
    counts = counts.select_from(source).group_by(*kinds).order_by(attempts.c.provider, func.count().desc())
    return [
        Calls(provider=who, home=home, outcome=how, count=count) for who, home, how, count in connection.execute(counts)
    ]


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
    unpriced = and_(_UNPRICED, *(column.is_(None) for column in (ledger.c.credits, ledger.c.at_risk_usd)))
    settled = select(
        _sum(ledger.c.usd).label("usd"),
        _sum(ledger.c.credits).label("credits"),
        _sum(ledger.c.at_risk_usd).label("at_risk_usd"),
        _sum(ledger.c.at_risk_credits).label("at_risk_credits"),
        _count(unpriced).label("unpriced"),
    )
    going = select(
        _sum(attempts.c.estimate_usd).label("open_usd"), _sum(attempts.c.estimate_credits).label("open_credits")
    )
    going = going.select_from(attempts.join(jobs)).where(_OPEN)
    for value, booked_column, open_column in (
        (batch_id, ledger.c.batch_id, jobs.c.batch_id),
        (provider, ledger.c.provider, attempts.c.provider),
        (run_id, ledger.c.run_id, attempts.c.run_id),
    ):
        if value is not None:
            settled, going = settled.where(booked_column == value), going.where(open_column == value)
    if since is not None:
        # An open attempt is booked when it ends, so that it counts in full whenever it was sent.
        settled = settled.where(ledger.c.at >= since)
    if until is not None:
        settled = settled.where(ledger.c.at < until)
    return Spent(**connection.execute(settled).mappings().one(), **connection.execute(going).mappings().one())


def bills(connection: Connection, ids: Sequence[int]) -> dict[int, Bill]:
    """Return the bill of each of these jobs; every id has an entry."""
    wanted = listed(ids)
    files: dict[int, list[StoredArtifact]] = {}
    current = select(artifacts).where(artifacts.c.job_id.in_(wanted), artifacts.c.superseded_at.is_(None))
    for row in connection.execute(current.order_by(artifacts.c.ordinal, artifacts.c.id)):
        files.setdefault(row.job_id, []).append(to_artifact(row))
    # With max(), SQLite returns the other columns of the row that has the maximum.
    last = (attempts.c.provider, func.max(attempts.c.claim))
    risk = (_count(_UNKNOWN), func.sum(ledger.c.at_risk_usd), func.sum(ledger.c.at_risk_credits))
    costs = (
        select(attempts.c.job_id, func.count(), func.sum(ledger.c.usd), func.sum(ledger.c.credits), *risk, *last)
        .select_from(attempts.outerjoin(ledger))
        .where(attempts.c.job_id.in_(wanted))
        .group_by(attempts.c.job_id)
    )
    result = {job_id: Bill() for job_id in ids}
    for job_id, number, usd, credit, at_risk, risk_usd, risk_credits, provider, _ in connection.execute(costs):
        result[job_id] = Bill(
            attempts=number,
            usd=usd,
            credits=credit,
            provider=provider,
            at_risk=at_risk,
            at_risk_usd=risk_usd,
            at_risk_credits=risk_credits,
        )
    return {job_id: replace(bill, files=tuple(files.get(job_id, ()))) for job_id, bill in result.items()}


#: A literal, so that SQLite uses the partial index of open attempts.
_OPEN = text("attempts.state = 'open'")


_SECONDS = type_coerce(ledger.c.at, Integer) // micros(EPOCH + timedelta(seconds=1))

#: Columns by which ledger rows and open attempts are grouped; days are in this machine's time zone.
_GROUPS: dict[GroupBy, ColumnElement[Any]] = {
    GroupBy.DAY: func.date(_SECONDS, "unixepoch", "localtime"),
    GroupBy.TAG: jobs.c.tags,
    GroupBy.RUN: ledger.c.run_id,
    GroupBy.BATCH: batches.c.name,
}
_OPEN_GROUPS: dict[GroupBy, ColumnElement[Any]] = {
    GroupBy.TAG: jobs.c.tags,
    GroupBy.RUN: attempts.c.run_id,
    GroupBy.BATCH: batches.c.name,
}


def _within(period: Period) -> list[ColumnElement[bool]]:
    since = [] if period.since is None else [ledger.c.at >= period.since]
    return since if period.until is None else [*since, ledger.c.at < period.until]


def _sum(column: ColumnElement[int | None]) -> ColumnElement[int]:
    return func.coalesce(func.sum(column), 0)


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


_SUMS = (
    func.count().label("attempts"),
    *(
        func.sum(column).label(column.name)
        for column in (
            ledger.c.images,
            ledger.c.input_tokens,
            ledger.c.output_tokens,
            ledger.c.credits,
            ledger.c.usd,
            ledger.c.at_risk_usd,
            ledger.c.at_risk_credits,
        )
    ),
    _count(_UNPRICED).label("unpriced"),
    _count(_UNKNOWN).label("at_risk"),
)
