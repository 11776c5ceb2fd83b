"""What counts against the budgets of a batch: what was spent, is at risk, and what calls cut off had reserved."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ..budget import Budget, BudgetLimit
from ..manifest import Batch
from ..manifest.budgets import DAY
from ..store.reader import Reader


def purses(batch: Batch, reader: Reader | None, batch_id: int | None, now: datetime) -> Iterator[Budget]:
    """Yield a purse for each cap of *batch*; None for its number, or no *reader*: nothing was spent yet."""
    for limit in batch.budget:
        known = {} if reader is None or batch_id is None else _gone(limit, reader, batch_id, now)
        yield Budget(caps=limit, **known)


def of_run(budget: int | None, *, unpriced: bool = False) -> Iterator[Budget]:
    """Yield the purse of one run; *budget* is in nano-USD, None is no cap."""
    if budget is not None:
        yield Budget(caps=BudgetLimit(usd=budget, scope="this run", unpriced=unpriced), earlier=False)


def _gone(limit: BudgetLimit, reader: Reader, batch_id: int, now: datetime) -> dict[str, Any]:
    since = now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0) if limit.scope == DAY else None
    spent = reader.spent(batch_id=batch_id, provider=limit.only, since=since)
    credits_ = {}
    for name in limit.credits:
        found = reader.spent(batch_id=batch_id, provider=name, since=since)
        credits_[name] = found.credits + found.at_risk_credits + found.open_credits
    return {"usd": spent.usd + spent.at_risk_usd + spent.open_usd, "credits": credits_}
