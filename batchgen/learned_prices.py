"""Learned prices: what calls were found to cost, so that a price list that is too low misleads only once. Pure.

The memory belongs to one run and may start with what earlier runs found.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .mode import Mode
from .money import show_credits, show_usd
from .task import UNPRICED, Basis, Charge, Task

#: Prices remembered for each kind of call: prices also fall, and one odd bill must not count for ever.
RECENT = 20

#: A listed price counts as too low if it is exceeded by more than 1/50 of it.
_TOLERANCE = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class CallKind:
    """Everything in a request that the price of an image depends on."""

    provider: str
    model: str
    size: str | None
    quality: str | None
    resolution: str | None
    sources: int  #: source images of an edit, its mask included; 0: not an edit
    mode: Mode = Mode.STANDARD

    @classmethod
    def of(cls, task: Task, mode: Mode = Mode.STANDARD) -> CallKind:
        """Return the kind of *task* in *mode*."""
        return cls(
            provider=task.provider,
            model=task.model,
            size=_plain(task.size),
            quality=_plain(task.quality),
            resolution=_plain(task.resolution),
            sources=len(task.images) + (task.mask is not None),
            mode=mode,
        )

    @property
    def terms(self) -> str:
        """Return the parameters for display, such as "low 1024x1024"; "" if there are none."""
        mode = "" if self.mode is Mode.STANDARD else self.mode
        return " ".join(filter(None, (self.quality, self.resolution, self.size, "edit" if self.sources else "", mode)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Underpriced:
    """A listed price of one image that calls were found to exceed; None: no price is listed."""

    kind: CallKind
    listed: Charge  #: the highest price by the price list
    found: Charge

    @property
    def ratio(self) -> float:
        """Return the ratio of the price found to the listed one; infinite if none is listed."""
        pairs = ((self.found.usd, self.listed.usd), (self.found.credits, self.listed.credits))
        return max((found / listed for found, listed in pairs if found and listed), default=float("inf"))

    def as_json(self) -> dict[str, Any]:
        """Return it for documents; money is a decimal string, null if no price is listed."""
        kind = self.kind
        return {
            "provider": kind.provider,
            "model": kind.model,
            "size": kind.size,
            "quality": kind.quality,
            "resolution": kind.resolution,
            "edit": bool(kind.sources),
            "listed_usd": show_usd(self.listed.usd),
            "found_usd": show_usd(self.found.usd),
            "listed_credits": show_credits(self.listed.credits),
            "found_credits": show_credits(self.found.credits),
        }


@dataclass(slots=True)
class PriceMemory:
    """The latest prices of one image, by kind of call."""

    _recent: dict[CallKind, deque[Charge]] = field(default_factory=dict)
    _highest: dict[CallKind, Charge] = field(default_factory=dict)
    _underpriced: dict[CallKind, Underpriced] = field(default_factory=dict)

    @property
    def underpriced(self) -> Mapping[CallKind, Underpriced]:
        """Return the kinds of calls whose listed price is too low or missing."""
        return self._underpriced

    def observe(self, task: Task, actual: Charge, images: int, mode: Mode = Mode.STANDARD) -> bool:
        """Record what a call for *task* that returned *images* cost; return whether that is a new highest price.

        Estimates are not recorded.
        """
        # Images beyond those requested do not make the requested ones cheaper.
        count = min(images, task.n) or task.n
        stated = actual.usd if actual.basis in (Basis.REPORTED, Basis.PRICED) else None
        usd, credits_ = _per_image(stated, count), _per_image(actual.credits, count)
        if not usd and not credits_:
            return False
        price = Charge(usd=usd or None, credits=credits_ or None, basis=Basis.ESTIMATED)
        kind = CallKind.of(task, mode)
        before = self._highest.get(kind, UNPRICED)
        known = _within(price.usd, before.usd) and _within(price.credits, before.credits)
        if known and not images:
            return False  # a refusal costs less, which does not lower the price of an image
        recent = self._recent.setdefault(kind, deque(maxlen=RECENT))
        recent.append(price)
        self._highest[kind] = Charge(
            usd=max((price.usd for price in recent if price.usd is not None), default=None),
            credits=max((price.credits for price in recent if price.credits is not None), default=None),
            basis=Basis.ESTIMATED,
        )
        return not known

    def covers(self, kind: CallKind, images: int, reserved: Charge) -> bool:
        """Return whether *reserved* is as much as a call of *kind* for so many images recently cost."""
        highest = self._highest.get(kind, UNPRICED)
        usd, credits_ = (None if price is None else price * images for price in (highest.usd, highest.credits))
        return _within(usd, reserved.usd) and _within(credits_, reserved.credits)

    def at_least(self, task: Task, estimate: Charge, mode: Mode = Mode.STANDARD) -> Charge:
        """Return *estimate*, raised to what similar calls recently cost if that is more.

        If it is, the price list is too low, which is remembered.
        """
        kind = CallKind.of(task, mode)
        highest = self._highest.get(kind)
        if highest is None:
            return estimate
        usd, credits_ = (None if price is None else price * task.n for price in (highest.usd, highest.credits))
        if _within(usd, estimate.usd) and _within(credits_, estimate.credits):
            return estimate
        self._note(kind, task.n, estimate, highest)
        return replace(
            estimate,
            usd=larger(estimate.usd, usd),
            credits=larger(estimate.credits, credits_),
            basis=Basis.ESTIMATED if estimate.basis is Basis.UNKNOWN and usd is not None else estimate.basis,
        )

    def _note(self, kind: CallKind, n: int, estimate: Charge, highest: Charge) -> None:
        listed = replace(estimate, usd=_per_image(estimate.usd, n), credits=_per_image(estimate.credits, n))
        found = replace(highest, usd=larger(listed.usd, highest.usd), credits=larger(listed.credits, highest.credits))
        unlisted = listed.usd is None and listed.credits is None
        if unlisted or _exceeds(found.usd, listed.usd) or _exceeds(found.credits, listed.credits):
            self._underpriced[kind] = Underpriced(kind=kind, listed=listed, found=found)


def _plain(text: str | None) -> str | None:
    return text.strip().lower() if text else None


def _per_image(amount: int | None, count: int) -> int | None:
    return None if amount is None else -(-amount // count)


def _within(amount: int | None, limit: int | None) -> bool:
    return amount is None or (limit is not None and amount <= limit)


def larger(first: int | None, second: int | None) -> int | None:
    """Return the larger of two amounts; either may be unknown."""
    if first is None or second is None:
        return second if first is None else first
    return max(first, second)


def _exceeds(found: int | None, listed: int | None) -> bool:
    return found is not None and listed is not None and found - listed > listed // _TOLERANCE
