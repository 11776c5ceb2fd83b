"""Spending: which budgets confirm it, and which requests a budget does not allow because they have no price. Pure."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import SpendNotConfirmed
from ..manifest import Batch
from ..planning.plan import Plan
from .run_options import RunOptions

#: How a price that a budget needs is set.
SET_PRICE = (
    "Set the price (providers: NAME: tariff: {usd_per_image: 0.05}), set a budget in its credits, "
    "or add --allow-unpriced"
)


def is_capped(batch: Batch, plan: Plan) -> bool:
    """Return whether the manifest's budget covers everything that would be sent: only then it confirms spending."""
    if any(limit.usd is not None and limit.only is None for limit in batch.budget):
        return True
    covered = {limit.only for limit in batch.budget if limit.usd is not None}
    covered |= {name for limit in batch.budget for name in limit.credits}
    used = {*(lane.provider for lane in plan.lanes), *plan.alternates}
    return bool(batch.budget) and used <= covered


def require_prices(batch: Batch, plan: Plan, options: RunOptions) -> list[str]:
    """Return the fallback providers that a budget excludes, because their price in USD is unknown.

    Raises SpendNotConfirmed where it excludes a provider of requests that would be sent.
    """
    needs_price = _price_requirement(batch, options)
    if names := [lane.provider for lane in plan.lanes if lane.unpriced and needs_price(lane.provider)]:
        raise SpendNotConfirmed(
            f"the budget is in USD, but the price in USD is unknown for {', '.join(dict.fromkeys(names))}, so that the "
            f"budget could not be kept. Nothing was sent. {SET_PRICE}"
        )
    return [name for name in plan.priceless if needs_price(name)]


def _price_requirement(batch: Batch, options: RunOptions) -> Callable[[str], bool]:
    """Return the function that decides whether a budget requires a provider's price in USD."""
    limits = (*batch.budget, *batch.shared_budget)
    in_credits = {name for limit in limits for name in limit.credits}
    in_usd = options.budget is not None or any(limit.usd is not None for limit in limits)
    allowed = options.allow_unpriced or batch.allow_unpriced
    return lambda name: in_usd and not allowed and name not in in_credits
