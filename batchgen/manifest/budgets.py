"""Limits of the manifest's budget.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from ..budget import BudgetLimit
from ..errors import suggest
from ..money import milli_credits, nano_usd
from .locations import Path, Places, Problems
from .model import Amounts, BudgetSpec

#: Scopes of a manifest's limits; the scope of a provider's limit names the provider.
BATCH, DAY = "this batch", "today"


def limits(budget: BudgetSpec, providers: list[str], places: Places, problems: Problems) -> tuple[BudgetLimit, ...]:
    """Return the limits that *budget* sets; names of unknown providers become *problems*."""
    result = [
        _amounts(BATCH, budget, _credits(budget.credits, ("budget", "credits"), providers, places, problems), budget),
        _amounts(
            DAY, budget.per_day, _credits(budget.per_day.credits, _DAY_CREDITS, providers, places, problems), budget
        ),
    ]
    for name, amount in budget.per_provider.items():
        if _is_known(name, ("budget", "per_provider"), providers, places, problems):
            usd = nano_usd(amount)
            result.append(
                BudgetLimit(usd=usd, scope=f"{name} in this batch", only=name, unpriced=budget.allow_unpriced)
            )
    return tuple(limit for limit in result if limit)


_DAY_CREDITS: Path = ("budget", "per_day", "credits")


def _amounts(scope: str, amounts: Amounts, credits_: Mapping[str, int], budget: BudgetSpec) -> BudgetLimit:
    return BudgetLimit(usd=nano_usd(amounts.usd), credits=credits_, scope=scope, unpriced=budget.allow_unpriced)


def _credits(
    amounts: Mapping[str, Decimal | int | float],
    where: Path,
    providers: list[str],
    places: Places,
    problems: Problems,
) -> dict[str, int]:
    credits_by_provider = {}
    for name, amount in amounts.items():
        milli = milli_credits(amount)
        if _is_known(name, where, providers, places, problems) and milli is not None:
            credits_by_provider[name] = milli
    return credits_by_provider


def _is_known(name: str, where: Path, providers: list[str], places: Places, problems: Problems) -> bool:
    if name in providers:
        return True
    hint = suggest(name, providers)
    message = f"no provider is named {name!r}"
    problems.add(places.problem((*where, name), "unknown_provider", message, hint, key=True))
    return False
