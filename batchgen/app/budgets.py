"""The budgets that limit a run, with what already counts against them in the job database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from ..budget import Budget, BudgetLimit
from ..errors import SpendNotConfirmed
from ..manifest import Batch
from ..planning.plan import Plan
from ..store.reader import Reader

#: How to let calls without a known price go out under a budget.
SET_PRICE = (
    "Set the price (providers: NAME: tariff: {usd_per_image: 0.05}), set a budget in its credits, "
    "or add --allow-unpriced"
)


def needs_price(batch: Batch, provider: str, own: int | None, *, unpriced: bool = False) -> bool:
    """Return whether a budget in USD requires the prices of *provider*; *own* is the run's budget."""
    limits = (*batch.budget, *batch.shared_budget)
    in_usd = own is not None or any(limit.usd is not None for limit in limits)
    in_credits = any(provider in limit.credits for limit in limits)
    return in_usd and not in_credits and not unpriced and not batch.allow_unpriced


def require_prices(batch: Batch, plan: Plan, own: int | None, *, unpriced: bool = False) -> None:
    """Raise SpendNotConfirmed where a budget could not be kept, because the price of a request is unknown."""
    providers = dict.fromkeys(lane.provider for lane in plan.lanes if lane.unpriced)
    if names := [name for name in providers if needs_price(batch, name, own, unpriced=unpriced)]:
        raise SpendNotConfirmed(
            f"the budget is in USD, but the price in USD is unknown for {', '.join(names)}, so that the budget could "
            f"not be kept. Nothing was sent. {SET_PRICE}"
        )


def is_capped(batch: Batch, plan: Plan) -> bool:
    """Return whether the manifest's budget covers everything that would be sent: only then it confirms spending."""
    if any(limit.usd is not None and limit.only is None for limit in batch.budget):
        return True
    covered = {limit.only for limit in batch.budget if limit.usd is not None}
    covered |= {name for limit in batch.budget for name in limit.credits}
    used = {*(lane.provider for lane in plan.lanes), *plan.alternates}
    return bool(batch.budget) and used <= covered


def budgets_of(
    batch: Batch,
    reader: Reader | None,
    batch_id: int | None,
    now: datetime,
    *,
    own: int | None = None,
    unpriced: bool = False,
) -> tuple[Budget, ...]:
    """Return the budgets of a run: of its batch, of all batches together, and its *own* in nano-USD.

    *unpriced*: the run may send calls without a known price. Without a *reader* nothing is spent yet.
    """
    limits = [*batch.budget, *batch.shared_budget]
    if unpriced or batch.allow_unpriced:
        limits = [replace(limit, unpriced=True) for limit in limits]
    return (*used_budgets(limits, reader, batch_id, now), *_run_budget(own, unpriced=unpriced))


def used_budgets(
    limits: Iterable[BudgetLimit], reader: Reader | None, batch_id: int | None, now: datetime
) -> Iterator[Budget]:
    """Yield a budget for each limit, with what is spent of it; *batch_id* None: the batch has not run yet."""
    for limit in limits:
        ends = None if limit.period is None else limit.period.ends(now)
        if reader is None or (batch_id is None and not limit.shared):
            yield Budget(limit=limit, ends=ends)
        else:
            yield _used(limit, reader, None if limit.shared else batch_id, now, ends)


def _run_budget(amount: int | None, *, unpriced: bool) -> Iterator[Budget]:
    if amount is not None:
        limit = BudgetLimit(usd=amount, scope="this run", unpriced=unpriced, setting="--budget")
        yield Budget(limit=limit, earlier=False)


def _used(limit: BudgetLimit, reader: Reader, batch_id: int | None, now: datetime, ends: datetime | None) -> Budget:
    # A booking of a clock that was ahead belongs to a later period.
    since = None if limit.period is None else limit.period.begins(now)
    spent = reader.spent(batch_id=batch_id, provider=limit.only, since=since, until=ends)
    budget = Budget(limit=limit, usd=spent.usd + spent.at_risk_usd + spent.open_usd, open_usd=spent.open_usd, ends=ends)
    for name in limit.credits:
        used = reader.spent(batch_id=batch_id, provider=name, since=since, until=ends)
        budget.credits[name] = used.credits + used.at_risk_credits + used.open_credits
        budget.open_credits[name] = used.open_credits
    return budget
