"""Attempts that may have been charged, and what the user booked for them, as lines and as JSON."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...money import show_credits, show_usd
from .format import command_lines, credits_, money, usd
from .table import Fit, table

if TYPE_CHECKING:
    from ...app.project import CommandFlags
    from ...store.at_risk import RiskyAttempt
    from ...task import Charge

#: Digits of an attempt's id that are shown; ``--attempt`` takes the start of one.
_ID = 12


def risk_lines(attempts: Sequence[RiskyAttempt]) -> list[str]:
    """Return the table of attempts that may have been charged."""
    if not attempts:
        return []
    rows = [
        [
            attempt.key,
            attempt.state,
            attempt.id[:_ID],
            attempt.provider,
            f"{attempt.started_at:%Y-%m-%d %H:%M:%S}",
            _cost(attempt.at_risk),
            attempt.request_id or "",
            attempt.message or "",
        ]
        for attempt in attempts
    ]
    heads = ("id", "state", "attempt", "provider", "sent (UTC)", "may have cost", "request id", "why at risk")
    fit = Fit(least={0: 12, 6: 12, 7: 16}, names=(0, 6), wrap=(7,), drop=(4, 1, 3, 7))
    return table(rows, heads, right=(5,), fit=fit)


def settling(key: str, way: CommandFlags) -> list[str]:
    """Return the commands that book what such an attempt cost."""
    command = way.on_batch("unknown settle", shlex.quote(key))
    return command_lines(
        (
            (f"{command} --charged 0.02", "the provider's log shows this charge, in USD"),
            (f"{command} --not-charged", "the provider did not charge for it"),
        )
    )


def risk_document(attempt: RiskyAttempt) -> dict[str, Any]:
    """Return an attempt for ``unknown list --json``."""
    return {
        "id": attempt.key,
        "state": attempt.state,
        "attempt": attempt.id,
        "provider": attempt.provider,
        "model": attempt.model,
        "at": attempt.started_at.isoformat(),
        "may_have_cost": {"usd": show_usd(attempt.at_risk.usd), "credits": show_credits(attempt.at_risk.credits)},
        "request_id": attempt.request_id,
        "cause": attempt.cause,
        "message": attempt.message,
    }


def booked_lines(key: str, charges: Sequence[tuple[RiskyAttempt, Charge]]) -> Iterator[str]:
    """Yield a line for each charge that was booked."""
    for attempt, charge in charges:
        cost = money(charge.usd, charge.credits) if charge.usd or charge.credits else "not charged"
        before = _cost(attempt.booked) if attempt.is_settled else f"{_cost(attempt.at_risk)} at risk"
        yield f"{key}: attempt {attempt.id[:_ID]} booked: {cost} (was {before})"


def booked_document(attempt: RiskyAttempt, charge: Charge) -> dict[str, Any]:
    """Return a charge that was booked, for ``--json``."""
    return {
        "attempt": attempt.id,
        "usd": show_usd(charge.usd),
        "credits": show_credits(charge.credits),
        "basis": charge.basis.value,
    }


def _cost(charge: Charge) -> str:
    if charge.usd is None and charge.credits is None:
        return "unknown"
    parts = [usd(charge.usd)] if charge.usd is not None else []
    parts += [f"{credits_(charge.credits)} credits"] if charge.credits else []
    return ", ".join(parts)
