"""Cost estimate of a stream of jobs: money, time and disk space. Pure.

All three depend only on a job's parameters and on the length of its prompt. Jobs are therefore counted by these, and
each kind is estimated once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from ..learned_prices import PriceMemory
from ..manifest.batch import PlannedJob, Recipe
from ..mode import Mode
from ..money import show_credits, show_usd
from ..providers.model import Model
from ..providers.pricing import Estimate, estimate, highest, is_stale
from ..providers.profile import Limits, Profile
from ..task import Charge, Task
from .forecast import Disk, Forecast, Latency, Share, call_bytes, forecast, image_bytes, longest
from .modes import BATCH_TIME, FLEX_LATENCY, ModeEstimate
from .range import Range

#: Requests of one provider that take alike: model, images that one counts as, and mode.
_ShareKind = tuple[str, int, Mode]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanContext:
    """What an estimate needs to know about this machine, the date and earlier runs."""

    today: date
    latencies: Mapping[tuple[str, str], Latency] = field(default_factory=dict)  #: measured, by provider and model
    bytes_per_pixel: Mapping[str, float] = field(default_factory=dict)  #: measured, by format ("png")
    free_bytes: int | None = None  #: on the disk of the output folder
    prices: PriceMemory = field(default_factory=PriceMemory)  #: what earlier calls cost
    accounts: Mapping[str, int] = field(default_factory=dict)  #: number of API keys by provider, if it may have several
    mode_of: Callable[[Task], Mode] = lambda _task: Mode.STANDARD  #: how a request would be bought now


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderEstimate:
    """The requests to one provider for one model."""

    provider: str
    model: str
    requests: int = 0
    images: int = 0
    usd: Range = field(default_factory=Range)  #: nano-USD of requests with a price
    credits: Range = field(default_factory=Range)  #: milli-credits
    unpriced: int = 0  #: requests without a price in USD
    batched: int = 0  #: requests that go in batches
    time: Forecast = field(default_factory=Forecast)  #: of the provider: its models share its limits
    tariff_date: str | None = None  #: when its prices were read; None: not stated, or no prices
    stale: bool = False  #: its prices were read long ago
    measured: bool = False  #: earlier calls cost more than the price list states, which is taken into account

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
            "batched": self.batched,
            "seconds": math.ceil(self.time.expected),
            "tariff_date": self.tariff_date,
            "stale": self.stale,
        }


class CostEstimate:
    """Counts jobs by kind while they are streamed, and estimates each kind."""

    def __init__(self, profiles: Mapping[str, Profile], context: PlanContext) -> None:
        self._profiles = profiles
        self._context = context
        self._kinds: dict[tuple[object, ...], Task] = {}
        self._counts: Counter[tuple[tuple[object, ...], int]] = Counter()
        self._alternates: dict[tuple[object, ...], tuple[str, ...]] = {}
        self._without: Counter[tuple[str, str]] = Counter()
        self._dropped: Counter[tuple[str, str, str]] = Counter()

    def add(self, jobs: Sequence[PlannedJob]) -> None:
        """Count *jobs*."""
        for (recipe, length), number in Counter((job.recipe, len(job.prompt)) for job in jobs).items():
            self.count(recipe, length, number)

    def count(self, recipe: Recipe, length: int, number: int) -> None:
        """Count *number* jobs of one recipe whose prompts have this *length*."""
        for provider_and_reason in recipe.without:
            self._without[provider_and_reason] += number
        for name, value in recipe.dropped:
            self._dropped[name, str(value), recipe.task.provider] += number
        others = recipe.route.others if recipe.route else ()
        kind = (*_kind(recipe.task), others)
        self._kinds.setdefault(kind, recipe.task)
        self._alternates[kind] = others
        self._counts[kind, length] += number

    def plan_fields(self) -> dict[str, Any]:
        """Return the estimates by the names of their fields in ``Plan``."""
        names = ("alternates", "priceless", "dearest", "without", "dropped")
        fields = {"lanes": self.lanes(), "modes": self.modes(), "disk": self.disk()}
        return fields | {name: getattr(self, name) for name in names}

    def lanes(self, mode_of: Callable[[Task], Mode] | None = None) -> tuple[ProviderEstimate, ...]:
        """Return the requests to each provider and model, in order of first appearance.

        *mode_of*: how they are bought; None: as they would be now.
        """
        mode_of = mode_of or self._context.mode_of
        lanes: dict[tuple[str, str], ProviderEstimate] = {}
        shares: dict[str, Counter[_ShareKind]] = {}
        for (name, length), number in self._counts.items():
            task = self._kinds[name]
            mode = mode_of(task)
            lane = lanes.get((task.provider, task.model)) or self._lane(task)
            lane = replace(lane, batched=lane.batched + number * (mode is Mode.BATCH))
            lanes[task.provider, task.model] = _with(lane, task, self._estimate(task, length, mode), number)
            weights = shares.setdefault(task.provider, Counter())
            weights[task.model, task.n + len(task.images), mode] += number
        times = {provider: self._time(provider, weights) for provider, weights in shares.items()}
        return tuple(
            replace(lane, time=times[lane.provider], measured=self._is_measured(lane)) for lane in lanes.values()
        )

    def modes(self) -> tuple[ModeEstimate, ...]:
        """Return the same requests in each mode that their models offer; nothing if all offer only the standard one."""
        offered = {mode for task in self._kinds.values() for mode in self._model(task).offered}
        if offered <= {Mode.STANDARD}:
            return ()
        return tuple(self._in_mode(mode) for mode in Mode if mode in offered)

    def _in_mode(self, mode: Mode) -> ModeEstimate:
        def bought(task: Task) -> Mode:
            return mode if mode in self._model(task).offered else Mode.STANDARD

        lanes, usd = self.lanes(bought), Range()
        for lane in lanes:
            usd = usd.plus(lane.usd)
        tasks = [(self._kinds[name], number) for (name, _), number in self._counts.items()]
        return ModeEstimate(
            mode=mode,
            requests=sum(number for task, number in tasks if bought(task) is mode),
            usd=usd,
            time=longest([lane.time for lane in lanes]),
            in_force=sum(number for task, number in tasks if self._context.mode_of(task) is mode),
        )

    def _model(self, task: Task) -> Model:
        return self._profiles[task.provider].find(task.model)[1]

    @property
    def alternates(self) -> tuple[str, ...]:
        """Return the fallback providers of these jobs."""
        return tuple(dict.fromkeys(name for others in self._alternates.values() for name in others))

    @property
    def priceless(self) -> tuple[str, ...]:
        """Return the fallback providers without a price in USD for some of the jobs."""
        priceless = dict[str, None]()
        for name, length in self._counts:
            tasks = (replace(self._kinds[name], provider=provider) for provider in self._alternates[name])
            priceless |= dict.fromkeys(task.provider for task in tasks if self._estimate(task, length).high.usd is None)
        return tuple(priceless)

    @property
    def dearest(self) -> int | None:
        """Return the nano-USD if the most expensive provider of its route does each job; None without fallbacks."""
        if not any(self._alternates.values()):
            return None
        total = 0
        for (name, length), number in self._counts.items():
            task = self._kinds[name]
            route = (task.provider, *self._alternates[name])
            highs = (self._estimate(replace(task, provider=provider), length).high.usd for provider in route)
            total += number * max((usd for usd in highs if usd is not None), default=0)
        return total

    @property
    def without(self) -> tuple[tuple[str, str, int], ...]:
        """Return the providers that jobs name but cannot use: name, reason, and number of jobs."""
        return tuple((name, why, number) for (name, why), number in self._without.items())

    @property
    def dropped(self) -> tuple[tuple[str, str, str, int], ...]:
        """Return the defaults that providers do not take: name, value, provider, and number of jobs."""
        return tuple((*default, number) for default, number in self._dropped.items())

    def disk(self) -> Disk:
        """Return the disk space of the images, and of the spool while they arrive."""
        images = sum(
            number * self._kinds[name].n * image_bytes(self._kinds[name], self._context.bytes_per_pixel)
            for (name, _), number in self._counts.items()
        )
        return Disk(bytes=images + sum(self._spools()), free_bytes=self._context.free_bytes)

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

    def _estimate(self, task: Task, length: int, mode: Mode = Mode.STANDARD) -> Estimate:
        prompt = replace(task, prompt="x" * length)
        listed = estimate(prompt, self._model(task), mode)
        if mode is Mode.FLEX:  # It may be carried out in the standard tier.
            listed = replace(listed, high=highest(prompt, self._model(task), mode))
        high = self._context.prices.at_least(task, listed.high, mode)
        if high is listed.high:
            return listed
        # A run reserves this price. If calls cost more than the highest listed price, that is what to expect.
        low = high if listed.low.usd is None else listed.low
        return Estimate(low=low, expected=high, high=high)

    def _lane(self, task: Task) -> ProviderEstimate:
        date = self._profiles[task.provider].find(task.model)[1].tariff.date
        return ProviderEstimate(
            provider=task.provider, model=task.model, tariff_date=date, stale=is_stale(date, self._context.today)
        )

    def _is_measured(self, lane: ProviderEstimate) -> bool:
        kinds = self._context.prices.underpriced
        return any((kind.provider, kind.model) == (lane.provider, lane.model) for kind in kinds)

    def _time(self, provider: str, weights: Mapping[_ShareKind, int]) -> Forecast:
        profile = self._profiles[provider]
        shares = {
            kind: Share(-(-number // self._accounts(provider)), kind[1], self._latency(provider, kind))
            for kind, number in weights.items()
            if kind[2] is not Mode.BATCH
        }
        whole = forecast(profile.limits, [*shares.values()])
        batches = [BATCH_TIME] if len(shares) < len(weights) else []
        return longest([whole, *(forecast(limits, part) for limits, part in _groups(profile, shares)), *batches])

    def _latency(self, provider: str, kind: _ShareKind) -> Latency:
        model, _, mode = kind
        return FLEX_LATENCY if mode is Mode.FLEX else self._context.latencies.get((provider, model), Latency())

    def _accounts(self, provider: str) -> int:
        return max(1, self._context.accounts.get(provider, 1))


def _groups(profile: Profile, shares: Mapping[_ShareKind, Share]) -> Iterator[tuple[Limits, list[Share]]]:
    """Yield the limits of each group of models and its share of the requests."""
    for name, models in profile.grouped.items():
        group, width = profile.groups[name], profile.limits.concurrency
        limits = group.model_copy(update={"concurrency": min(group.concurrency or width, width)})
        yield limits, [share for (model, _, _), share in shares.items() if model in models]


def _kind(task: Task) -> tuple[object, ...]:
    """Return everything that price, time and space of *task* depend on, except for the length of its prompt."""
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
