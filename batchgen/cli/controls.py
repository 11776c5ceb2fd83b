"""The pauses and limits in force, in words and for scripts: what ``pause`` and ``limit`` set and nobody took back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from . import words

if TYPE_CHECKING:
    from ..app.place import Place, Way
    from ..manifest import Batch
    from ..store.controls import Control

_DAY = 86_400


def in_force(place: Place, batch: Batch) -> list[Control]:
    """Return what is in force for the providers of *batch*."""
    from ..app import control

    return [one for one in control.in_force(place) if one.provider in batch.profiles]


def control_lines(place: Place, controls: Iterable[Control]) -> list[str]:
    """Return a line for each, as a plan shows it."""
    now = datetime.now(UTC)
    return [f"told      {control_line(one, place.way(), now)}" for one in controls]


def control_line(said: Control, way: Way, now: datetime) -> str:
    """Return what holds for a provider, for how long it has, and how to take it back."""
    from ..app.steer import clock, spoken

    parts = []
    if said.paused_at is not None:
        age = _age((now - said.paused_at).total_seconds())
        parts.append(f"paused since {clock(said.paused_at)}{age} (batchgen unpause{way.flags} {said.provider})")
    if said.limits:
        age = _age((now - said.said_at).total_seconds()) if said.said_at is not None else ""
        parts.append(f"{spoken(said.limits)}{age} (batchgen limit{way.flags} {said.provider} --reset)")
    return f"{said.provider}: {'; '.join(parts)}"


def _age(seconds: float) -> str:
    """Return for how long something has held, where that is worth saying."""
    if seconds < 60:
        return ""
    return f", for {words.duration(seconds) if seconds < 2 * _DAY else f'{seconds / _DAY:.0f} days'}"


def control_documents(told: Iterable[Control]) -> list[dict[str, Any]]:
    """Return the same for ``--json``."""
    return [
        {
            "provider": said.provider,
            "paused_at": said.paused_at.isoformat() if said.paused_at else None,
            "limits": dict(said.limits),
            "said_at": said.said_at.isoformat() if said.said_at else None,
        }
        for said in told
    ]
