"""Sums over the ledger, read from an open connection.  nano-USD and milli-credits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, case, func, select, text

from ..ledger import Calls, Spent, UsageLine, add
from .rows import listed, to_artifact
from .tables import artifacts, attempts, jobs, ledger
from .values import Bill, StoredArtifact

_UNPRICED = and_(ledger.c.charged != "no", ledger.c.usd.is_(None))
_IN_DOUBT = and_(ledger.c.charged == "maybe", ledger.c.usd.is_(None))


def usage(connection: Connection, batch_id: int) -> list[UsageLine]:
    """Return the ledger of a batch by provider and model, attempts under way included in their number."""
    lines: dict[tuple[str, str], UsageLine] = {}
    grouped = select(
        ledger.c.provider,
        ledger.c.model,
        ledger.c.basis,
        func.count().label("attempts"),
        func.sum(ledger.c.images).label("images"),
        func.sum(ledger.c.input_tokens).label("input_tokens"),
        func.sum(ledger.c.output_tokens).label("output_tokens"),
        func.sum(ledger.c.credits).label("credits"),
        func.sum(ledger.c.usd).label("usd"),
        _count(_UNPRICED).label("unpriced"),
        _count(_IN_DOUBT).label("at_risk"),
        func.sum(ledger.c.at_risk_usd).label("at_risk_usd"),
        func.sum(ledger.c.at_risk_credits).label("at_risk_credits"),
    ).where(ledger.c.batch_id == batch_id)
    for row in connection.execute(grouped.group_by(ledger.c.provider, ledger.c.model, ledger.c.basis)):
        line = lines.get((row.provider, row.model), UsageLine(provider=row.provider, model=row.model))
        lines[row.provider, row.model] = UsageLine(
            provider=row.provider,
            model=row.model,
            attempts=line.attempts + row.attempts,
            images=line.images + row.images,
            input_tokens=add([line.input_tokens, row.input_tokens]),
            output_tokens=add([line.output_tokens, row.output_tokens]),
            credits=add([line.credits, row.credits]),
            usd_by_basis={**line.usd_by_basis, **({} if row.usd is None else {row.basis: row.usd})},
            unpriced=line.unpriced + row.unpriced,
            at_risk=line.at_risk + row.at_risk,
            at_risk_usd=add([line.at_risk_usd, row.at_risk_usd]),
            at_risk_credits=add([line.at_risk_credits, row.at_risk_credits]),
        )
    _add_open(connection, batch_id, lines)
    return [lines[name] for name in sorted(lines)]


def calls(connection: Connection, batch_id: int) -> list[Calls]:
    """Return how the calls of a batch ended, by provider and by whose jobs they were for."""
    outcome = func.coalesce(attempts.c.cause, attempts.c.state)
    kinds = (attempts.c.provider, jobs.c.provider, outcome)
    found = select(*kinds, func.count()).join_from(attempts, jobs).where(jobs.c.batch_id == batch_id)
    rows = connection.execute(found.group_by(*kinds).order_by(attempts.c.provider, func.count().desc()))
    return [Calls(provider=who, home=home, outcome=how, count=count) for who, home, how, count in rows]


def _add_open(connection: Connection, batch_id: int, lines: dict[tuple[str, str], UsageLine]) -> None:
    under_way = (
        select(attempts.c.provider, attempts.c.model, func.count())
        .join(jobs)
        .where(_OPEN, jobs.c.batch_id == batch_id)
        .group_by(attempts.c.provider, attempts.c.model)
    )
    for provider, model, number in connection.execute(under_way):
        line = lines.get((provider, model), UsageLine(provider=provider, model=model))
        lines[provider, model] = replace(line, attempts=line.attempts + number, open=number)


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
    costs = (
        select(attempts.c.job_id, func.count(), func.sum(ledger.c.usd), func.sum(ledger.c.credits), *last)
        .select_from(attempts.outerjoin(ledger))
        .where(attempts.c.job_id.in_(wanted))
        .group_by(attempts.c.job_id)
    )
    found = {job_id: Bill() for job_id in ids}
    for job_id, number, usd, credit, provider, _ in connection.execute(costs):
        found[job_id] = Bill(attempts=number, usd=usd, credits=credit, provider=provider)
    return {job_id: replace(bill, files=tuple(files.get(job_id, ()))) for job_id, bill in found.items()}


#: A literal, so that SQLite sees that the small index of open attempts serves.
_OPEN = text("attempts.state = 'open'")


def _sum(column: ColumnElement[int | None]) -> ColumnElement[int]:
    return func.coalesce(func.sum(column), 0)


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
