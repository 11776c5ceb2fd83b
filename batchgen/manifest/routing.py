"""The providers of a manifest, and which of them a job goes to. Pure."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import accumulate
from typing import Any

from ..errors import Problem, SettingsError, nearest, suggest
from ..providers import presets, validation
from ..providers.addresses import is_placeholder
from ..providers.catalogue import SeenCatalogue
from ..providers.model import Model
from ..providers.model_changes import replacement
from ..providers.pricing import estimate
from ..providers.profile import Profile
from ..providers.validation import UnsupportedRequest, translate
from ..route import Route
from ..task import Kind, Source, Task
from . import include
from .include import ManifestPart, merged
from .locations import Origin, Path
from .messages import shown
from .model import RoutingSpec
from .problems import Problems
from .render import RenderedJob

#: An image in place of one that is wrong, for the check of the other parameters.
_ANY_IMAGE = (Source(path="an image"),)
#: An address in place of one that only the user knows.
_ANY_URL = "https://gateway.invalid"
#: The code of the warning about an address that only a sandbox run can do without.
PLACEHOLDER_ADDRESS = "placeholder_address"
#: Parameters that only the provider itself can check.
_KNOWN_THERE = frozenset({"model"})


def placeholder_problem(place: Origin, profile: Profile) -> Problem:
    """Return the warning of an address that is only an example; without it, a real run of the provider ends."""
    message = f"{profile.base_url} is the address of an example, not of a provider"
    return place.problem(
        PLACEHOLDER_ADDRESS, message, "write the address from the provider's documents; a sandbox run needs none"
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A provider that can do a job: the task as it would be sent there, and the model."""

    task: Task
    model: Model
    dropped: tuple[tuple[str, Any], ...] = ()  #: names and values of defaults that the provider does not take

    @property
    def prompt_max(self) -> int:
        """Return how many characters a prompt may have."""
        rules = self.model.rules(self.task.kind)
        return rules.prompt_max if rules else 0


@dataclass(frozen=True, slots=True)
class RouteChoice:
    """The providers of a job: its home is the first candidate, or one drawn by weight; the others are fallbacks."""

    candidates: tuple[Candidate, ...]
    bounds: tuple[float, ...] = ()  #: cumulated weights in (0, 1], where jobs are spread over the candidates
    rules: RoutingSpec = field(default_factory=RoutingSpec)
    any_prompt: bool = True  #: every prompt that these providers accept leads to the same choice
    without: tuple[tuple[str, str], ...] = ()  #: providers that cannot do the job, each with its reason

    @property
    def homes(self) -> tuple[Candidate, ...]:
        """Return the candidates that jobs are given to first."""
        return self.candidates if self.bounds else self.candidates[:1]

    def route(self, home: Candidate) -> Route | None:
        """Return the fallback providers of *home*."""
        others = tuple(candidate.task.provider for candidate in self.candidates if candidate is not home)
        if not others:
            return None
        any_order = self.rules.strategy == "fastest"
        return Route(others=others, failover_after=self.rules.failover_after, any_order=any_order)

    def home(self, key: str) -> int:
        """Return which of ``homes`` the job *key* goes to: the same every time."""
        if not self.bounds:
            return 0
        point = int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:8]) / 2**64
        return min(bisect_right(self.bounds, point), len(self.bounds) - 1)


