"""Limits of a gate as shares: their names, what they allow in whole units, and the windows of a share. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ...share import Capacity
from .windows import HOUR, Window

#: The name of the limit on calls in flight.
CONCURRENCY = "concurrency"


def name_of(window: Window) -> str:
    """Return the name of a limit: "requests/60"."""
    return f"{window.unit}/{window.seconds:g}"


def capacities(limits: Iterable[Window], width: int) -> dict[str, Capacity]:
    """Return the limits of a gate by name."""
    result = {CONCURRENCY: Capacity(most=width)}
    for window in limits:
        name, before = name_of(window), result.get(name_of(window))
        if before is None or window.most < before.most:
            result[name] = Capacity(
                most=window.most, lasting=window.seconds >= HOUR, counts_images=window.unit == "images"
            )
    return result


def narrow(
    limits: Sequence[Window], width: int, granted: Mapping[str, int] | None
) -> tuple[Sequence[Window], int] | None:
    """Return the limits and the width of a gate as far as they are *granted*; None if nothing may be sent.

    *granted* None grants all.
    """
    if granted is None:
        return limits, width
    width = min(width, granted.get(CONCURRENCY, 0))
    result = []
    for window in limits:
        share = min(window.most, granted.get(name_of(window), 0))
        if share == window.most:
            result.append(window)
        elif share > 0:
            # The same span with fewer requests. A part of a second would hold in a longer window only.
            result.append(replace(window, seconds=window.span, limit=share, burst=min(window.burst, share)))
        else:
            return None
    return (result, width) if width > 0 else None
