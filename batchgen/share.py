"""Shares: how one limit is divided among the runners that use it. Pure: no clock, no store.

A share is a whole number of requests or images in the window of a limit, so that no rounding ever adds up to more than
the limit. What a runner holds is the larger of its share and of what it has used in the window so far. A share grows
only into what the others do not hold: a runner that has shrunk holds less as its earlier requests leave the window, and
one that is gone holds its share until its lease has ended and another runner counts its requests as its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """The share of one runner in the limits of a gate, and what it has used of them, by the name of the limit."""

    granted: Mapping[str, int] = field(default_factory=dict)
    used: Mapping[str, int] = field(default_factory=dict)  #: in the window that ends now
    wanted: bool = True  #: the runner has jobs for it
    heaviest: int = 1  #: what its heaviest request counts as in a limit on images

    def holds(self, name: str) -> int:
        """Return the most that the runner may have in a window, now or later, unless its share grows."""
        return max(self.granted.get(name, 0), self.used.get(name, 0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """One limit in whole units: at most *most* in its window."""

    most: int
    lasting: bool = False  #: over hours: what is used up is missed for long
    counts_images: bool = False


def allot(capacity: Mapping[str, Capacity], shares: Sequence[Share], mine: int) -> dict[str, int]:
    """Return the share that the runner at index *mine* may have now, by limit.

    *shares* are those of all runners whose lease holds, or has held since their requests were counted, the oldest
    runner first.
    """
    return {name: _allot(name, limit, shares, mine) for name, limit in capacity.items()}


def _allot(name: str, limit: Capacity, shares: Sequence[Share], mine: int) -> int:
    claimants = [number for number, share in enumerate(shares) if share.wanted] or list(range(len(shares)))
    least = max((shares[number].heaviest for number in claimants), default=1) if limit.counts_images else 1
    least = min(least, limit.most)
    # A quota that lasts for hours is divided as far as it is left: what was used stays with those who used it.
    used = [share.used.get(name, 0) if limit.lasting else 0 for share in shares]
    fair = used[mine]
    if mine in claimants:
        fair += _part(limit.most - sum(used), len(claimants), claimants.index(mine), least)
    others = sum(share.holds(name) for number, share in enumerate(shares) if number != mine)
    granted = max(0, min(fair, limit.most - others))
    # A request that is heavier than the share would wait for an empty window and then exceed the share.
    return granted if granted >= least else 0


def _part(amount: int, parties: int, rank: int, least: int) -> int:
    """Return the part of *amount* for the party at *rank*; where it is too little for all, the first ones get it."""
    parties = max(1, min(parties, amount // least))
    if amount <= 0 or rank >= parties:
        return 0
    return amount // parties + (rank < amount % parties)
