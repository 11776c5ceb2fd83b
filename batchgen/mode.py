"""Modes: how calls are bought, at which price and by when. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum

_HALF_DAY = timedelta(hours=12)


class Mode(StrEnum):
    """How a call is bought."""

    STANDARD = "standard"
    FLEX = "flex"  #: the same call at a lower price, with a slower answer, which may be refused under load
    BATCH = "batch"  #: many calls in one file, answered within a day at a lower price


@dataclass(frozen=True, kw_only=True, slots=True)
class ModeStep:
    """A mode, and the local time of day until which it is used; None: to the end."""

    mode: Mode
    until: time | None = None


def mode_at(steps: Sequence[ModeStep], started: datetime, now: datetime) -> Mode:
    """Return the mode in force at *now* in a run that *started* then; both are aware, in the zone of the times.

    After the last step it is standard.
    """
    for step in steps:
        if step.until is None or now < end_of(step.until, started):
            return step.mode
    return Mode.STANDARD


def end_of(until: time, started: datetime) -> datetime:
    """Return the moment with the time of day *until* that is nearest to *started*, in its zone.

    A run that starts again at 05:00 after a crash must not wait for 04:00 of the next day: that time is over.
    """
    day = started.replace(hour=until.hour, minute=until.minute, second=until.second, microsecond=0, fold=0)
    if day > started + _HALF_DAY:
        return day - timedelta(days=1)
    return day if day > started - _HALF_DAY else day + timedelta(days=1)
