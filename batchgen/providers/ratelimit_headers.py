"""What the headers of an answer say of a provider's limits.  Pure.

Sources: OpenAI's rate limit guide (x-ratelimit-limit-requests: 5000, -remaining-requests: 4999, -reset-requests: 12ms),
OpenRouter's limits page (X-RateLimit-Limit, -Remaining, -Reset in milliseconds since 1970), the drafts 00 to 10 of
draft-ietf-httpapi-ratelimit-headers (RateLimit-Limit: 100, 100;w=60; RateLimit-Policy: "a";q=100;w=60 beside
RateLimit: "a";r=50;t=30), Envoy (x-ratelimit-limit: 10, 10;w=1) and Kong (x-ratelimit-limit-minute).

Limits on tokens are no limits on images and are left out, and so is whatever cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from math import inf
from typing import Literal

from ..fault import RateLimitInfo
from .retry_after import MAX_WAIT, seconds_until

Unit = Literal["requests", "images"]

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
#: What stands behind "x-ratelimit-limit": the unit, and the window where the name says it.
_BUCKETS: Mapping[str, tuple[Unit, float | None]] = {
    "": ("requests", None),
    "-requests": ("requests", None),
    "-images": ("images", None),
    "-second": ("requests", 1.0),
    "-minute": ("requests", _MINUTE),
    "-hour": ("requests", _HOUR),
    "-day": ("requests", _DAY),
}
_PREFIXES = ("x-ratelimit-", "ratelimit-")
_ITEM = re.compile(r'(?:"[^"]*"|[^,"])+')
_PARAMETER = re.compile(r';\s*([a-z]{1,20})\s*=\s*("[^"]*"|[^;,"]*)', re.IGNORECASE)
_LENGTH, _ITEMS = 2000, 20  #: more than any provider sends
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")

Item = tuple[str, Mapping[str, str]]


def read_rate_limit(headers: Mapping[str, str]) -> RateLimitInfo | None:
    """Return the tightest limit that *headers* (names in lower case) state; None where they state none."""
    return min(_hints(headers), key=_slowness, default=None)


def exhausted_limit(headers: Mapping[str, str]) -> RateLimitInfo | None:
    """Return the limit that a refusal is about: one of which nothing is left, or else the tightest."""
    return min(_hints(headers), key=lambda hint: (not hint.spent, *_slowness(hint)), default=None)


def count(text: str | None, least: float = 0.0) -> float | None:
    """Return a plain number of at least *least*, and not absurdly large; None for anything else."""
    found = _NUMBER.fullmatch(text.strip()) if text else None
    number = float(found[0]) if found else -1.0
    return number if number >= least else None


def _slowness(hint: RateLimitInfo) -> tuple[bool, float, bool]:
    """Order limits: first those that say how fast to go, the slowest before the others."""
    known = hint.limit is not None and hint.window_seconds is not None
    rate = (hint.limit or 0.0) / hint.window_seconds if known and hint.window_seconds else inf
    return not (known and (hint.window_seconds or inf) <= _HOUR), rate, hint.remaining is None


def _hints(headers: Mapping[str, str]) -> Iterator[RateLimitInfo]:
    policies = list(_policies(headers))
    yield from policies
    windows = {hint.limit: hint.window_seconds for hint in policies if not hint.concurrent}
    for prefix in _PREFIXES:
        for suffix, (unit, named) in _BUCKETS.items():
            hint = _bucket(headers, prefix, suffix, unit)
            if hint.limit is not None or hint.remaining is not None:
                window = named or windows.get(hint.limit) or (_refill(hint) if suffix else None)
                yield replace(hint, window_seconds=window)
    older = dict(_pairs(headers.get("ratelimit", "")))  # RateLimit: limit=100, remaining=50, reset=30
    limit, remaining = count(older.get("limit"), 1), count(older.get("remaining"))
    if limit is not None or remaining is not None:
        reset = _reset(older.get("reset"), headers)
        yield RateLimitInfo(limit=limit, remaining=remaining, reset_seconds=reset, window_seconds=windows.get(limit))


def _bucket(headers: Mapping[str, str], prefix: str, suffix: str, unit: Unit) -> RateLimitInfo:
    limit, remaining, reset = (headers.get(f"{prefix}{name}{suffix}") for name in ("limit", "remaining", "reset"))
    first = next(_items(limit or ""), ("", {}))[0]
    return RateLimitInfo(
        limit=count(first, 1), remaining=count(remaining), reset_seconds=_reset(reset, headers), unit=unit
    )


def _policies(headers: Mapping[str, str]) -> Iterator[RateLimitInfo]:
    """Yield the limits that come with their windows, each with what is left of it where that is said by its name."""
    left = {name: given for name, given in _items(headers.get("ratelimit", "")) if "r" in given}
    known = set()
    for header in ("ratelimit-policy", "ratelimit-limit", "x-ratelimit-limit"):
        for name, given in _items(headers.get(header, "")):
            quota, window = count(given.get("q", name), 1), count(given.get("w"), 0.001)
            unit = given.get("qu", "requests")
            concurrent = unit == "concurrent-requests"
            if quota is None or (window is None and not concurrent):
                continue
            if concurrent or unit in ("requests", "images"):
                now = left.get(name, {})
                known.add(name)
                yield RateLimitInfo(
                    limit=quota,
                    remaining=count(now.get("r")),
                    reset_seconds=_reset(now.get("t"), headers),
                    window_seconds=None if concurrent else window,
                    unit="images" if unit == "images" else "requests",
                    concurrent=concurrent,
                )
    if len(left) == 1 and not known:  # of several, nobody says which are of requests
        ((_, now),) = left.items()
        yield RateLimitInfo(remaining=count(now.get("r")), reset_seconds=_reset(now.get("t"), headers))


def _refill(hint: RateLimitInfo) -> float | None:
    """Return the window of a limit of OpenAI's kind, from how long it takes to be whole again; None if not clear.

    Such a limit refills evenly: 5000 with 4999 left and a reset of 12 ms is one of a minute, 200 with 199 left and
    7m12s is one of a day.  The last request may be filled up in part.
    """
    if hint.limit is None or hint.remaining is None or hint.reset_seconds is None:
        return None
    used = hint.limit - hint.remaining
    for window in (_MINUTE, _DAY):
        one = window / hint.limit
        # headers are rounded to the millisecond
        if used > 0 and one * max(used - 1, 0.5) - 0.001 <= hint.reset_seconds <= 1.01 * one * used + 0.001:
            return window
    return None


def _reset(text: str | None, headers: Mapping[str, str]) -> float | None:
    seconds = seconds_until(text, headers) if text else None
    return seconds if seconds is not None and seconds <= MAX_WAIT else None


def _items(text: str) -> Iterator[Item]:
    """Yield the items of a list with their parameters: "a";q=100;w=60, or 100;w=60."""
    for found in islice(_ITEM.finditer(text[:_LENGTH]), _ITEMS):
        name, *_ = found[0].split(";", 1)
        given = {key.lower(): value.strip().strip('"') for key, value in _PARAMETER.findall(found[0])}
        yield name.strip().strip('"'), given


def _pairs(text: str) -> Iterable[tuple[str, str]]:
    for name, _ in _items(text):
        key, _, value = name.partition("=")
        yield key.strip().lower(), value.strip()
