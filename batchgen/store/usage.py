"""Sums over the ledger, read from an open connection.  nano-USD and milli-credits."""

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
_IN_DOUBT = and_(ledger.c.charged == "maybe", ledger.c.usd.is_(None))


def usage(connection: Connection, batch_id: int) -> list[UsageLine]:
    """Return the ledger of a batch by provider and model, attempts under way included in their number."""
    return totals(booked(connection, batch_id))


def booked(
    connection: Connection, batch_id: int | None, by: Sequence[GroupBy] = (), period: Period = ALWAYS
) -> list[UsageSum]:
    """Return what was booked in a period, told apart as far as *by* needs it, and all that is under way.

    No batch: of all of them.
    """
    kinds = (ledger.c.provider, ledger.c.model, ledger.c.basis)
    marks = [mark.label(key) for key, mark in _MARKS.items() if key in by]
    source = ledger.join(attempts).join(jobs) if GroupBy.TAG in by else ledger
    source = source.join(batches, batches.c.id == ledger.c.batch_id) if GroupBy.BATCH in by else source
    grouped = select(*kinds, *_SUMS, *marks).select_from(source).where(*_within(period)).group_by(*kinds, *marks)
    if batch_id is not None:
        grouped = grouped.where(ledger.c.batch_id == batch_id)
    return [_booked(row) for row in connection.execute(grouped)] + _under_way(connection, batch_id, by)


def _under_way(connection: Connection, batch_id: int | None, by: Sequence[GroupBy]) -> list[UsageSum]:
    kinds = (attempts.c.provider, attempts.c.model)
    marks = [mark.label(key) for key, mark in _OPEN_MARKS.items() if key in by]
    source = attempts.join(jobs)
    source = source.join(batches, batches.c.id == jobs.c.batch_id) if GroupBy.BATCH in by else source
    numbers = (
        func.count().label("attempts"),
        func.count().label("open"),
        func.sum(attempts.c.estimate_usd).label("open_usd"),
        func.sum(attempts.c.estimate_credits).label("open_credits"),
    )
    going = select(*kinds, *numbers, *marks).select_from(source).where(_OPEN).group_by(*kinds, *marks)
    if batch_id is not None:
        going = going.where(jobs.c.batch_id == batch_id)
    return [_booked(row) for row in connection.execute(going)]


def _booked(row: Row[Any]) -> UsageSum:
    """Return a sum, and apart from it what it was told apart by."""
    told = row._asdict()
    basis, usd = told.pop("basis", ""), told.pop("usd", None)
    return UsageSum(
        day=told.pop(GroupBy.DAY, None),
        tags=decode_tags(told.pop(GroupBy.TAG, "[]")),
        run=told.pop(GroupBy.RUN, ""),
        batch=told.pop(GroupBy.BATCH, ""),
        line=UsageLine(**told, usd_by_basis={} if usd is None else {basis: usd}),
    )


def calls(
    connection: Connection, batch_id: int | None, period: Period = ALWAYS, *, under_way: bool = True
) -> list[Calls]:
    """Return how the calls of a period ended, and those *under_way*, by provider and by whose jobs they were for.

    No batch: of all of them.
    """
    outcome = func.coalesce(attempts.c.cause, attempts.c.state)
    kinds = (attempts.c.provider, jobs.c.provider, outcome)
    source = attempts.join(jobs)
    found = select(*kinds, func.count())
    if period != ALWAYS:
        source, within = source.outerjoin(ledger), and_(*_within(period))
        found = found.where(or_(within, _OPEN) if under_way else within)
    if batch_id is not None:
        found = found.where(jobs.c.batch_id == batch_id)
    found = found.select_from(source).group_by(*kinds).order_by(attempts.c.provider, func.count().desc())
    return [
        Calls(provider=who, home=home, outcome=how, count=count) for who, home, how, count in connection.execute(found)
    ]


def spent(
    connection: Connection,
    *,
    batch_id: int | None,
    provider: str | None,
    run_id: str | None,
    since: datetime | None,
) -> Spent:
    """Return what budgets count; None does not restrict."""
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
    if batch_id is not None:
        settled, going = settled.where(ledger.c.batch_id == batch_id), going.where(jobs.c.batch_id == batch_id)
    if provider is not None:
        settled, going = settled.where(ledger.c.provider == provider), going.where(attempts.c.provider == provider)
    if run_id is not None:
        settled, going = settled.where(ledger.c.run_id == run_id), going.where(attempts.c.run_id == run_id)
    if since is not None:
        settled, going = settled.where(ledger.c.at >= since), going.where(attempts.c.started_at >= since)
    return Spent(**connection.execute(settled).mappings().one(), **connection.execute(going).mappings().one())


def bills(connection: Connection, ids: Sequence[int]) -> dict[int, Bill]:
    """Return what each of these jobs took; every id has an entry."""
    wanted = listed(ids)
    files: dict[int, list[StoredArtifact]] = {}
    kept = select(artifacts).where(artifacts.c.job_id.in_(wanted), artifacts.c.superseded_at.is_(None))
    for row in connection.execute(kept.order_by(artifacts.c.ordinal, artifacts.c.id)):
        files.setdefault(row.job_id, []).append(to_artifact(row))
    # beside max() SQLite gives the other columns of that very row
    last = (attempts.c.provider, func.max(attempts.c.claim))
    risk = (_count(_IN_DOUBT), func.sum(ledger.c.at_risk_usd), func.sum(ledger.c.at_risk_credits))
    costs = (
        select(attempts.c.job_id, func.count(), func.sum(ledger.c.usd), func.sum(ledger.c.credits), *risk, *last)
        .select_from(attempts.outerjoin(ledger))
        .where(attempts.c.job_id.in_(wanted))
        .group_by(attempts.c.job_id)
    )
    found = {job_id: Bill() for job_id in ids}
    for job_id, number, usd, credit, at_risk, risk_usd, risk_credits, provider, _ in connection.execute(costs):
        found[job_id] = Bill(
            attempts=number,
            usd=usd,
            credits=credit,
            provider=provider,
            at_risk=at_risk,
            at_risk_usd=risk_usd,
            at_risk_credits=risk_credits,
        )
    return {job_id: replace(bill, files=tuple(files.get(job_id, ()))) for job_id, bill in found.items()}


#: A literal, so that SQLite sees that the small index of open attempts serves.
_OPEN = text("attempts.state = 'open'")


_SECONDS = type_coerce(ledger.c.at, Integer) // micros(EPOCH + timedelta(seconds=1))

#: What rows of the ledger, and attempts under way, are told apart by; days are those of this machine's time zone.
_MARKS: dict[GroupBy, ColumnElement[Any]] = {
    GroupBy.DAY: func.date(_SECONDS, "unixepoch", "localtime"),
    GroupBy.TAG: jobs.c.tags,
    GroupBy.RUN: ledger.c.run_id,
    GroupBy.BATCH: batches.c.name,
}
_OPEN_MARKS: dict[GroupBy, ColumnElement[Any]] = {
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
    _count(_IN_DOUBT).label("at_risk"),
)
