"""How long a provider asks us to wait, in whichever of its five places it says so.  Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from math import isfinite

#: Longer waits (seconds) are a provider's mistake.
_LONGEST = 7 * 86_400

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_AGAIN = re.compile(
    r"(?:try again|retry) (?:in|after) (\d{1,9}(?:\.\d{1,9})?) ?(ms|milliseconds?|min|m|h|s)?", re.IGNORECASE
)
_GOOGLE = re.compile(r'"retryDelay"\s*:\s*"(\d{1,9}(?:\.\d{1,9})?)s"')
_GO = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:ms|h|m|s))+")
_GO_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_NUMBER = re.compile(r"\d{1,13}(?:\.\d{1,9})?")
_BUCKETS = ("requests", "tokens", "images")


def retry_after(headers: Mapping[str, str], words: str) -> float | None:
    """Return the seconds to wait: retry-after-ms, retry-after, the message, x-ratelimit-reset-*; None if unsaid."""
    for delay in (
        _scaled(headers.get("retry-after-ms"), 0.001),
        _header(headers),
        _message(words),
        _reset(headers),
    ):
        if delay is not None and isfinite(delay) and 0 <= delay <= _LONGEST:
            return delay
    return None


def go_duration(text: str) -> float | None:
    """Return the seconds of a Go duration such as 6m0s or 12ms; None for anything else."""
    if not _GO.fullmatch(text.strip()):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _GO_PART.findall(text))


def _scaled(text: str | None, factor: float) -> float | None:
    return float(text) * factor if text and _NUMBER.fullmatch(text := text.strip()) else None


def _header(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after")
    seconds = _scaled(text, 1.0)
    if seconds is not None or not text:
        return seconds
    # A date counts from the provider's own clock, so a wrong clock on either side does no harm.
    then, now = _date(text), _date(headers.get("date", ""))
    return None if then is None or now is None else max(0.0, (then - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else None


def _message(words: str) -> float | None:
    match = _AGAIN.search(words)
    if match:
        unit = (match[2] or "s").lower()
        unit = {"min": "m"}.get(unit, "ms" if unit.startswith("milli") else unit)
        return float(match[1]) * _UNITS[unit]
    match = _GOOGLE.search(words)
    return float(match[1]) if match else None


def _reset(headers: Mapping[str, str]) -> float | None:
    """Return the longest reset of the buckets that are empty (of all, where none says so)."""
    spent, every = [], []
    for bucket in _BUCKETS:
        delay = go_duration(headers.get(f"x-ratelimit-reset-{bucket}", ""))
        if delay is not None:
            every.append(delay)
            if headers.get(f"x-ratelimit-remaining-{bucket}", "").strip() == "0":
                spent.append(delay)
    if every:
        return max(spent or every)
    return _epoch(headers)


def _epoch(headers: Mapping[str, str]) -> float | None:
    """Read x-ratelimit-reset: seconds, or (OpenRouter) milliseconds since 1970."""
    number = _scaled(headers.get("x-ratelimit-reset"), 1.0)
    if number is None or number < 1e9:
        return number
    now = _date(headers.get("date", ""))
    return None if now is None else max(0.0, number / (1000 if number > 1e11 else 1) - now.timestamp())
