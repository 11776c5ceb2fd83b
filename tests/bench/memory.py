"""Memory per call in flight: every call is under way before the first large answer comes."""

from __future__ import annotations

from . import runs
from .apart import apart
from .far import far
from .figures import Row, rows


def memory(*, short: bool) -> list[Row]:
    """Compare 50 and 400 calls in flight, answered all at once with 3.5 MB each. Needs 3 GB of disk for a while."""
    few, many = (2, 6) if short else (50, 400)
    found: list[Row] = []
    peaks: dict[str, dict[int, float]] = {}
    with far(64 if short else 1024) as url:
        for width in (few, many):
            cases = {}
            for how, loop in (("a bare loop", runs.bare), ("batchgen: app.run", runs.batchgen)):
                took = apart(loop, url=f"{url}/hold/{width}", count=width, width=width)
                peaks.setdefault(how, {})[width] = took["peak_mb"]
                cases[how] = {
                    "speed": (took["per_second"], "answers/s"),
                    "cpu": (took["cpu_ms"], "ms/answer"),
                    "space": (took["peak_mb"], "MB at the peak"),
                }
            found += rows(f"memory: {width} calls in flight, 3.5 MB answers", cases)
    each = {how: max(0.0, at[many] - at[few]) / (many - few) for how, at in peaks.items()}
    cases = {how: {"space": (value, "MB/call")} for how, value in each.items()}
    return found + rows(f"memory: each call beyond {few}", cases)
