"""Rate limits stated in the headers of an answer.

Sources: OpenAI's rate limit guide (x-ratelimit-limit-requests: 5000, -remaining-requests: 4999, -reset-requests: 12ms),
OpenRouter's limits page (X-RateLimit-Limit, -Remaining, -Reset in milliseconds since 1970), the drafts 00 to 10 of
draft-ietf-httpapi-ratelimit-headers (RateLimit-Limit: 100, 100;w=60; RateLimit-Policy: "a";q=100;w=60 beside
RateLimit: "a";r=50;t=30), Envoy (x-ratelimit-limit: 10, 10;w=1) and Kong (x-ratelimit-limit-minute).

Limits on tokens do not limit images and are ignored, and so is anything that cannot be read.
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
#: Suffix of "x-ratelimit-limit" -> the unit, and the window if the name states it.
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
_MAX_LENGTH, _MAX_ITEMS = 2000, 20  #: more than any provider sends
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")

Item = tuple[str, Mapping[str, str]]


def read_rate_limit(headers: Mapping[str, str]) -> RateLimitInfo | None:
    """Return the tightest limit in *headers* (names in lower case); None if they state none."""
    return min(_limits(headers), key=_slowness, default=None)


def exhausted_limit(headers: Mapping[str, str]) -> RateLimitInfo | None:
    """Return the limit that a refusal is about: the tightest of the exhausted ones, or else of all."""
    return min(_limits(headers), key=lambda limit: (not limit.spent, *_slowness(limit)), default=None)


def count(text: str | None, least: float = 0.0) -> float | None:
    """Return a plain number of at least *least* that is not absurdly large; None for anything else."""
    match = _NUMBER.fullmatch(text.strip()) if text else None
    number = float(match[0]) if match else -1.0
    return number if number >= least else None


def _slowness(limit: RateLimitInfo) -> tuple[bool, float, bool]:
    """Sort key of limits: those that state a rate come first, the slowest of them before the others."""
    rate = limit.limit / limit.window_seconds if limit.limit is not None and limit.window_seconds else inf
    states_rate = rate < inf and (limit.window_seconds or inf) <= _HOUR
    return not states_rate, rate, limit.remaining is None


def _limits(headers: Mapping[str, str]) -> Iterator[RateLimitInfo]:
    if not any("ratelimit" in name for name in headers):
        return
    policies = list(_policies(headers))
    yield from policies
    windows = {policy.limit: policy.window_seconds for policy in policies if not policy.concurrent}
    for prefix in _PREFIXES:
        for suffix, (unit, named_window) in _BUCKETS.items():
            bucket = _bucket(headers, prefix, suffix, unit)
            if bucket.limit is not None or bucket.remaining is not None:
                window = named_window or windows.get(bucket.limit) or (_refill_window(bucket) if suffix else None)
                yield replace(bucket, window_seconds=window)
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
    """Yield the limits that come with their windows, each with what remains of it if its name is stated there."""
    states = {name: fields for name, fields in _items(headers.get("ratelimit", "")) if "r" in fields}
    has_policy = False
    for header in ("ratelimit-policy", "ratelimit-limit", "x-ratelimit-limit"):
        for name, fields in _items(headers.get(header, "")):
            quota, window = count(fields.get("q", name), 1), count(fields.get("w"), 0.001)
            unit = fields.get("qu", "requests")
            concurrent = unit == "concurrent-requests"
            if quota is None or (window is None and not concurrent):
                continue
            if concurrent or unit in ("requests", "images"):
                state = states.get(name, {})
                has_policy = True
                yield RateLimitInfo(
                    limit=quota,
                    remaining=count(state.get("r")),
                    reset_seconds=_reset(state.get("t"), headers),
                    window_seconds=None if concurrent else window,
                    unit="images" if unit == "images" else "requests",
                    concurrent=concurrent,
                )
    if len(states) == 1 and not has_policy:  # of several, it is unknown which count requests
        (state,) = states.values()
        yield RateLimitInfo(remaining=count(state.get("r")), reset_seconds=_reset(state.get("t"), headers))


def _refill_window(limit: RateLimitInfo) -> float | None:
    """Return the window of a limit like OpenAI's, from the time it takes to refill; None if it is ambiguous.

    Such a limit refills evenly: 5000 with 4999 left and a reset of 12 ms is one of a minute, 200 with 199 left and
    7m12s is one of a day. The last request may have been refilled in part.
    """
    if limit.limit is None or limit.remaining is None or limit.reset_seconds is None:
        return None
    used = limit.limit - limit.remaining
    for window in (_MINUTE, _DAY):
        step = window / limit.limit
        # Headers are rounded to the millisecond.
        if used > 0 and step * max(used - 1, 0.5) - 0.001 <= limit.reset_seconds <= 1.01 * step * used + 0.001:
            return window
    return None


def _reset(text: str | None, headers: Mapping[str, str]) -> float | None:
    seconds = seconds_until(text, headers) if text else None
    return seconds if seconds is not None and seconds <= MAX_WAIT else None


def _items(text: str) -> Iterator[Item]:
    """Yield the items of a list with their parameters: "a";q=100;w=60, or 100;w=60."""
    for item in islice(_ITEM.finditer(text[:_MAX_LENGTH]), _MAX_ITEMS):
        name, *_ = item[0].split(";", 1)
        parameters = {key.lower(): value.strip().strip('"') for key, value in _PARAMETER.findall(item[0])}
        yield name.strip().strip('"'), parameters


def _pairs(text: str) -> Iterable[tuple[str, str]]:
    for name, _ in _items(text):
        key, _, value = name.partition("=")
        yield key.strip().lower(), value.strip()
