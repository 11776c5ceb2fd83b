"""Limits of money: the ``budget`` of a manifest, and that of ``batchgen.yaml``, which all batches share. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ..budget import BudgetLimit
from ..calendar_period import CalendarPeriod
from ..errors import Problem, suggest
from ..money import milli_credits, nano_usd
from . import messages
from .locations import Path, Places, show
from .model import Amounts, BudgetSpec, SharedSettings
from .problems import Problems

#: The keys of the budgets of calendar periods.
_PERIODS = {"per_day": CalendarPeriod.DAY, "per_month": CalendarPeriod.MONTH}


def batch_limits(
    budget: BudgetSpec, names: Sequence[str], places: Places, problems: Problems
) -> tuple[BudgetLimit, ...]:
    """Return the limits of a batch, of its days and months and of single providers.

    Unknown providers become *problems*.
    """
    unpriced = budget.allow_unpriced

    def known(amounts: Mapping[str, Any], *path: str) -> dict[str, Any]:
        for name in amounts.keys() - set(names):
            message, hint = f"no provider is named {name!r}", suggest(name, names)
            problems.add(places.problem((*path, name), "unknown_provider", message, hint, key=True))
        return {name: amount for name, amount in amounts.items() if name in names}

    known(budget.credits, "budget", "credits")
    limits = [_limit("this batch", budget, places, ("budget",), names=names, unpriced=unpriced)]
    for key, period in _PERIODS.items():
        amounts = getattr(budget, key)
        known(amounts.credits, "budget", key, "credits")
        path = ("budget", key)
        limits.append(_limit(period.scope, amounts, places, path, names=names, unpriced=unpriced, period=period))
    for name, amount in known(budget.per_provider, "budget", "per_provider").items():
        of_provider = ("budget", "per_provider", name)
        limits.append(
            BudgetLimit(
                usd=nano_usd(amount),
                scope=f"{name} in this batch",
                only=name,
                unpriced=unpriced,
                setting=show(of_provider),
                place=_place(places, of_provider),
            )
        )
    return tuple(filter(None, limits))


def shared_limits(data: object, places: Places) -> tuple[BudgetLimit, ...]:
    """Return the limits of all batches together, from the section ``budget`` of a settings file that is valid."""
    budget = SharedSettings.model_validate({} if data is None else {"budget": data}).budget
    limits = (
        _limit(f"all batches {period.scope}", getattr(budget, key), places, ("budget", key), period=period, shared=True)
        for key, period in _PERIODS.items()
    )
    return tuple(filter(None, limits))


def shared_problems(data: object, places: Places) -> Iterator[Problem]:
    """Yield the mistakes in the section ``budget`` of a settings file."""
    if isinstance(data, (str, int, float)) and not isinstance(data, bool):
        message = f"should limit all batches by day or month, is {messages.shown(data)}"
        amount = re.search(r"\d+(?:\.\d+)?", str(data))
        key = "per_month" if "month" in str(data).lower() else "per_day"
        hint = f"write  budget: {{{key}: {{usd: {amount[0] if amount else 20}}}}}"
        yield places.problem(("budget",), "wrong_type", message, hint)
        return
    for key in [key for key in data if key not in _PERIODS] if isinstance(data, dict) else ():
        hint = suggest(key, _PERIODS, "")
        if key in BudgetSpec.model_fields:
            hint = f"this file limits all batches by day and month, per_day: {{usd: 20}}; {key} belongs in a manifest"
        message = f"unknown key {messages.short(key)!r}"
        yield places.problem(("budget", key), "unknown_key", message, hint or "there are: per_day, per_month", key=True)
    if isinstance(data, dict):
        data = {key: value for key, value in data.items() if key in _PERIODS}
    try:
        SharedSettings.model_validate({"budget": {} if data is None else data})
    except ValidationError as error:
        yield from messages.problems(error, places)


def _limit(
    scope: str,
    amounts: Amounts,
    places: Places,
    path: Path,
    *,
    names: Sequence[str] | None = None,
    unpriced: bool = False,
    period: CalendarPeriod | None = None,
    shared: bool = False,
) -> BudgetLimit:
    """Return the limit of *amounts*, written at *path*; credits of providers other than *names* are left out."""
    milli = {name: milli_credits(amount) for name, amount in amounts.credits.items() if names is None or name in names}
    leaf = (*path, "usd") if amounts.usd is not None else (*path, "credits", *list(milli)[:1])
    written = leaf if places.holds(leaf) else path
    return BudgetLimit(
        usd=nano_usd(amounts.usd),
        credits={name: amount for name, amount in milli.items() if amount is not None},
        scope=scope,
        unpriced=unpriced,
        period=period,
        shared=shared,
        setting=show(written),
        place=_place(places, written),
    )


def _place(places: Places, path: Path) -> str:
    return f"{places.file}:{places.line(path)}"
