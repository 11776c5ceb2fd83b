"""Costs of a report: money and images by provider, model, tag, kind, day and mode, and what modes saved.

Pure.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from ...fault import Charged
from ...mode import Mode
from ...money import show_credits, show_usd
from ...store.report_rows import Call
from .jobs import ReportJob
from .tiles import TICKS, dollars

#: The name of the bar of jobs without a tag.
UNTAGGED = "untagged"
#: What costs are grouped by.
KEYS = ("provider", "model", "tag", "kind", "day", "mode")
_QUARTER = 900 * TICKS


@dataclass(kw_only=True, slots=True)
class Bar:
    """What one group cost."""

    usd: int | None = None
    credits: dict[str, int] = field(default_factory=dict)  #: by provider: each has a currency of its own
    images: int = 0
    attempts: int = 0
    reserved: int | None = None  #: nano-USD, for what is at the provider

    def add(self, call: Call, images: int) -> None:
        """Add a call, which delivered *images*."""
        self.attempts += 1
        if call.is_at_provider and call.estimate_usd is not None:
            self.reserved = (self.reserved or 0) + call.estimate_usd
        self.images += images
        if call.usd is not None and call.basis != "unknown":
            self.usd = (self.usd or 0) + call.usd
        if call.credits:
            self.credits[call.provider] = self.credits.get(call.provider, 0) + call.credits

    def document(self, name: str) -> dict[str, Any]:
        """Return the bar; credits of several providers are not one number."""
        only = next(iter(self.credits.values())) if len(self.credits) == 1 else None
        usd = None if self.usd is None else dollars(self.usd)
        by_provider = {provider: show_credits(amount) for provider, amount in self.credits.items()}
        return {
            "name": name,
            "usd": usd,
            "credits": show_credits(only),
            "credits_by_provider": by_provider,
            "images": self.images,
            "attempts": self.attempts,
            "reserved_usd": show_usd(self.reserved),
        }


@dataclass(kw_only=True, slots=True)
class Savings:
    """Collects what calls in a cheaper mode saved against the standard price, where both are known."""

    usd: int = 0  #: nano-USD
    calls: int = 0
    unknown: int = 0  #: charged calls whose saving is not known
    modes: set[str] = field(default_factory=set)

    def add(self, call: Call) -> None:
        """Add a call that was bought in a cheaper mode and charged."""
        if call.usd is None or call.standard_usd is None or call.basis not in ("reported", "priced"):
            self.unknown += 1
            return
        self.calls += 1
        self.usd += call.standard_usd - call.usd
        self.modes.add(call.mode_name)

    def document(self) -> dict[str, Any] | None:
        """Return the savings; None if no call's are known."""
        if not self.calls:
            return None
        modes = [mode.value for mode in Mode if mode in self.modes]
        return {"usd": show_usd(self.usd), "calls": self.calls, "unknown": self.unknown, "modes": modes}


@dataclass(kw_only=True, slots=True)
class Costs:
    """Collects costs by group; a job counts under each of its tags."""

    _bars: dict[str, dict[str, Bar]] = field(default_factory=lambda: {key: defaultdict(Bar) for key in KEYS})
    _savings: Savings = field(default_factory=Savings)

    def add(self, job: ReportJob) -> None:
        """Add the calls of *job*."""
        delivered: dict[str, int] = defaultdict(int)
        for file in (*job.files, *job.earlier):
            delivered[file.attempt_id] += 1
        for call in job.calls:
            groups = {
                "provider": [call.provider],
                "model": [call.model],
                "tag": job.tags or [UNTAGGED],
                "kind": [job.row.kind],
                "day": [_day(call.at // _QUARTER)],
                "mode": [call.mode_name],
            }
            if call.mode_name != Mode.STANDARD and call.charged == Charged.YES:
                self._savings.add(call)
            for key, names in groups.items():
                for name in names:
                    self._bars[key][name].add(call, delivered[call.id])

    def savings(self) -> dict[str, Any] | None:
        """Return what cheaper modes saved; None if that is not known of any call."""
        return self._savings.document()

    def document(self) -> dict[str, list[dict[str, Any]]]:
        """Return the bars by key: days in order, all others with the dearest first."""
        document = {}
        for key, bars in self._bars.items():
            names = sorted(bars) if key == "day" else sorted(bars, key=lambda name: _rank(name, self._bars[key][name]))
            document[key] = [bars[name].document(name) for name in names]
        return document


@lru_cache(10_000)
def _day(quarter: int) -> str:
    """Return the local day of a quarter of an hour; days of all time zones begin with one."""
    return f"{datetime.fromtimestamp(quarter * _QUARTER / TICKS).astimezone():%Y-%m-%d}"


def _rank(name: str, bar: Bar) -> tuple[int, int, str]:
    return (-(bar.usd or 0), -bar.images, name)
