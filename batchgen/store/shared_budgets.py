"""Shared budgets: what counts against the budgets that several runners share, kept in the transactions that change it.

Each row is a sum of the ledger and of open attempts: of a batch or of all, of a provider or of all, of a calendar
period or of all time. A claim locks the rows, compares them with its limits and reserves its price in the transaction
that opens the attempt; a settlement replaces the price by what is booked. So no number of runners exceeds a budget.

A row that exists is exact. Whatever else changes the ledger deletes the rows, and a claim that misses one
has it summed up (``sum_up``) while no other transaction books. On SQLite there is one runner, which adds up in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from ..budget import BudgetLimit
from ..errors import BatchgenError
from ..task import Charge
from .dialects import LEDGER, lock_rows_of
from .rows import AttemptRow
from .shared_tables import shared_budgets
from .tables import micros
from .usage import spent


class Scope(NamedTuple):
    """The calls that a row sums up: of a batch, a provider and a period, or of all where one is None."""

    batch_id: int | None
    provider: str | None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def name(self) -> str:
        """Return the name of the row."""
        # A day and a month may begin at the same moment.
        period = "" if self.since is None or self.until is None else f"{micros(self.since)}-{micros(self.until)}"
        return f"{'' if self.batch_id is None else self.batch_id}/{period}/{self.provider or ''}"


class Spending(NamedTuple):
    """The amounts that count against a budget: nano-USD, and milli-credits by provider."""

    usd: int
    credits: Mapping[str, int]


class MissingSum(BatchgenError):
    """A sum that a claim needs is not in the database; ``sum_up`` adds it."""


class OverBudget(BatchgenError):
    """A budget that other runners use too has no room for a call."""


@dataclass(frozen=True, slots=True)
class SharedBudgets:
    """The limits of a run that count what other runners spend, too."""

    batch_id: int
    limits: Sequence[BudgetLimit]

    def require_room(
        self, connection: Connection, provider: str, estimate: Charge, now: datetime
    ) -> Callable[[], None]:
        """Lock the sums and return what reserves the price of a call in them; raise MissingSum or OverBudget."""
        rows = self._lock_rows(connection, now)
        for limit in self.limits:
            if limit.only in (None, provider):
                self._require_room(rows, limit, provider, estimate, now)
        return partial(_add, connection, rows, provider, estimate.usd or 0, estimate.credits or 0)

    def settle(self, connection: Connection, attempt: AttemptRow, booking: Mapping[str, Any]) -> None:
        """Replace what an attempt has reserved by its *booking*, a row of the ledger."""
        usd = (booking["usd"] or 0) + (booking["at_risk_usd"] or 0) - (attempt.estimate_usd or 0)
        credits_ = (booking["credits"] or 0) + (booking["at_risk_credits"] or 0) - (attempt.estimate_credits or 0)
        _add(connection, self._lock_rows(connection, booking["at"]), attempt.provider, usd, credits_)

    def spending(self, connection: Connection, now: datetime) -> list[Spending] | None:
        """Return what counts against each limit, in their order; None if a sum is missing."""
        rows = {row.name: row for row in connection.execute(select(shared_budgets))}
        if not all(scope.name in rows for limit in self.limits for scope in self._scopes(limit, now)):
            return None
        return [
            Spending(
                usd=rows[self._scope(limit, limit.only, now).name].usd if limit.usd is not None else 0,
                credits={name: rows[self._scope(limit, name, now).name].credits for name in limit.credits},
            )
            for limit in self.limits
        ]

    def sum_up(self, connection: Connection, now: datetime) -> None:
        """Add the sums that are missing; no other transaction books meanwhile."""
        lock_rows_of(connection, LEDGER)
        connection.execute(delete(shared_budgets).where(shared_budgets.c.until <= now))
        existing = set(connection.execute(select(shared_budgets.c.name)).scalars())
        missing = {scope for limit in self.limits for scope in self._scopes(limit, now) if scope.name not in existing}
        for scope in sorted(missing, key=lambda scope: scope.name):
            sums = spent(connection, run_id=None, **scope._asdict())
            usd = sums.usd + sums.at_risk_usd + sums.open_usd
            credits_ = sums.credits + sums.at_risk_credits + sums.open_credits
            row = {"name": scope.name, "usd": usd, "credits": credits_, **scope._asdict()}
            connection.execute(insert(shared_budgets).values(**row))

    def _lock_rows(self, connection: Connection, now: datetime) -> list[Row[Any]]:
        """Return the current rows that this run's calls count in, locked in an order that all runners keep to."""
        mine = or_(shared_budgets.c.batch_id.is_(None), shared_budgets.c.batch_id == self.batch_id)
        current = or_(shared_budgets.c.until.is_(None), shared_budgets.c.until > now)
        rows = select(shared_budgets).where(mine, current).order_by(shared_budgets.c.name).with_for_update()
        return list(connection.execute(rows))

    def _require_room(
        self, rows: Sequence[Row[Any]], limit: BudgetLimit, provider: str, estimate: Charge, now: datetime
    ) -> None:
        sums = {row.name: row for row in rows}
        for scope in self._scopes(limit, now):
            if scope.name not in sums:
                raise MissingSum(f"the sum {scope.name} is missing")
        if (most := limit.credits.get(provider)) is not None:
            used = sums[self._scope(limit, provider, now).name].credits
            if used + (estimate.credits or 0) > most:
                raise OverBudget(f"the budget of {limit.scope} is used up")
        if limit.usd is not None:
            used = sums[self._scope(limit, limit.only, now).name].usd
            if used + (estimate.usd or 0) > limit.usd:
                raise OverBudget(f"the budget of {limit.scope} is used up")

    def _scopes(self, limit: BudgetLimit, now: datetime) -> Iterator[Scope]:
        if limit.usd is not None:
            yield self._scope(limit, limit.only, now)
        for provider in limit.credits:
            yield self._scope(limit, provider, now)

    def _scope(self, limit: BudgetLimit, provider: str | None, now: datetime) -> Scope:
        batch_id = None if limit.shared else self.batch_id
        if limit.period is None:
            return Scope(batch_id, provider)
        return Scope(batch_id, provider, limit.period.begins(now), limit.period.ends(now))


def _add(connection: Connection, rows: Sequence[Row[Any]], provider: str, usd: int, credits_: int) -> None:
    names = [row.name for row in rows if row.provider in (None, provider)]
    if names and (usd or credits_):
        sums = {"usd": shared_budgets.c.usd + usd, "credits": shared_budgets.c.credits + credits_}
        connection.execute(update(shared_budgets).where(shared_budgets.c.name.in_(names)).values(**sums))
