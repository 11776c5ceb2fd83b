"""The pauses and limits in force, as lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .format import duration, under

if TYPE_CHECKING:
    from ...app.project import CommandFlags, Project
    from ...manifest import Batch
    from ...store.controls import Control


def in_force(project: Project, batch: Batch) -> list[Control]:
    """Return the pauses and limits of the providers of *batch*."""
    from ...app import queries

    return [each for each in queries.active_controls(project) if each.provider in batch.profiles]


def control_lines(project: Project, controls: Iterable[Control]) -> list[str]:
    """Return a line for each, as ``status`` and a plan show them."""
    now = datetime.now(UTC)
    return under("in force", [control_line(control, project.command_flags(), now) for control in controls])


def control_line(control: Control, way: CommandFlags, now: datetime) -> str:
    """Return the pause and the limits of a provider, since when, and how to undo them."""
    from ...app.clock import local_time
    from ...app.live_limits import limits_text

    parts = []
    if control.paused_at is not None:
        age = _age((now - control.paused_at).total_seconds())
        parts.append(f"paused since {local_time(control.paused_at)}{age} ({way.plain('unpause', control.provider)})")
    if control.limits:
        age = _age((now - control.said_at).total_seconds()) if control.said_at is not None else ""
        undo = way.plain("limit", f"{control.provider} --reset")
        parts.append(f"{limits_text(control.limits)}{age} ({undo})")
    return f"{control.provider}: {'; '.join(parts)}"


def control_documents(controls: Iterable[Control]) -> list[dict[str, Any]]:
    """Return the same for ``--json``."""
    return [
        {
            "provider": control.provider,
            "paused_at": control.paused_at.isoformat() if control.paused_at else None,
            "limits": dict(control.limits),
            "said_at": control.said_at.isoformat() if control.said_at else None,
        }
        for control in controls
    ]


def _age(seconds: float) -> str:
    """Return for how long something has been in force, from a minute on."""
    return "" if seconds < 60 else f", for {duration(seconds)}"
