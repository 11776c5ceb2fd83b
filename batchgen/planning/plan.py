"""Plan: what a run would send, and what that would cost in money, time and disk space. A value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..budget import Budget
from ..manifest.batch import PlannedJob, SkippedJobs
from ..money import NANO, show_credits, show_usd
from .diff import Change
from .estimate import ProviderEstimate
from .forecast import Disk, Forecast
from .modes import ModeEstimate
from .range import Range

#: nano-USD above which a run asks for confirmation, unless the manifest sets another amount.
CONFIRM_ABOVE = NANO

#: The outcomes that a plan counts, in the order of display; all but the last are jobs of the manifest.
STANDINGS = ("new", "changed", "pending", "at_provider", "failed", "unknown", "done", "cancelled", "held", "orphaned")

_DROPPED = ("field", "value", "provider", "jobs")


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteChanges:
    """The requests of jobs that changed while they were at the provider."""

    requests: int
    usd: Range


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A batch compared with its job database. Each job is counted once; estimates cover only what is sent."""

    new: int = 0
    changed: int = 0  #: another fingerprint than in the database: would be redone
    pending: int = 0  #: waiting, or left open by an earlier run
    at_provider: int = 0  #: accepted by the provider in an earlier run: collected, not sent
    #: Of *lanes*, what changed while it was at the provider: its old answer is collected before it is sent.
    changed_remote: tuple[ProviderEstimate, ...] = ()
    failed: int = 0
    unknown: int = 0
    done: int = 0
    cancelled: int = 0
    held: int = 0  #: changed, but done and left as they are (--keep-changed)
    orphaned: int = 0  #: in the database but no longer in the manifest; never deleted
    skipped: SkippedJobs = field(default_factory=SkippedJobs)  #: jobs of the manifest with a bad source image
    lanes: tuple[ProviderEstimate, ...] = ()  #: by provider and model
    modes: tuple[ModeEstimate, ...] = ()  #: the same in each mode that the models offer; empty: only standard
    disk: Disk = field(default_factory=Disk)
    changes: tuple[Change, ...] = ()  #: the first jobs that are changed or held, or all of them if requested
    examples: tuple[PlannedJob, ...] = ()  #: up to three of the jobs that are sent
    alternates: tuple[str, ...] = ()  #: fallback providers
    priceless: tuple[str, ...] = ()  #: fallback providers without a price in USD for some of the jobs
    dearest: int | None = None  #: nano-USD if each job goes to the dearest provider of its route; None: no fallbacks
    #: Providers that jobs name but cannot use: name, reason, number of jobs.
    without: tuple[tuple[str, str, int], ...] = ()
    #: Defaults that a provider does not take: name, value, provider, number of jobs.
    dropped: tuple[tuple[str, str, str, int], ...] = ()
    selected: bool = False  #: a selection restricts what is sent
    matched: int = 0  #: selected jobs, whatever their state
    absent: tuple[str, ...] = ()  #: selected ids that no job has
    revise: frozenset[str] | None = None  #: keys of the changed jobs that are sent; None: all changed jobs
    again: frozenset[str] = frozenset()  #: keys of ended jobs that are requeued and sent
    waiting: int = 0  #: new, changed and pending jobs that are not sent: they wait for jobs that have ended
    waits_for: tuple[str, ...] = ()  #: these ended jobs
    notices: tuple[str, ...] = ()  #: selected jobs that are not requeued, and why
    ending: tuple[str, ...] = ()  #: models of ``--with`` that their provider will switch off
    copies: int = 0  #: derived copies of delivered images that are missing; they cost nothing
    confirm_above: int = CONFIRM_ABOVE  #: nano-USD
    budgets: tuple[Budget, ...] = ()  #: the budgets that apply, with what is used of each

    @property
    def total(self) -> int:
        """Return the number of jobs in the manifest."""
        left = self.failed + self.unknown + self.done + self.cancelled + self.held
        return self.new + self.changed + self.pending + self.at_provider + left

    @property
    def requests(self) -> int:
        """Return the number of requests that a run would send."""
        return sum(lane.requests for lane in self.lanes)

    @property
    def images(self) -> int:
        """Return the number of images that a run would request."""
        return sum(lane.images for lane in self.lanes)

    @property
    def remote_changes(self) -> RemoteChanges:
        """Return what changed while it was at the provider."""
        return RemoteChanges(
            requests=sum(lane.requests for lane in self.changed_remote), usd=_total(self.changed_remote)
        )

    @property
    def unpriced(self) -> int:
        """Return the number of requests without a price in USD, which sums of USD leave out."""
        return sum(lane.unpriced for lane in self.lanes)

    @property
    def slowest(self) -> ProviderEstimate | None:
        """Return an estimate of the slowest provider: providers work in parallel, so it decides the time."""
        return max(self.lanes, key=lambda lane: lane.time.expected, default=None)

    @property
    def time(self) -> Forecast:
        """Return the forecast of how long a run takes."""
        return Forecast() if self.slowest is None else self.slowest.time

    @property
    def usd(self) -> Range:
        """Return the nano-USD of requests with a price: 0 if nothing is sent, None if nothing has a price."""
        return _total(self.lanes)

    @property
    def credits(self) -> dict[str, Range]:
        """Return the milli-credits of each provider that charges credits."""
        total: dict[str, Range] = {}
        for lane in self.lanes:
            if lane.credits.expected is not None:
                total[lane.provider] = total.get(lane.provider, Range()).plus(lane.credits)
        return total

    @property
    def asks(self) -> bool:
        """Return whether the run needs confirmation: it may cost more than a little, or the price is not known."""
        high = self.usd.high
        most = None if high is None else max(high, self.dearest or 0)
        return bool(self.lanes) and (self.unpriced > 0 or most is None or most > self.confirm_above)

    def as_json(self) -> dict[str, Any]:
        """Return the document of ``plan --json``."""
        return {
            "schema_version": 1,
            "jobs": {"total": self.total} | {name: getattr(self, name) for name in STANDINGS},
            "images": self.images,
            "usd": self.usd.shown(show_usd),
            "credits": {provider: amount.shown(show_credits) for provider, amount in self.credits.items()},
            "seconds": math.ceil(self.time.expected),
            "unpriced": self.unpriced,
            "selected": self.selected,
            "requests": self.requests,
            "lanes": [lane.as_json() for lane in self.lanes],
            "time": self._time(),
            "modes": [mode.as_json() for mode in self.modes],
            "disk": {"bytes": self.disk.bytes, "free_bytes": self.disk.free_bytes, "fits": self.disk.fits},
            "confirm": {"above_usd": show_usd(self.confirm_above), "asks": self.asks},
            "changes": [change.as_json() for change in self.changes],
            "copies": self.copies,
            "examples": [job.as_json() for job in self.examples],
            "alternates": {"providers": list(self.alternates), "usd": show_usd(self.dearest)},
            "budgets": [budget.as_json() for budget in self.budgets],
            "skipped": self.skipped.as_json(),
            "changed_at_provider": {
                "jobs": self.remote_changes.requests,
                "usd": self.remote_changes.usd.shown(show_usd),
            },
            "waiting": {"jobs": self.waiting, "for": list(self.waits_for)},
            "left_out": [{"provider": name, "reason": why, "jobs": number} for name, why, number in self.without],
            "dropped": [dict(zip(_DROPPED, default, strict=True)) for default in self.dropped],
        }

    def _time(self) -> dict[str, Any]:
        return {
            "low": math.ceil(self.time.low),
            "high": math.ceil(self.time.high),
            "provider": None if self.slowest is None else self.slowest.provider,
            "limit": self.time.limit,
        }


def _total(lanes: Sequence[ProviderEstimate]) -> Range:
    priced = [lane.usd for lane in lanes if lane.usd.expected is not None]
    total = Range() if lanes and not priced else Range(low=0, expected=0, high=0)
    for amount in priced:
        total = total.plus(amount)
    return total
