"""The program's clock: the current time, a clock that never jumps, and times of day as text."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def steady_clock() -> Callable[[], datetime]:
    """Return a clock that starts at the current time and ignores later changes of the system clock."""
    start, began = utc_now(), time.monotonic()
    return lambda: start + timedelta(seconds=time.monotonic() - began)


def local_time(moment: datetime) -> str:
    """Format a time on this machine's clock: "02:13", with its date unless that is today."""
    local, today = moment.astimezone(), utc_now().astimezone().date()
    return f"{local:%H:%M}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"
