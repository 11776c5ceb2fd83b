"""Rules about modes: which of those that settings name a model has. Pure."""

from __future__ import annotations

from ..mode import Mode
from .model import Model
from .profile import Profile


def lacks_every_mode(profile: Profile, model: Model) -> bool:
    """Return whether *model* has none of the modes that the provider's settings name."""
    return bool(profile.modes) and all(step.mode not in model.offered for step in profile.modes)


def skipped_mode(profile: Profile, model: Model) -> Mode | None:
    """Return the first mode of the settings that *model* lacks, although it has another one of them; else None."""
    if lacks_every_mode(profile, model):
        return None
    return next((step.mode for step in profile.modes if step.mode not in model.offered), None)
