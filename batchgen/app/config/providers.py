"""Which providers there are: the presets, and those that ``batchgen.yaml`` adds or changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ...errors import UsageError, suggest
from ...providers.presets import preset_names, profile
from ...providers.profile import Profile
from ..project import Project
from . import settings


def provider_settings(project: Project) -> Mapping[str, Mapping[str, Any]]:
    """Return what ``batchgen.yaml`` says of providers, by name."""
    wishes: Mapping[str, Mapping[str, Any]] = settings.project_settings(project.root).get("providers") or {}
    return wishes


def require_provider(name: str, everyone: Collection[str]) -> None:
    """Raise UsageError, with what was probably meant, where *name* is not among *everyone*."""
    if name not in everyone:
        raise UsageError(f"there is no provider {name!r}; {suggest(name, everyone)}")


def display_profile(name: str, wishes: Mapping[str, Mapping[str, Any]]) -> Profile:
    """Return a provider to look at, not to call: a gateway need not have an address yet.  Raises SettingsError."""
    override = dict(wishes.get(name) or {})
    if name == "gateway" and not override.get("base_url"):
        override["base_url"] = "https://gateway.invalid"
    return profile(name, override)


def load_profiles(project: Project, names: Sequence[str] = ()) -> Mapping[str, Profile]:
    """Return the providers *names*, or all presets and configured ones; raise UsageError for an unknown name.

    A gateway that nobody told the address of is left out, unless it is named: then its SettingsError says so.
    """
    wishes = provider_settings(project)
    everyone = dict.fromkeys([*preset_names(), *wishes])
    for name in names:
        require_provider(name, everyone)
    found = {}
    for name in names or everyone:
        override = dict(wishes.get(name) or {})
        if name == "gateway" and not override.get("base_url"):
            if project.sandbox:
                override["base_url"] = "http://127.0.0.1"  # replaced by the sandbox's own
            elif not names:
                continue
        found[name] = profile(name, override)
    return found
