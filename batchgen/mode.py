"""Modes: how calls are bought, at which price and by when. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum


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


_DAY = timedelta(days=1)
#: For so long a time of day counts as over.
_OVER = timedelta(hours=6)
#: How a time of day is written in a step.
_UNTIL = re.compile(r"(?:until\s+)?([01]?\d|2[0-3]):([0-5]\d)", re.IGNORECASE)


def mode_at(
    steps: Sequence[ModeStep], started: datetime, now: datetime, offered: Collection[Mode] = tuple(Mode)
) -> Mode:
    """Return the mode in force at *now* in a run that *started* then; both are aware, in the zone of the times.

    After the last step it is standard. Modes that are not *offered* are skipped.
    """
    for step in steps:
        is_over = step.until is not None and now >= end_of(step.until, started)
        if not is_over and step.mode in offered:
            return step.mode
    return Mode.STANDARD


def end_of(until: time, started: datetime) -> datetime:
    """Return the moment with the time of day *until* that counts for a run that *started* then, in its zone.

    A time is over for six hours, then the one of the next day counts: a run that starts again at 05:00 after a crash
    must not wait for 04:00 of the next day, and one that starts in the afternoon has the night before it.
    """
    day = started.replace(hour=until.hour, minute=until.minute, second=until.second, microsecond=0, fold=0)
    if day > started + _DAY - _OVER:
        return day - _DAY
    return day if day > started - _OVER else day + _DAY


def read_step(value: object) -> object:
    """Return a step as it is written in settings, ``flex`` or ``{flex: until 06:00}``, by field; raise ValueError.

    A value that is a step already is returned as it is.
    """
    if isinstance(value, str):
        return {"mode": _named(value)}
    if isinstance(value, ModeStep) or (isinstance(value, Mapping) and "mode" in value):
        return value
    if not isinstance(value, Mapping) or len(value) != 1:
        raise ValueError("should be a mode, such as flex, or a mode with its end, such as  {flex: until 06:00}")
    ((name, until),) = value.items()
    match = _UNTIL.fullmatch(until.strip()) if isinstance(until, str) else None
    if match is None:
        raise ValueError(f"a time is missing; write  {{{_named(str(name))}: until 06:00}}")
    return {"mode": _named(str(name)), "until": time(int(match[1]), int(match[2]))}


def _named(name: str) -> Mode:
    try:
        return Mode(name.strip().lower())
    except ValueError:
        raise ValueError(f"there is no mode {name!r}; use one of: {', '.join(Mode)}") from None
