"""Money at risk: attempts that may have been charged, and what the user found out about them.

An attempt is at risk whatever became of its job: it may be done since, bought again or cancelled. SQL on an open
transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, or_, select, update

from ..errors import StaleClaim
from ..fault import Charged
from ..money import format_usd, show_credits
from ..planning.selection import Selection
from ..task import NOTHING, Basis, Charge
from .queries import selected
from .rows import listed_texts
from .tables import attempts, batch_of_job, jobs, ledger
from .totals import AT_RISK, recount

#: What the message of an attempt gets when the user settles it; stored, so it must not change.
SETTLED = "; settled by the user: "


@dataclass(frozen=True, kw_only=True, slots=True)
class RiskyAttempt:
    """An attempt that may have been charged, or one that the user has settled."""

    id: str
    key: str  #: of its job
    state: str  #: of its job
    provider: str
    model: str
    cause: str | None
    message: str | None
    request_id: str | None
    started_at: datetime
    at_risk: Charge  #: what it may have cost
    estimate: Charge  #: what it was expected to cost at most
    booked: Charge  #: what is in the ledger
    charged: Charged

    @property
    def is_settled(self) -> bool:
        """Return whether the user has settled it already."""
        return self.charged is not Charged.MAYBE


def attempts_at_risk(connection: Connection, batch_id: int, selection: Selection) -> list[RiskyAttempt]:
    """Return the attempts of the selected jobs that may have been charged, in the order in which they were sent."""
    chosen = selected(batch_id, selection, batch=batch_of_job)
    wanted = _ATTEMPTS.where(ledger.c.batch_id == batch_id, AT_RISK, *chosen).order_by(attempts.c.started_at)
    return [_attempt(row) for row in connection.execute(wanted)]


def attempts_to_settle(connection: Connection, job_id: int) -> list[RiskyAttempt]:
    """Return the attempts of a job that may have been charged, and those that the user has settled."""
    settled = attempts.c.message.contains(SETTLED, autoescape=True)
    wanted = _ATTEMPTS.where(attempts.c.job_id == job_id, or_(AT_RISK, settled))
    return [_attempt(row) for row in connection.execute(wanted.order_by(attempts.c.started_at))]


def book(connection: Connection, *, charges: Sequence[tuple[RiskyAttempt, Charge]]) -> None:
    """Book what the user found out about attempts; raise StaleClaim if one has been booked otherwise meanwhile."""
    # A refusal must come before anything is written: the other commands of its group are committed.
    for attempt, _ in charges:
        if connection.execute(select(ledger.c.id).where(*_unchanged(attempt)).with_for_update()).first() is None:
            raise StaleClaim(f"attempt {attempt.id} of job {attempt.key} was booked otherwise meanwhile")
    for attempt, charge in charges:
        charged = Charged.NO if charge == NOTHING else Charged.YES
        facts = {"usd": charge.usd, "credits": charge.credits, "basis": charge.basis.value, "charged": charged.value}
        booked = update(ledger).where(ledger.c.attempt_id == attempt.id)
        connection.execute(booked.values(**facts, at_risk_usd=None, at_risk_credits=None))
        message = (attempt.message or "").partition(SETTLED)[0] + SETTLED + _found(charge)
        connection.execute(update(attempts).where(attempts.c.id == attempt.id).values(message=message))
    recount(connection, ledger.c.attempt_id.in_(listed_texts(attempt.id for attempt, _ in charges)))


def _unchanged(attempt: RiskyAttempt) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for the row of an attempt in the ledger, as it was when the user looked at it."""
    return (
        ledger.c.attempt_id == attempt.id,
        ledger.c.charged == attempt.charged.value,
        ledger.c.usd.is_not_distinct_from(attempt.booked.usd),
        ledger.c.credits.is_not_distinct_from(attempt.booked.credits),
    )


def _found(charge: Charge) -> str:
    if charge == NOTHING:
        return "not charged"
    credits_ = f", {show_credits(charge.credits)} credits" if charge.credits is not None else ""
    return f"charged {format_usd(charge.usd)}{credits_}"


_ATTEMPTS: Select[Any] = select(
    attempts,
    jobs.c.key,
    jobs.c.state.label("job_state"),
    ledger.c.usd,
    ledger.c.credits,
    ledger.c.basis,
    ledger.c.charged,
    ledger.c.at_risk_usd,
    ledger.c.at_risk_credits,
).select_from(attempts.join(ledger).join(jobs, jobs.c.id == attempts.c.job_id))


def _attempt(row: Row[Any]) -> RiskyAttempt:
    return RiskyAttempt(
        id=row.id,
        key=row.key,
        state=row.job_state,
        provider=row.provider,
        model=row.model,
        cause=row.cause,
        message=row.message,
        request_id=row.request_id,
        started_at=row.started_at,
        at_risk=Charge(usd=row.at_risk_usd, credits=row.at_risk_credits, basis=Basis.ESTIMATED),
        estimate=Charge(usd=row.estimate_usd, credits=row.estimate_credits, basis=Basis.ESTIMATED),
        booked=Charge(usd=row.usd, credits=row.credits, basis=Basis(row.basis)),
        charged=Charged(row.charged),
    )
