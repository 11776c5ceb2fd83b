"""Thousands of calls in flight in one process: what they take, and whether it still hears and shows in time."""

from __future__ import annotations

from . import runs
from .apart import apart
from .far import far
from .figures import Row, rows
from .settings import Settings

#: As many as 20,000 open files carry.
MANY = 4_980


def flight(settings: Settings) -> list[Row]:
    """Run so many jobs whose answers take a minute, all of them at once."""
    count, seconds = (40, 0.5) if settings.short else (MANY, 60)
    with far(64) as url:
        took = apart(runs.flight, url=f"{url}/late/{seconds}", count=count)
    case = {
        "speed": (took["worst_lag"], "s late at worst"),
        "cpu": (took["cpu_ms"], "ms/call"),
        "space": (took["peak_mb"], "MB at the peak"),
    }
    late = {"speed": (100 * took["late"], "% over 0.25 s late")}
    how = f"{took['width']:.0f} in flight"
    return rows(f"{count} calls of {seconds} s at once", {how: case, "its loop": late})
