"""Modes of a plan as text: what the same requests cost, and how long they take, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...mode import Mode
from .format import duration, usd

if TYPE_CHECKING:
    from ...planning.modes import ModeEstimate
    from ...planning.plan import Plan


def mode_lines(plan: Plan) -> list[str]:
    """Return a line for each mode in which the requests can be bought; none if there is only one."""
    width = max((len(usd(estimate.usd.expected)) for estimate in plan.modes), default=0)
    return [_line(estimate, width, plan.requests) for estimate in plan.modes]


def _line(estimate: ModeEstimate, width: int, requests: int) -> str:
    price = usd(estimate.usd.expected) if estimate.usd.expected is not None else "no price in USD"
    time = "within a day" if estimate.mode is Mode.BATCH else f"about {duration(estimate.time.expected)}"
    text = f"{estimate.mode:<9} {price:>{width}}  {time}"
    if estimate.requests < requests:
        text += f"; {estimate.requests:,} of {requests:,} requests, the others as standard"
    if 0 < estimate.in_force < requests:
        return f"{text} (in force for {estimate.in_force:,})"
    return f"{text} (in force)" if estimate.in_force else text
