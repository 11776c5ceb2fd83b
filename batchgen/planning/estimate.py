"""What a stream of jobs will cost, and how long and how large it will be.  A decision: pure.

Prices, time and space depend on a job's parameters and on how long its prompt is, on nothing else: jobs are counted
by these, and each kind is looked at once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from operator import itemgetter
from typing import Any

from ..learned_prices import PriceMemory
from ..manifest.batch import PlannedJob, Recipe
from ..money import show_credits, show_usd
from ..providers.pricing import Estimate, estimate, is_stale
from ..providers.profile import Limits, Profile
from ..task import Charge, Task
from .forecast import Disk, Forecast, Latency, Share, call_bytes, forecast, image_bytes, longest

_prompt, _recipe = itemgetter(1), itemgetter(4)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanContext:
    """What a plan needs to know of this machine, this day and earlier runs."""

    today: date
    latencies: Mapping[tuple[str, str], Latency] = field(default_factory=dict)  #: measured, by provider and model
    bytes_per_pixel: Mapping[str, float] = field(default_factory=dict)  #: measured, by format ("png")
    free_bytes: int | None = None  #: where the images go
    prices: PriceMemory = field(default_factory=PriceMemory)  #: what earlier calls were found to cost
    accounts: Mapping[str, int] = field(default_factory=dict)  #: keys that a provider has, where it may have several


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """An amount as it may turn out; None where nothing about it is known."""

    low: int | None = None
    expected: int | None = None
    high: int | None = None

    def plus(self, other: Range) -> Range:
        """Return the sum; what is unknown adds nothing."""
        return Range(
            low=_sum(self.low, other.low),
            expected=_sum(self.expected, other.expected),
            high=_sum(self.high, other.high),
        )

    def times(self, number: int) -> Range:
        """Return *number* times as much."""
        low, expected, high = (
            None if amount is None else amount * number for amount in (self.low, self.expected, self.high)
        )
        return Range(low=low, expected=expected, high=high)

    def shown(self, show: Callable[[int | None], str | None]) -> dict[str, str | None]:
        """Return low, expected and high as decimal strings."""
        return {"low": show(self.low), "expected": show(self.expected), "high": show(self.high)}


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderEstimate:
    """What one provider would be asked to do with one model."""

    provider: str
    model: str
    requests: int = 0
    images: int = 0
    usd: Range = field(default_factory=Range)  #: nano-USD, of what has a price
    credits: Range = field(default_factory=Range)  #: milli-credits
    unpriced: int = 0  #: requests without a price in USD
    time: Forecast = field(default_factory=Forecast)  #: of the provider: its models share one lane
    tariff_date: str | None = None  #: when its prices were read; None: nobody says, or there are none
    stale: bool = False  #: that was long ago
    measured: bool = False  #: earlier calls were found to cost more than the list says, and that counts here

    def as_json(self) -> dict[str, Any]:
        """Return it for ``plan --json``."""
        return {
            "provider": self.provider,
            "model": self.model,
            "requests": self.requests,
            "images": self.images,
            "usd": self.usd.shown(show_usd),
            "credits": None if self.credits.expected is None else self.credits.shown(show_credits),
            "unpriced": self.unpriced,
            "seconds": math.ceil(self.time.expected),
            "tariff_date": self.tariff_date,
            "stale": self.stale,
        }


class CostEstimate:
    """Jobs counted as they come by; nothing of them is kept but what their kinds have in common."""

    def __init__(self, profiles: Mapping[str, Profile], facts: PlanContext) -> None:
        self._profiles = profiles
        self._facts = facts
        self._kinds: dict[tuple[object, ...], Task] = {}
        self._counts: Counter[tuple[tuple[object, ...], int]] = Counter()
        self._alternates: dict[tuple[object, ...], tuple[str, ...]] = {}
        self._without: Counter[tuple[str, str]] = Counter()

    def add(self, jobs: Sequence[PlannedJob]) -> None:
        """Count *jobs*."""
        alike = Counter(zip(map(_recipe, jobs), map(len, map(_prompt, jobs)), strict=True))
        names: dict[Recipe, tuple[object, ...]] = {}
        for (recipe, length), number in alike.items():
            for one in recipe.without:
                self._without[one] += number
            name = names.get(recipe)
            if name is None:
                others = recipe.route.others if recipe.route else ()
                name = names[recipe] = (*_kind(recipe.task), others)
                self._kinds.setdefault(name, recipe.task)
                self._alternates[name] = others
            self._counts[name, length] += number

    def answers(self) -> dict[str, Any]:
        """Return all that a plan says of these jobs, by the names of its fields."""
        names = ("alternates", "priceless", "dearest", "without")
        return {"lanes": self.lanes(), "disk": self.disk()} | {name: getattr(self, name) for name in names}

    def lanes(self) -> tuple[ProviderEstimate, ...]:
        """Return what each provider would be asked to do with each model, in the order in which they came."""
        lanes: dict[tuple[str, str], ProviderEstimate] = {}
        shares: dict[str, Counter[tuple[str, int]]] = {}
        for (name, length), number in self._counts.items():
            task = self._kinds[name]
            lane = lanes.get((task.provider, task.model)) or self._lane(task)
            lanes[task.provider, task.model] = _with(lane, task, self._estimate(task, length), number)
            weights = shares.setdefault(task.provider, Counter())
            weights[task.model, task.n + len(task.images)] += number
        times = {provider: self._time(provider, weights) for provider, weights in shares.items()}
        return tuple(
            replace(lane, time=times[lane.provider], measured=self._is_measured(lane)) for lane in lanes.values()
        )

    @property
    def alternates(self) -> tuple[str, ...]:
        """Return the providers that may take over what others cannot do."""
        return tuple(dict.fromkeys(name for others in self._alternates.values() for name in others))

    @property
    def priceless(self) -> tuple[str, ...]:
        """Return those of them that have no price in USD for some of it."""
        lacking = dict[str, None]()
        for name, length in self._counts:
            asked = (replace(self._kinds[name], provider=who) for who in self._alternates[name])
            lacking |= dict.fromkeys(one.provider for one in asked if self._estimate(one, length).high.usd is None)
        return tuple(lacking)

    @property
    def dearest(self) -> int | None:
        """Return the nano-USD if the dearest of its providers does each job; None where nobody stands in."""
        if not any(self._alternates.values()):
            return None
        total = 0
        for (name, length), number in self._counts.items():
            task = self._kinds[name]
            able = (replace(task, provider=who) for who in (task.provider, *self._alternates[name]))
            highs = (self._estimate(one, length).high.usd for one in able)
            total += number * max((usd for usd in highs if usd is not None), default=0)
        return total

    @property
    def without(self) -> tuple[tuple[str, str, int], ...]:
        """Return the providers that jobs name and that cannot do them: name, reason, and how many jobs."""
        return tuple((name, why, number) for (name, why), number in self._without.items())

    def disk(self) -> Disk:
        """Return the room that the images take, and that the spool needs while they arrive."""
        images = sum(
            number * self._kinds[name].n * image_bytes(self._kinds[name], self._facts.bytes_per_pixel)
            for (name, _), number in self._counts.items()
        )
        return Disk(bytes=images + sum(self._spools()), free_bytes=self._facts.free_bytes)

    def _spools(self) -> Iterator[int]:
        requests: Counter[str] = Counter()
        largest: dict[str, int] = {}
        for (name, _), number in self._counts.items():
            task = self._kinds[name]
            requests[task.provider] += number
            largest[task.provider] = max(largest.get(task.provider, 0), call_bytes(task))
        for provider, number in requests.items():
            width = self._profiles[provider].limits.concurrency * self._accounts(provider)
            yield min(width, number) * largest[provider]

    def _estimate(self, task: Task, length: int) -> Estimate:
        listed = estimate(replace(task, prompt="x" * length), self._profiles[task.provider].find(task.model)[1])
        high = self._facts.prices.at_least(task, listed.high)
        if high is listed.high:
            return listed
        # as a run reserves it; where calls were found dearer than the dearest listed, that is what they cost
        low = high if listed.low.usd is None else listed.low
        return Estimate(low=low, expected=high, high=high)

    def _lane(self, task: Task) -> ProviderEstimate:
        said = self._profiles[task.provider].find(task.model)[1].tariff.date
        return ProviderEstimate(
            provider=task.provider, model=task.model, tariff_date=said, stale=is_stale(said, self._facts.today)
        )

    def _is_measured(self, lane: ProviderEstimate) -> bool:
        found = self._facts.prices.underpriced
        return any((kind.provider, kind.model) == (lane.provider, lane.model) for kind in found)

    def _time(self, provider: str, weights: Mapping[tuple[str, int], int]) -> Forecast:
        profile = self._profiles[provider]
        shares = {
            (model, weight): Share(
                -(-number // self._accounts(provider)),
                weight,
                self._facts.latencies.get((provider, model), Latency()),
            )
            for (model, weight), number in weights.items()
        }
        whole = forecast(profile.limits, [*shares.values()])
        return longest([whole, *(forecast(limits, part) for limits, part in _groups(profile, shares))])

    def _accounts(self, provider: str) -> int:
        return max(1, self._facts.accounts.get(provider, 1))


def _groups(profile: Profile, shares: Mapping[tuple[str, int], Share]) -> Iterator[tuple[Limits, list[Share]]]:
    """Yield what holds for each group of models beside the limits of them all, and what is asked of it."""
    for name, models in profile.grouped.items():
        group, width = profile.groups[name], profile.limits.concurrency
        limits = group.model_copy(update={"concurrency": min(group.concurrency or width, width)})
        yield limits, [share for (model, _), share in shares.items() if model in models]


def _kind(task: Task) -> tuple[object, ...]:
    """Return all of *task* that its price, time and space depend on, apart from how long its prompt is."""
    sources = len(task.images), task.mask is not None
    return (task.provider, task.model, task.n, task.size, task.quality, task.resolution, task.output_format, *sources)


def _with(lane: ProviderEstimate, task: Task, guess: Estimate, number: int) -> ProviderEstimate:
    """Return *lane* with *number* more requests like *task*."""
    return replace(
        lane,
        requests=lane.requests + number,
        images=lane.images + number * task.n,
        usd=lane.usd.plus(_part(guess, lambda charge: charge.usd).times(number)),
        credits=lane.credits.plus(_part(guess, lambda charge: charge.credits).times(number)),
        unpriced=lane.unpriced + number * (guess.expected.usd is None),
    )


def _part(guess: Estimate, part: Callable[[Charge], int | None]) -> Range:
    return Range(low=part(guess.low), expected=part(guess.expected), high=part(guess.high))


def _sum(first: int | None, second: int | None) -> int | None:
    if first is None:
        return second
    return first + (second or 0)
