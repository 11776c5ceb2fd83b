"""The program's clock: the current time, a clock that never jumps, and times of day as text."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

#: Runs on in suspend: CLOCK_BOOTTIME on Linux, CLOCK_MONOTONIC on macOS.
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def elapsed_seconds() -> float:
    """Return the seconds since this machine started, those of a suspend included; ignores changes of its clock.

    ``time.monotonic`` stands still while the machine sleeps: after a night in suspend, retries would come a night late
    and bookings would carry the date of the day before.
    """
    return time.clock_gettime(_BOOT_CLOCK)


def steady_clock(start: datetime | None = None) -> Callable[[], datetime]:
    """Return a clock that starts at *start*, or the current time, and ignores later changes of the system clock."""
    start, began = start or utc_now(), elapsed_seconds()
    return lambda: start + timedelta(seconds=elapsed_seconds() - began)


def local_time(moment: datetime) -> str:
    """Format a time on this machine's clock: "02:13", with its date unless that is today."""
    local, today = moment.astimezone(), utc_now().astimezone().date()
    return f"{local:%H:%M}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"
