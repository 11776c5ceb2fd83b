"""Range: an amount as it may turn out. A value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """An amount as it may turn out; None if it is not known."""

    low: int | None = None
    expected: int | None = None
    high: int | None = None

    def plus(self, other: Range) -> Range:
        """Return the sum; an unknown amount adds nothing."""
        return Range(
            low=_sum(self.low, other.low),
            expected=_sum(self.expected, other.expected),
            high=_sum(self.high, other.high),
        )

    def times(self, number: int) -> Range:
        """Return this range times *number*."""
        low, expected, high = (
            None if amount is None else amount * number for amount in (self.low, self.expected, self.high)
        )
        return Range(low=low, expected=expected, high=high)

    def shown(self, show: Callable[[int | None], str | None]) -> dict[str, str | None]:
        """Return low, expected and high as decimal strings."""
        return {"low": show(self.low), "expected": show(self.expected), "high": show(self.high)}


def _sum(first: int | None, second: int | None) -> int | None:
    if first is None:
        return second
    return first + (second or 0)
