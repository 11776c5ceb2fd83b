"""The providers of a project: the presets, and those that ``batchgen.yaml`` adds or changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ...errors import UsageError, suggest
from ...providers.presets import home_address, preset_names, profile
from ...providers.profile import Profile
from ..project import Project
from . import settings


def provider_settings(project: Project) -> Mapping[str, Mapping[str, Any]]:
    """Return the provider settings in ``batchgen.yaml``, by name."""
    providers: Mapping[str, Mapping[str, Any]] = settings.project_settings(project.root).get("providers") or {}
    return providers


def require_provider(name: str, names: Collection[str]) -> None:
    """Raise UsageError with a suggestion if *name* is not among *names*."""
    if name not in names:
        raise UsageError(f"unknown provider {name!r}; {suggest(name, names)}")


def display_profile(name: str, overrides: Mapping[str, Mapping[str, Any]]) -> Profile:
    """Return the profile of a provider for display only, even without an address. Raises SettingsError."""
    override = dict(overrides.get(name) or {})
    if _lacks_address(name, override):
        override["base_url"] = f"https://{name}.invalid"
    return profile(name, override)


def _lacks_address(name: str, override: Mapping[str, Any]) -> bool:
    """Return whether the user has to set the address of a preset, and has not."""
    return name in preset_names() and not override.get("base_url") and not home_address(name)[0]


def load_profiles(project: Project, names: Sequence[str] = ()) -> Mapping[str, Profile]:
    """Return the profiles of *names*, or of all presets and configured providers; raise UsageError for unknown names.

    A preset whose address the user has to set is skipped without one, unless it is named: then a SettingsError
    reports it.
    """
    overrides = provider_settings(project)
    all_names = dict.fromkeys([*preset_names(), *overrides])
    for name in names:
        require_provider(name, all_names)
    profiles = {}
    for name in names or all_names:
        override = dict(overrides.get(name) or {})
        if _lacks_address(name, override):
            if project.sandbox:
                override["base_url"] = "http://127.0.0.1"  # The sandbox's address replaces it.
            elif not names:
                continue
        profiles[name] = profile(name, override)
    return profiles
