"""Mode of a call: what the settings of its provider name for the time at which it is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from ..mode import Mode, mode_at
from ..providers.profile import Profile
from ..task import Task


def mode_clock(
    profiles: Mapping[str, Profile], started: datetime, now: Callable[[], datetime]
) -> Callable[[Task], Mode]:
    """Return a function for the mode in which a task is bought now, in a run that *started* then.

    The times of modes are those of this machine's clock.
    """
    begin = started.astimezone()

    def mode_of(task: Task) -> Mode:
        profile = profiles.get(task.provider)
        if profile is None or not profile.modes:
            return Mode.STANDARD
        return mode_at(profile.modes, begin, now().astimezone(), profile.find(task.model)[1].offered)

    return mode_of
