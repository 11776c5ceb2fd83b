"""The provider's facts that a spool slot carries: the provider may leave the manifest while its answer waits.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..errors import SettingsError
from ..task import Task
from .presets import profile as preset_profile
from .profile import Model, Profile, Rules

#: The member of a slot's order that holds them.
KEY = "profile"


def dump(profile: Profile, model: Model, name: str) -> dict[str, Any]:
    """Return what reading and pricing an answer of one model needs, fit for JSON; it holds no key."""
    one = profile.model_copy(update={"models": {name: model}, "default_model": name, "groups": {}})
    return one.model_dump(mode="json", exclude_defaults=True)


def load(task: Task, order: Mapping[str, Any]) -> tuple[Profile, Model]:
    """Return the facts that a slot's *order* carries.

    Slots of old versions carry none: then the preset of that name counts, or else a stand-in that can read any answer
    and price none.
    """
    with suppress(ValueError, LookupError):
        profile = Profile.model_validate(order[KEY])
        return profile, profile.models[task.model]
    with suppress(SettingsError, LookupError):
        profile = preset_profile(task.provider)
        return profile, profile.find(task.model)[1]
    rules = Rules(path="any")
    model = Model(wire=task.model, generate=rules, edit=rules)
    profile = Profile(
        name=task.provider,
        preset="",
        dialect="openai_images",
        paths={"any": "/"},
        api_key_env=(),
        default_model=task.model,
        models={task.model: model},
    )
    return profile, model
