"""Clock skew: how far this machine's clock is from a provider's, by the date header of its answers."""

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
        """Return by how much this clock is ahead at least; negative if it is behind, 0 if both may agree."""
        return max(self.low, 0.0) + min(self.high, 0.0)


def read_skew(headers: Mapping[str, str], sent: float, received: float) -> ClockSkew | None:
    """Return the skew that an answer shows, by this clock's times of sending and receiving; None if it shows none.

    The server read its clock somewhere between the two times, and its date is cut to whole seconds.
    """
    date = timestamp_of(headers.get("date", ""))
    # An answer from a cache has the date at which it was cached.
    if date is None or headers.get("age", "0").strip() != "0" or received < sent:
        return None
    return ClockSkew(low=sent - date - 1, high=received - date)


def smallest_skew(skews: Iterable[ClockSkew]) -> ClockSkew | None:
    """Return the smallest skew: if this clock is wrong, it is wrong by every answer."""
    return min(skews, key=lambda skew: (abs(skew.certain), skew.high - skew.low), default=None)
