"""What a manifest would change in the job table, and what that would cost in money and time.  A decision: pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .job import State
from .manifest import Batch, Planned
from .money import show_credits, show_usd
from .pricing import Estimate, estimate
from .providers.profile import Limits, Model
from .task import Charge, Task

#: Seconds that a typical render takes (aimlapi's own example), for estimates of time.
TYPICAL_SECONDS = 45.0

#: What the job table knows of a job: its state and its fingerprint.
Row = tuple[State, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """An amount as it may turn out; None where nothing about it is known."""

    low: int | None = None
    expected: int | None = None
    high: int | None = None

    def plus(self, low: int | None, expected: int | None, high: int | None) -> Span:
        """Return the sum; what is unknown adds nothing."""
        return Span(low=_sum(self.low, low), expected=_sum(self.expected, expected), high=_sum(self.high, high))

    def shown(self, show: Callable[[int | None], str | None]) -> dict[str, str | None]:
        """Return low, expected and high as decimal strings."""
        return {"low": show(self.low), "expected": show(self.expected), "high": show(self.high)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """What one provider would be asked to do."""

    provider: str
    requests: int = 0
    images: int = 0
    usd: Span = field(default_factory=Span)  #: nano-USD, of what has a price
    credits: Span = field(default_factory=Span)  #: milli-credits
    unpriced: int = 0  #: requests without a price in USD
    seconds: float = 0.0  #: at the configured limits


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A batch beside its job table.  Each job of the manifest is in exactly one of the lists but ``orphaned``."""

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()  #: another fingerprint than in the table: would be made again
    pending: tuple[str, ...] = ()  #: begun or waiting
    failed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    orphaned: tuple[str, ...] = ()  #: in the table, no more in the manifest; never deleted
    lanes: tuple[Lane, ...] = ()

    @property
    def total(self) -> int:
        """Return how many jobs the manifest has."""
        lists = (self.new, self.changed, self.pending, self.failed, self.unknown, self.done, self.cancelled)
        return sum(map(len, lists))

    @property
    def images(self) -> int:
        """Return how many images a run would ask for."""
        return sum(lane.images for lane in self.lanes)

    @property
    def unpriced(self) -> int:
        """Return how many requests have no price in USD, and so stand in no sum of USD."""
        return sum(lane.unpriced for lane in self.lanes)

    @property
    def seconds(self) -> int:
        """Return how long a run would take: providers work side by side, so the slowest counts."""
        return math.ceil(max((lane.seconds for lane in self.lanes), default=0.0))

    @property
    def usd(self) -> Span:
        """Return the nano-USD of what has a price: 0 where nothing is to be made, None where nothing has one."""
        priced = [lane.usd for lane in self.lanes if lane.usd.expected is not None]
        total = Span() if self.lanes and not priced else Span(low=0, expected=0, high=0)
        for span in priced:
            total = total.plus(span.low, span.expected, span.high)
        return total

    def as_json(self) -> dict[str, Any]:
        """Return the plan in the shape of ``plan --json``."""
        counted = ("total", "new", "changed", "pending", "done", "failed", "orphaned")
        sizes = {name: getattr(self, name) for name in counted}
        return {
            "schema_version": 1,
            "jobs": {name: size if isinstance(size, int) else len(size) for name, size in sizes.items()},
            "images": self.images,
            "usd": self.usd.shown(show_usd),
            "credits": {
                lane.provider: lane.credits.shown(show_credits)
                for lane in self.lanes
                if lane.credits.expected is not None
            },
            "seconds": self.seconds,
            "unpriced": self.unpriced,
        }


_LIST = {
    State.PENDING: "pending",
    State.RUNNING: "pending",
    State.DONE: "done",
    State.FAILED: "failed",
    State.UNKNOWN: "unknown",
    State.CANCELLED: "cancelled",
}


def compare(
    batch: Batch,
    rows: Mapping[str, Row],
    *,
    price: Callable[[Task, Model], Estimate] = estimate,
    latency: float = TYPICAL_SECONDS,
) -> Plan:
    """Compare *batch* with the job table's *rows* (by key); *latency* is a request's typical seconds.

    New, changed and pending jobs are what a run would send: their money and time are counted.
    """
    lists: dict[str, list[str]] = {name: [] for name in ("new", "changed", *dict.fromkeys(_LIST.values()))}
    sent: dict[str, list[Planned]] = {}
    for job in batch.jobs:
        name = _place(job, rows.get(job.key))
        lists[name].append(job.key)
        if name in ("new", "changed", "pending"):
            sent.setdefault(job.task.provider, []).append(job)
    wanted = {job.key for job in batch.jobs}
    return Plan(
        **{name: tuple(found) for name, found in lists.items()},
        orphaned=tuple(key for key in rows if key not in wanted),
        lanes=tuple(_lane(batch, provider, jobs, price, latency) for provider, jobs in sent.items()),
    )


def _place(job: Planned, row: Row | None) -> str:
    if row is None:
        return "new"
    state, fingerprint = row
    return _LIST[state] if fingerprint == job.fingerprint else "changed"


def _lane(
    batch: Batch, provider: str, jobs: Iterable[Planned], price: Callable[[Task, Model], Estimate], latency: float
) -> Lane:
    profile = batch.profiles[provider]
    requests = images = sources = unpriced = 0
    usd, credits_ = Span(), Span()
    for job in jobs:
        task = job.task
        guess = price(task, profile.models[task.model])
        usd = _added(usd, guess, lambda charge: charge.usd)
        credits_ = _added(credits_, guess, lambda charge: charge.credits)
        unpriced += guess.expected.usd is None
        requests, images, sources = requests + 1, images + task.n, sources + len(task.images)
    return Lane(
        provider=provider,
        requests=requests,
        images=images,
        usd=usd,
        credits=credits_,
        unpriced=unpriced,
        seconds=seconds(profile.limits, requests, images + sources, latency),
    )


def seconds(limits: Limits, requests: int, images: int, latency: float) -> float:
    """Return how long one lane takes at its limits; *images* counts the source images of edits too."""
    rounds = math.ceil(requests / limits.concurrency)
    longest = [rounds * latency]
    if limits.requests_per_second:
        longest.append(requests / limits.requests_per_second)
    if limits.requests_per_minute:
        longest.append(requests / limits.requests_per_minute * 60)
    if limits.images_per_minute:
        longest.append(images / limits.images_per_minute * 60)
    if limits.requests_per_day:
        longest.append((math.ceil(requests / limits.requests_per_day) - 1) * 86_400.0)
    if limits.spacing:
        longest.append(requests * limits.spacing)
    return max(longest)


def _added(span: Span, guess: Estimate, part: Callable[[Charge], int | None]) -> Span:
    return span.plus(part(guess.low), part(guess.expected), part(guess.high))


def _sum(first: int | None, second: int | None) -> int | None:
    if first is None:
        return second
    return first + (second or 0)