class ProviderTable:
    """The providers that the manifest and the settings configure, and the presets; each is built once."""

    def __init__(
        self,
        parts: Sequence[ManifestPart],
        settings: Mapping[str, Mapping[str, Any]],
        problems: Problems,
        today: date | None = None,
        seen: Mapping[str, SeenCatalogue] | None = None,
    ) -> None:
        self._problems = problems
        self._today = today
        self._seen = seen or {}
        self._own, self._origins, self._broken = include.providers(parts)
        self._settings = settings
        self._incomplete = any(part.is_incomplete for part in parts)
        root = parts[0].checked.data
        self._policy = {key: root[key] for key in ("retry", "on_unknown") if root.get(key) is not None}
        self._profiles: dict[str, Profile | None] = {}
        for name in self._own:
            self.profile(name)

    @property
    def profiles(self) -> dict[str, Profile]:
        """Return the providers that could be built, by name."""
        return {name: profile for name, profile in self._profiles.items() if profile is not None}

    @property
    def names(self) -> list[str]:
        """Return every provider that a job may name."""
        return [*dict.fromkeys([*self._own, *self._settings, *presets.preset_names()])]

    def profile(self, name: str, job: RenderedJob | None = None) -> Profile | None:
        """Return a provider; None where its settings are wrong, which is reported once (at *job*)."""
        if name not in self._profiles:
            self._profiles[name] = self._built(name, job)
        return self._profiles[name]

    def _built(self, name: str, job: RenderedJob | None) -> Profile | None:
        if name in self._broken:
            return None
        settings = merged(merged(self._settings.get(name, {}), self._policy), self._own.get(name) or {})
        try:
            profile = presets.profile(name, settings)
        except SettingsError:
            flaws = presets.flaws(name, settings)
        else:
            return self._seen[name].dated(profile) if name in self._seen else profile
        if name in self._origins:
            for path, message in flaws.items():
                self._problems.add(self._place(self._origins[name], path).problem("provider", message))
        elif job is not None:
            self._problems.add(job.problem("provider", "provider", "; ".join(flaws.values())))
        return None

    def placeholder_addresses(self) -> Iterator[Problem]:
        """Yield the addresses of examples that the manifest states for its providers."""
        for name, origin in self._origins.items():
            profile = self._profiles.get(name)
            if "base_url" in (self._own.get(name) or {}) and profile and is_placeholder(profile.base_url):
                yield placeholder_problem(self._place(origin, ("base_url",)), profile)

    @staticmethod
    def _place(origin: Origin, path: Path) -> Origin:
        """Return the place of a setting, or that of the provider where the setting was not written."""
        place = origin.inside(*path)
        return place if origin.places.holds(place.path) else origin

    def unlisted(self, candidate: Candidate) -> tuple[str, str] | None:
        """Return a warning and a hint where the provider did not list the model lately; None where it may have."""
        provider = candidate.task.provider
        seen, profile = self._seen.get(provider), self._profiles.get(provider)
        if seen is None or profile is None or self._today is None:
            return None
        if candidate.task.model not in seen.unlisted(profile, self._today):
            return None
        near = replacement(candidate.model, seen.catalogue)
        hint = f"did you mean model: {near}?" if near else ""
        message = f"{provider} did not list {candidate.model.wire} on {seen.at:%Y-%m-%d}"
        return message, f"{hint} `batchgen providers check --models {provider}` reads the list again".strip()

    def choose(self, job: RenderedJob, task: Task) -> RouteChoice | None:
        """Return which of the job's providers can do *task*; None where none can, which is reported.

        ``task.provider`` is ignored. ``task.model`` is the model as written; where it is empty, the default model of
        the first provider that can do the job counts, and its fallbacks must have that model too.
        """
        names = self._names(job)
        rules = _rules(job.values.get("route"))
        self._check_weights(job, rules, names)
        unknown = [name for name in names if name not in self.names]
        profiles = [
            profile for name in names if name not in unknown and (profile := self.profile(name, job)) is not None
        ]
        if len(profiles) < len(names) or not names or job.unknown:
            if len(profiles) + len(unknown) == len(names):  # settings that are wrong may be those of the model
                meant, open_ = self._meant(unknown) if unknown or not names else ([], frozenset())
                self._report_certain(job, task, [*profiles, *meant], job.unknown | open_)
            return None
        selection = _Selection(self._today)
        selection.add(profiles, task)
        if not selection.candidates and job.defaulted:
            selection = _Selection(self._today, job.defaulted)
            selection.add(profiles, task)
        if not selection.candidates:
            self._report(job, selection.misfits)
            return None
        ordered, bounds = _ordered(selection.candidates, rules)
        return RouteChoice(ordered, bounds, rules, selection.any_prompt, tuple(selection.without))

    def _names(self, job: RenderedJob) -> list[str]:
        """Return the providers that the job names, or the only one there is; unknown ones are reported."""
        names: list[str] = [*dict.fromkeys(job.values.get("provider") or [])]
        if not names and "provider" not in job.unknown:
            configured = list(self._own or self._settings)
            if len(configured) == 1:
                return configured
            example = configured[0] if configured else "aigate"
            hint = f"write  provider: {example}  under defaults:, or in the job; several are tried in order"
            self._problems.add(job.problem("provider", "no_provider", "no provider is named for this job", hint))
        for name in names:
            # Those of a file that cannot be read are not known.
            if name not in self.names and (not self._incomplete or nearest(name, self.names)):
                message = f"no provider is named {shown(name)}"
                self._problems.add(job.problem("provider", "unknown_provider", message, suggest(name, self.names)))
        return names

    def _meant(self, names: Sequence[str]) -> tuple[list[Profile], frozenset[str]]:
        """Return the providers that may be meant by unknown *names*, and the parameters that only these know.

        They are the nearest ones, or all where none is near: the name may be that of a provider with other models.
        """
        near = [nearest(name, self.names) for name in names]
        is_any = not names or None in near
        profiles = []
        for name in self.names if is_any else filter(None, near):
            settings = merged(self._settings.get(name, {}), self._own.get(name) or {})
            with suppress(SettingsError):
                profiles.append(presets.profile(name, {"base_url": _ANY_URL, **settings}))
        return profiles, _KNOWN_THERE if is_any else frozenset()

    def _report_certain(
        self, job: RenderedJob, task: Task, profiles: Sequence[Profile], unknown: frozenset[str]
    ) -> None:
        """Report what every one of *profiles* would refuse, except for *unknown* parameters."""
        tasks = [task]
        if "images" in job.unknown:
            tasks = [replace(task, kind=Kind.GENERATE, images=()), replace(task, kind=Kind.EDIT, images=_ANY_IMAGE)]
        refused: dict[str, UnsupportedRequest] | None = None
        for profile in profiles:
            for variant in tasks:
                request = replace(variant, provider=profile.name, model=variant.model or profile.default_model)
                request = translate(request, profile)
                misfits = validation.unforgiven(validation.check(request, profile), job.defaulted)
                if not misfits and self._today is not None:
                    misfits = validation.discontinued(request, profile, self._today)
                first = {misfit.field: misfit for misfit in misfits if misfit.field not in unknown}
                refused = first if refused is None else {key: refused[key] for key in refused if key in first}
        if refused:
            self._report(job, {"": tuple(refused.values())})

    def _check_weights(self, job: RenderedJob, rules: RoutingSpec, names: list[str]) -> None:
        """Report weights of providers that are not among the *names* of the job's."""
        unknown = [name for name in rules.weights if name not in names] if names else []
        for name in unknown:
            hint = suggest(name, names, f"the job's providers: {', '.join(names)}")
            message = f"weights names {shown(name)}, which is not a provider of this job"
            self._problems.add(job.problem("route", "route", message, hint))
        if unknown:
            job.leave_out("route")

    def _report(self, job: RenderedJob, misfits: Mapping[str, tuple[UnsupportedRequest, ...]]) -> None:
        """Report what the first provider would refuse, and briefly why the others cannot do the job either."""
        first, *rest = misfits.values()
        others = [f"nor {name}: {reasons[0].message}" for name, reasons in zip([*misfits][1:], rest, strict=True)]
        for misfit in first:
            hint = "; ".join(filter(None, [misfit.hint, *others]))
            field = "per_request" if misfit.field == "n" and "per_request" in job.values else misfit.field
            self._problems.add(job.problem(field, f"misfit_{field}", misfit.message, hint))


