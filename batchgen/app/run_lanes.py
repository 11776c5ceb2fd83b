"""Lanes of a run: those of all accounts, each as wide as the open files of this machine allow."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from ..engine.lane import Lane
from ..providers.profile import Profile
from ..route import ModelFilter
from .lanes import LaneHistory, lanes
from .preflight import limited_widths, require_files
from .run_inputs import RunInputs


def lanes_of_run(
    inputs: RunInputs, profiles: Mapping[str, Profile], now: datetime, others: Collection[str]
) -> list[Lane]:
    """Return the lanes of all accounts at the providers of *profiles*; *others* as in ``LaneHistory``."""
    configured = {
        (name, account): profile.limits.concurrency
        for name, profile in profiles.items()
        for account in inputs.keys.accounts(profile)
    }
    lessons = inputs.reader.learned_rates()
    history = LaneHistory(table=inputs.project.db, lessons=lessons, now=now, others=others)
    result: list[Lane] = []
    for (name, account), width in limited_widths(configured).items():
        for lane in lanes(profiles[name], account, width, history):
            if name in inputs.keys.without_key or inputs.options.collects_only:
                # Without a key a lane only finishes answers that have already arrived.
                lane.models = ModelFilter(only=True)
            result.append(lane)
    require_files(len(result))
    return result
