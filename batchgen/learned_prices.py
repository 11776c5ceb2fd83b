"""What calls were found to cost, by what they asked for: a price list that is too low is believed once.  Pure.

A memory of one run, which may begin with what earlier runs found.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .money import show_credits, show_usd
from .task import UNPRICED, Basis, Charge, Task

#: Findings of one kind of call that are remembered: prices also fall, and one odd bill must not count for ever.
RECENT = 20

#: A price list is called too low where it is exceeded by more than this part of it.
_TELLING = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class CallKind:
    """All that the price of an image depends on, as far as a request tells."""

    provider: str
    model: str
    size: str | None
    quality: str | None
    resolution: str | None
    sources: int  #: images that an edit starts from, its mask included; 0: nothing is edited

    @classmethod
    def of(cls, task: Task) -> CallKind:
        """Return the kind of call that *task* is."""
        return cls(
            provider=task.provider,
            model=task.model,
            size=_plain(task.size),
            quality=_plain(task.quality),
            resolution=_plain(task.resolution),
            sources=len(task.images) + (task.mask is not None),
        )

    @property
    def terms(self) -> str:
        """Return what was asked for, in words: "low 1024x1024"; "" where nothing was."""
        return " ".join(filter(None, (self.quality, self.resolution, self.size, "edit" if self.sources else "")))


@dataclass(frozen=True, kw_only=True, slots=True)
class Underpriced:
    """A price that calls were found to exceed, for one image: nano-USD and milli-credits; None: none is listed."""

    kind: CallKind
    listed: Charge  #: at most, by the price list
    found: Charge

    @property
    def ratio(self) -> float:
        """Return how many times the listed price was found; infinite where none is listed."""
        pairs = ((self.found.usd, self.listed.usd), (self.found.credits, self.listed.credits))
        return max((found / listed for found, listed in pairs if found and listed), default=float("inf"))

    def as_json(self) -> dict[str, Any]:
        """Return it for documents; money is a decimal string, null where no price is listed."""
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
    """The latest prices of an image that were found, by kind of call."""

    _found: dict[CallKind, deque[Charge]] = field(default_factory=dict)
    _highest: dict[CallKind, Charge] = field(default_factory=dict)
    _underpriced: dict[CallKind, Underpriced] = field(default_factory=dict)

    @property
    def underpriced(self) -> Mapping[CallKind, Underpriced]:
        """Return the kinds of calls whose listed price was found to be too low, or of which none is listed."""
        return self._underpriced

    def observe(self, task: Task, actual: Charge, images: int) -> bool:
        """Take note of what a call for *task* cost that brought *images*; return whether such calls are dearer now.

        Estimates are no finding.
        """
        # unrequested pictures make the requested ones no cheaper
        count = min(images, task.n) or task.n
        stated = actual.usd if actual.basis in (Basis.REPORTED, Basis.PRICED) else None
        usd, credits_ = _per_image(stated, count), _per_image(actual.credits, count)
        if not usd and not credits_:
            return False
        price = Charge(usd=usd or None, credits=credits_ or None, basis=Basis.ESTIMATED)
        kind = CallKind.of(task)
        before = self._highest.get(kind, UNPRICED)
        known = _within(price.usd, before.usd) and _within(price.credits, before.credits)
        if known and not images:
            return False  # a refusal costs less, which says nothing of a picture
        found = self._found.setdefault(kind, deque(maxlen=RECENT))
        found.append(price)
        self._highest[kind] = Charge(
            usd=max((one.usd for one in found if one.usd is not None), default=None),
            credits=max((one.credits for one in found if one.credits is not None), default=None),
            basis=Basis.ESTIMATED,
        )
        return not known

    def at_least(self, task: Task, estimate: Charge) -> Charge:
        """Return *estimate*, or what calls such as *task* were lately found to cost where that is more.

        Where it is, the price list is too low, and that is remembered.
        """
        highest = self._highest.get(CallKind.of(task))
        if highest is None:
            return estimate
        usd, credits_ = (None if price is None else price * task.n for price in (highest.usd, highest.credits))
        if _within(usd, estimate.usd) and _within(credits_, estimate.credits):
            return estimate
        self._note(task, estimate, highest)
        return replace(
            estimate,
            usd=larger(estimate.usd, usd),
            credits=larger(estimate.credits, credits_),
            basis=Basis.ESTIMATED if estimate.basis is Basis.UNKNOWN and usd is not None else estimate.basis,
        )

    def _note(self, task: Task, estimate: Charge, highest: Charge) -> None:
        listed = replace(estimate, usd=_per_image(estimate.usd, task.n), credits=_per_image(estimate.credits, task.n))
        found = replace(highest, usd=larger(listed.usd, highest.usd), credits=larger(listed.credits, highest.credits))
        unlisted = listed.usd is None and listed.credits is None
        if unlisted or _telling(found.usd, listed.usd) or _telling(found.credits, listed.credits):
            kind = CallKind.of(task)
            self._underpriced[kind] = Underpriced(kind=kind, listed=listed, found=found)


def _plain(text: str | None) -> str | None:
    return text.strip().lower() if text else None


def _per_image(amount: int | None, count: int) -> int | None:
    return None if amount is None else -(-amount // count)


def _within(amount: int | None, limit: int | None) -> bool:
    return amount is None or (limit is not None and amount <= limit)


def larger(first: int | None, second: int | None) -> int | None:
    """Return the larger of two amounts, of which either may be unknown."""
    return max((amount for amount in (first, second) if amount is not None), default=None)


def _telling(found: int | None, listed: int | None) -> bool:
    return found is not None and listed is not None and found - listed > listed // _TELLING
