"""Ledger: totals of what was spent, and the JSON document of ``status``. Pure.

An unknown amount is null, never 0. A sum contains the known amounts; ``unpriced`` is the number of attempts that it
leaves out, and a sign that the sum is a lower bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..money import show_credits, show_usd

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Numbers of jobs by state; jobs that are no longer in the manifest count only as orphaned."""

    pending: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    unknown: int = 0
    cancelled: int = 0
    orphaned: int = 0
    images: int = 0  #: on disk

    @property
    def total(self) -> int:
        """Return the number of jobs in the manifest."""
        return self.pending + self.running + self.done + self.failed + self.unknown + self.cancelled


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Failed jobs with the same cause, with an example."""

    cause: str
    count: int
    key: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageLine:
    """All attempts with one provider's model; nano-USD and milli-credits, None is unknown or not used."""

    provider: str
    model: str
    attempts: int = 0
    images: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    credits: int | None = None
    usd_by_basis: Mapping[str, int] = field(default_factory=dict)  #: known amounts by ``Basis`` value
    unpriced: int = 0  #: attempts that were or may have been charged, without a known price
    at_risk_usd: int | None = None  #: what attempts of unknown outcome may have cost
    at_risk_credits: int | None = None
    at_risk: int = 0  #: attempts of unknown outcome
    open: int = 0  #: attempts that have not ended; part of ``attempts``
    open_usd: int | None = None  #: nano-USD reserved for these
    open_credits: int | None = None

    @property
    def usd(self) -> int | None:
        """Return the known nano-USD; None if nothing is known although something was charged."""
        return _usd([self])


@dataclass(frozen=True, kw_only=True, slots=True)
class Calls:
    """The number of calls to one provider with the same outcome."""

    provider: str
    home: str  #: the provider of their jobs
    outcome: str  #: delivered, open, or the cause of a failure
    count: int

    def as_json(self) -> dict[str, Any]:
        """Return it for ``usage --json``."""
        return {"provider": self.provider, "for": self.home, "outcome": self.outcome, "count": self.count}


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What a budget counts: nano-USD and milli-credits."""

    usd: int = 0  #: settled
    credits: int = 0
    at_risk_usd: int = 0  #: attempts of unknown outcome keep their reservation
    at_risk_credits: int = 0
    open_usd: int = 0  #: reserved by attempts that have not ended
    open_credits: int = 0
    unpriced: int = 0  #: charged or perhaps charged, and neither priced nor estimated


def add(numbers: Sequence[int | None]) -> int | None:
    """Return the sum of the known *numbers*; None if none is known."""
    amounts = [number for number in numbers if number is not None]
    return sum(amounts) if amounts else None


_COUNTS = ("attempts", "images", "unpriced", "at_risk", "open")
_AMOUNTS = (
    *("input_tokens", "output_tokens", "credits"),
    *("at_risk_usd", "at_risk_credits", "open_usd", "open_credits"),
)


def merged(lines: Sequence[UsageLine]) -> UsageLine:
    """Merge lines of one provider's model."""
    parts: dict[str, int] = {}
    for line in lines:
        for basis, nano in line.usd_by_basis.items():
            parts[basis] = parts.get(basis, 0) + nano
    sums: dict[str, Any] = {name: sum(getattr(line, name) for line in lines) for name in _COUNTS}
    sums |= {name: add([getattr(line, name) for line in lines]) for name in _AMOUNTS}
    return UsageLine(provider=lines[0].provider, model=lines[0].model, usd_by_basis=parts, **sums)


def at_rest(
    lines: Sequence[UsageLine], remote: Mapping[tuple[str, str], tuple[int, int, int]] | None = None
) -> list[UsageLine]:
    """Return *lines* as they count while no run is in progress: reservations of open attempts are at risk.

    *remote*: how many of these are at the provider, and what they reserved, by provider and model: they stay open.
    """
    return [_at_rest(line, *(remote or {}).get((line.provider, line.model), (0, 0, 0))) for line in lines]


def _at_rest(line: UsageLine, attempts: int, usd: int, credits_: int) -> UsageLine:
    if line.open == attempts:
        return line
    left = [
        None if amount is None else amount - less
        for amount, less in ((line.open_usd, usd), (line.open_credits, credits_))
    ]
    return replace(
        line,
        at_risk=line.at_risk + line.open - attempts,
        at_risk_usd=add([line.at_risk_usd, left[0]]),
        at_risk_credits=add([line.at_risk_credits, left[1]]),
    )


def status_document(
    batch: str, counts: Counts, lines: Sequence[UsageLine], failures: Sequence[Failure]
) -> dict[str, Any]:
    """Return the document of ``status --json``."""
    jobs = {"total": counts.total} | {
        name: getattr(counts, name) for name in ("pending", "running", "done", "failed", "unknown", "cancelled")
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "batch": batch,
        "jobs": jobs,
        "images": counts.images,
        "attempts": sum(line.attempts for line in lines),
        "spend": spend(lines),
        "failures": [{"cause": failure.cause, "count": failure.count} for failure in failures],
        "orphaned": counts.orphaned,
    }


def spend(lines: Sequence[UsageLine]) -> dict[str, Any]:
    """Return the ``spend`` part of ``status --json``."""
    return {
        "usd": show_usd(_usd(lines)),
        "credits": _credits(lines),
        "at_risk_usd": show_usd(_at_risk(lines)),
        "unpriced": sum(line.unpriced for line in lines),
    }


def figures(lines: Sequence[UsageLine]) -> dict[str, Any]:
    """Return the total figures of *lines* for ``usage --json``."""
    return {
        "attempts": sum(line.attempts for line in lines),
        "images": sum(line.images for line in lines),
        "input_tokens": add([line.input_tokens for line in lines]),
        "output_tokens": add([line.output_tokens for line in lines]),
        "credits": _credits(lines),  # each provider's credits are a currency of their own
        "usd": show_usd(_usd(lines)),
        "usd_by_source": _by_source(lines),
        "at_risk_usd": show_usd(_at_risk(lines)),
        "unpriced": sum(line.unpriced for line in lines),
    }


def _usd(lines: Sequence[UsageLine]) -> int | None:
    total = sum(nano for line in lines for nano in line.usd_by_basis.values())
    # Next to free attempts, an unknown price must not look like 0.
    return None if not total and any(line.unpriced for line in lines) else total


def _credits(lines: Sequence[UsageLine]) -> dict[str, str | None]:
    providers = sorted({line.provider for line in lines if line.credits is not None})
    return {
        provider: show_credits(add([line.credits for line in lines if line.provider == provider]))
        for provider in providers
    }


def _at_risk(lines: Sequence[UsageLine]) -> int | None:
    doubtful = [line.at_risk_usd for line in lines if line.at_risk]
    return 0 if not doubtful else add(doubtful)


def _by_source(lines: Sequence[UsageLine]) -> dict[str, str | None]:
    amounts = {
        source: show_usd(sum(line.usd_by_basis.get(source, 0) for line in lines))
        for source in ("reported", "priced", "estimated")
    }
    # Unpriced attempts have no amount; "0" means that there are none.
    return {**amounts, "unknown": None if any(line.unpriced for line in lines) else "0"}
