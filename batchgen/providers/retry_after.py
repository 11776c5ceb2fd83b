"""Retry-After: how long a provider asks to wait, in any of the places and forms in which it may state that.

Sources: RFC 9110 (retry-after: seconds or a date), Azure's retry-after-ms, OpenAI's error guide ("Please try again in
6m0s") and rate limit guide (x-ratelimit-reset-* as Go durations), Google's RetryInfo, OpenRouter's X-RateLimit-Reset.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from math import isfinite

#: Longer waits (seconds) are treated as a provider's mistake.
MAX_WAIT = 7 * 86_400

#: A unit of time in any usual spelling; the next character must not be a letter.
UNIT = r"(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)"

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_COUNT = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_PART = re.compile(rf"({_COUNT}) ?({UNIT})(?![a-z])", re.IGNORECASE)
_SPAN = rf"(?:{_COUNT} ?{UNIT}(?![a-z])[ ,]{{0,2}}(?:and )?)+"
_WHOLE_SPAN = re.compile(_SPAN, re.IGNORECASE)
_AGAIN = re.compile(
    r"(?:try again|retry(?:ing)?|wait|available)(?: again)?(?: (?:in|after|for|about|another|at least)){0,3}:? "
    rf"({_SPAN}|{_COUNT}(?![\w:/-]))",
    re.IGNORECASE,
)
_GOOGLE = re.compile(rf'"retry_?delay"\s*:\s*(?:"({_COUNT})s"|\{{\s*"seconds"\s*:\s*"?({_COUNT}))', re.IGNORECASE)
_GO = re.compile(rf"(?:{_COUNT}(?:ms|h|m|s))+")
_NUMBER = re.compile(r"[0-9]{1,13}(?:\.[0-9]{1,9})?")
_BUCKETS = ("requests", "tokens", "images")
#: Greater numbers are points in time: seconds since 1970, and above the second bound milliseconds.
_SECONDS_SINCE_1970, _MILLISECONDS_SINCE_1970 = 1e9, 1e11


def retry_after(headers: Mapping[str, str], words: str) -> float | None:
    """Return the seconds to wait, by retry-after-ms, retry-after, the message or x-ratelimit-reset-*; None if unstated.

    A wait of 0 is ignored: the next call would go out at once, and the one after it.
    """
    for delay in (
        _scaled(headers.get("retry-after-ms") or headers.get("x-ms-retry-after-ms"), 0.001),
        _header(headers),
        _message(words),
        _reset(headers),
    ):
        if delay is not None and isfinite(delay) and 0 < delay <= MAX_WAIT:
            return delay
    return None


def go_duration(text: str) -> float | None:
    """Return the seconds of a Go duration such as 6m0s or 12ms; None for anything else."""
    return _seconds(text) if _GO.fullmatch(text.strip()) else None


def unit_seconds(unit: str) -> float:
    """Return the seconds of one unit of time, in a spelling of ``UNIT``."""
    unit = unit.lower()
    return _UNITS["ms" if unit.startswith(("ms", "milli")) else unit[0]]


def seconds_until(text: str, headers: Mapping[str, str]) -> float | None:
    """Return the seconds until the point in time in a header value; None if it cannot be read.

    The value may be seconds, a duration (1m30s, 30 seconds), a date, or seconds or milliseconds since 1970. A point in
    time is compared with the provider's own clock, the date header, so a wrong clock on either side does no harm.
    """
    number = _scaled(text, 1.0)
    if number is not None and number < _SECONDS_SINCE_1970:
        return number
    if number is None and _WHOLE_SPAN.fullmatch(text.strip()):
        return _seconds(text)
    then = timestamp_of(text) if number is None else number / (1000 if number > _MILLISECONDS_SINCE_1970 else 1)
    now = timestamp_of(headers.get("date", ""))
    return None if then is None or now is None else max(0.0, then - now)


def _scaled(text: str | None, factor: float) -> float | None:
    return float(text) * factor if text and _NUMBER.fullmatch(text := text.strip()) else None


def _seconds(text: str) -> float:
    return sum(float(number) * unit_seconds(unit) for number, unit in _PART.findall(text))


def _header(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after", "")
    # Several servers on the way may each have set one.
    parts = [_scaled(part, 1.0) for part in text[:200].split(",")]
    numbers = [number for number in parts if number is not None]
    return max(numbers) if 1 < len(numbers) == len(parts) else seconds_until(text, headers)


def timestamp_of(text: str) -> float | None:
    """Return the seconds since 1970 of a date in the format of HTTP or ISO 8601."""
    text = text.strip()[:100]
    try:
        date = datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
        return date.timestamp() if date.tzinfo else None
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _message(words: str) -> float | None:
    match = _AGAIN.search(words)
    if match:
        return _seconds(match[1]) if match[1][-1] not in "0123456789" else float(match[1])
    match = _GOOGLE.search(words)
    return float(match[1] or match[2]) if match else None


def _reset(headers: Mapping[str, str]) -> float | None:
    """Return the longest reset of the exhausted buckets, or of all buckets if none is exhausted."""
    exhausted, delays = [], []
    for bucket in _BUCKETS:
        delay = seconds_until(headers.get(f"x-ratelimit-reset-{bucket}", ""), headers)
        if delay is not None:
            delays.append(delay)
            if headers.get(f"x-ratelimit-remaining-{bucket}", "").strip() == "0":
                exhausted.append(delay)
    if delays:
        return max(exhausted or delays)
    return seconds_until(headers.get("x-ratelimit-reset", ""), headers)
