"""The provider profile inside a spool slot: the provider may leave the manifest before its answer is delivered."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..errors import SettingsError
from ..task import Task
from .model import Model, Rules
from .presets import profile as preset_profile
from .profile import Profile

#: The field of a slot's order that holds the profile.
KEY = "profile"


def dump(profile: Profile, model: Model, name: str) -> dict[str, Any]:
    """Return what is needed to read and price an answer of one model, as JSON data; it contains no key."""
    reduced = profile.model_copy(update={"models": {name: model}, "default_model": name, "groups": {}})
    return reduced.model_dump(mode="json", exclude_defaults=True)


def load(task: Task, order: Mapping[str, Any]) -> tuple[Profile, Model]:
    """Return the profile and model in a slot's *order*.

    Slots of old versions hold none: then the preset of that name is used, or else a substitute that can read any
    answer and price none.
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