class _Selection:
    """The providers that can do one job, and why the others cannot."""

    def __init__(self, today: date | None, forgiven: frozenset[str] = frozenset()) -> None:
        self.candidates: list[Candidate] = []
        self.misfits: dict[str, tuple[UnsupportedRequest, ...]] = {}
        self.without: list[tuple[str, str]] = []
        self._today = today
        self._forgiven = forgiven  #: defaults that are not sent to a provider that does not have them

    @property
    def any_prompt(self) -> bool:
        """Return whether every prompt that the candidates accept leads to the same selection."""
        return not any(misfit.field == "prompt" for reasons in self.misfits.values() for misfit in reasons)

    def add(self, profiles: Sequence[Profile], task: Task) -> None:
        """Check each provider in the author's order."""
        for profile in profiles:
            default = self.candidates[0].task.model if self.candidates else profile.default_model
            request = replace(task, provider=profile.name, model=task.model or default)
            if len(profiles) > 1:
                request = translate(request, profile)
            all_misfits = validation.check(request, profile)
            misfits = validation.unforgiven(all_misfits, self._forgiven)
            if not misfits and self._today is not None:
                misfits = validation.discontinued(request, profile, self._today)
            if misfits:
                self.misfits[profile.name] = misfits
                self.without.append((profile.name, misfits[0].message))
                continue
            model, details = profile.find(request.model)
            if self.candidates and model != self.candidates[0].task.model:
                self.without.append((profile.name, f"it has another model, {model}"))
                continue
            dropped = tuple((misfit.field, getattr(task, misfit.field)) for misfit in all_misfits)
            self.candidates.append(Candidate(replace(task, provider=profile.name, model=model), details, dropped))


def _rules(value: object) -> RoutingSpec:
    """Return the routing rules of a job, which may be a strategy's name only."""
    if value is None:
        return RoutingSpec()
    return RoutingSpec.model_validate({"strategy": value} if isinstance(value, str) else value)


def _ordered(candidates: Sequence[Candidate], rules: RoutingSpec) -> tuple[tuple[Candidate, ...], tuple[float, ...]]:
    """Return *candidates*, which come in the author's order, by the strategy, and their cumulated weights."""
    if rules.strategy == "cheapest":
        return tuple(sorted(candidates, key=_cost)), ()
    if rules.strategy == "weighted" and len(candidates) > 1:
        default = 0.0 if rules.weights else 1.0
        weights = [rules.weights.get(candidate.task.provider, default) for candidate in candidates]
        if total := sum(weights):
            return tuple(candidates), tuple(bound / total for bound in accumulate(weights))
    return tuple(candidates), ()


def _cost(candidate: Candidate) -> tuple[bool, int]:
    """Return the sort key of the cheapest: an unknown price comes last, equal prices keep the author's order."""
    usd = estimate(candidate.task, candidate.model).expected.usd
    return usd is None, usd or 0
