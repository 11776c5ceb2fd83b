"""How far this machine's clock is from a provider's, by the date header of its answers.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .retry_after import timestamp_of


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockSkew:
    """By how many seconds this clock is ahead of another: somewhere between *low* and *high*."""

    low: float
    high: float

    @property
    def certain(self) -> float:
        """Return how far ahead this clock is at least; below 0: behind.  0 where both may well agree."""
        return max(self.low, 0.0) + min(self.high, 0.0)


def read_skew(headers: Mapping[str, str], sent: float, heard: float) -> ClockSkew | None:
    """Return what an answer says, asked for and heard at these moments of this clock; None where it says nothing.

    The far side read its clock somewhere between the two, and its date is cut to whole seconds.
    """
    there = timestamp_of(headers.get("date", ""))
    # what a cache kept has the date of another day
    if there is None or headers.get("age", "0").strip() != "0" or heard < sent:
        return None
    return ClockSkew(low=sent - there - 1, high=heard - there)


def smallest_skew(found: Iterable[ClockSkew]) -> ClockSkew | None:
    """Return the skew that claims least: where this clock is wrong it is wrong by every answer."""
    return min(found, key=lambda skew: (abs(skew.certain), skew.high - skew.low), default=None)
