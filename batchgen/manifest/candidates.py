"""The providers of one manifest, and which of them takes a job.  Decisions: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from ..errors import SettingsError, suggest
from ..providers import presets, validation
from ..providers.profile import Profile
from ..providers.validation import UnsupportedRequest, translate
from ..task import Task
from . import include
from .batch import Stated
from .include import ManifestPart, merged
from .locations import Problems
from .messages import shown
from .render import RenderedJob
from .routing import Candidate, RouteChoice, chosen, routing, unknown_weights


class ProviderTable:
    """Every provider that the manifest or the settings configure, and the presets; each is built once."""

    def __init__(
        self,
        parts: Sequence[ManifestPart],
        settings: Mapping[str, Mapping[str, Any]],
        problems: Problems,
        today: date | None = None,
    ) -> None:
        self._problems = problems
        self._today = today
        self._own, self._origins, self._broken = include.providers(parts)
        self._settings = settings
        whole = parts[0].checked.data
        self._policy = {key: whole[key] for key in ("retry", "on_unknown") if whole.get(key) is not None}
        self._profiles: dict[str, Profile | None] = {}
        for name in self._own:
            self.profile(name)

    @property
    def profiles(self) -> dict[str, Profile]:
        """Return the providers that could be built, by name."""
        return {name: profile for name, profile in self._profiles.items() if profile is not None}

    @property
    def limits(self) -> dict[str, Stated]:
        """Return who stated the limits of the providers that could be built."""
        return {name: self._stated(name) for name in self.profiles}

    def _stated(self, name: str) -> Stated:
        own, project = self._own.get(name) or {}, self._settings.get(name, {})
        return Stated(manifest=frozenset(own.get("limits") or ()), project=project.get("limits") or {})

    @property
    def known(self) -> list[str]:
        """Return every name that a job may use."""
        return [*dict.fromkeys([*self._own, *self._settings, *presets.preset_names()])]

    def default(self) -> str | None:
        """Return the provider of a job that names none: the only one configured, if it is the only one."""
        configured = list(self._own or self._settings)
        return configured[0] if len(configured) == 1 else None

    def profile(self, name: str, draft: RenderedJob | None = None) -> Profile | None:
        """Return a provider by name; None where its settings are wrong, which is reported once (in *draft*)."""
        if name not in self._profiles:
            self._profiles[name] = self._built(name, draft)
        return self._profiles[name]

    def _built(self, name: str, draft: RenderedJob | None) -> Profile | None:
        if name in self._broken:
            return None
        wish = merged(merged(self._settings.get(name, {}), self._policy), self._own.get(name) or {})
        try:
            return presets.profile(name, wish)
        except SettingsError as error:
            message = str(error).removeprefix(f"provider {name}: ")
            if name in self._origins:
                self._problems.add(self._origins[name].problem("provider", message))
            elif draft is not None:
                self._problems.add(draft.problem("provider", "provider", message))
            return None

    def choose(self, draft: RenderedJob, task: Task) -> RouteChoice | None:
        """Return who of the job's providers can do *task*; None where none can, which is reported.

        ``task.provider`` is ignored and ``task.model`` is the model as written, or empty: then it is the default one
        of the first provider that can, and the others must have it too.
        """
        names = self._names(draft)
        if not names:
            return None
        wish = routing(draft.values.get("route"))
        if strange := unknown_weights(wish, names):
            hint = suggest(strange[0], names, f"the job's providers: {', '.join(names)}")
            self._problems.add(
                draft.problem("route", "route", f"no provider {shown(strange[0])} to give weight to", hint)
            )
            return None
        offers: list[Candidate] = []
        refused: list[tuple[UnsupportedRequest, ...]] = []
        without: list[tuple[str, str]] = []
        for name in names:
            profile = self.profile(name, draft)
            if profile is None:
                return None
            known = task.model or (offers[0].task.model if offers else profile.default_model)
            asked = replace(task, provider=name, model=known)
            if len(names) > 1:
                asked = translate(asked, profile)
            if misfits := validation.check(asked, profile) or self._ended(asked, profile):
                refused.append(misfits)
                without.append((name, misfits[0].message))
                continue
            canonical, model = profile.find(asked.model)
            if not offers or canonical == offers[0].task.model:
                offers.append(Candidate(replace(task, provider=name, model=canonical), model))
            else:
                without.append((name, f"it has another model, {canonical}"))
        if not offers:
            if refused:
                self._refuse(draft, names, refused)
            return None
        lasting = not any(misfit.field == "prompt" for known in refused for misfit in known)
        return replace(chosen(offers, wish, lasting=lasting), without=tuple(without))

    def _ended(self, asked: Task, profile: Profile) -> tuple[UnsupportedRequest, ...]:
        return () if self._today is None else validation.discontinued(asked, profile, self._today)

    def _names(self, draft: RenderedJob) -> list[str]:
        names: list[str] = [*dict.fromkeys(draft.values.get("provider") or [])]
        if not names:
            default = self.default()
            if default is None:
                hint = "write  provider: aigate  under defaults:, or in the job; several are tried in order"
                self._problems.add(
                    draft.problem("provider", "no_provider", "no provider is named for this job", hint)
                )  # fmt: skip
                return []
            return [default]
        unknown = [name for name in names if name not in self.known]
        for name in unknown:
            hint = suggest(name, self.known)
            self._problems.add(
                draft.problem("provider", "unknown_provider", f"no provider is called {shown(name)}", hint)
            )
        return [] if unknown else names

    def _refuse(self, draft: RenderedJob, names: list[str], refused: list[tuple[UnsupportedRequest, ...]]) -> None:
        """Report what the first provider would refuse, and in a few words why the others are no way out."""
        others = [f"nor {name}: {misfits[0].message}" for name, misfits in zip(names[1:], refused[1:], strict=True)]
        for misfit in refused[0]:
            hint = "; ".join(filter(None, [misfit.hint, *others]))
            field = "per_request" if misfit.field == "n" and "per_request" in draft.values else misfit.field
            self._problems.add(draft.problem(field, f"misfit_{field}", misfit.message, hint))
