"""Account data from free endpoints: balance and rate limits of a key, with their readers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from .jsonbody import Json, value_at
from .profile import BalanceCheck
from .retry_after import go_duration

_RATE_HEADER = re.compile(r"(?:x-)?ratelimit-(limit|remaining|reset)(?:-([a-z0-9_-]{1,40}))?")
_WHOLE_NUMBER = re.compile(r"\s*(\d{1,15})(?:\.\d+)?\s*(?:[,;].*)?")

#: Amounts beyond this, positive or negative, are a provider's mistake.
_MAX_AMOUNT = Decimal(10) ** 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """The balance of an account and a key, in *unit*. None is unknown; ``key`` is also None if it has no limit."""

    unit: str
    account: Decimal | None = None
    key: Decimal | None = None  #: what this key may still spend
    unlimited: bool = False  #: the key has no limit of its own
    used: Decimal | None = None  #: spent through this key so far

    @property
    def left(self) -> Decimal | None:
        """Return what can still be spent with this key, if it is known."""
        return min((amount for amount in (self.account, self.key) if amount is not None), default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """A rate limit as headers state it."""

    of: str  #: "requests", "tokens"
    limit: int | None = None
    remaining: int | None = None
    resets: float | None = None  #: seconds until it is whole again


def read_balance(document: Json, check: BalanceCheck) -> Balance | None:
    """Return the amounts at the paths that *check* names; None if the answer holds none of them."""
    # A limit of null means no limit; a missing one, or one that is not a number, is unknown.
    unlimited = value_at(document, check.unlimited) is True if check.unlimited else _is_null(document, check.key_left)
    balance = Balance(
        unit=check.unit,
        account=_amount(value_at(document, check.account)),
        key=None if unlimited else _amount(value_at(document, check.key_left)),
        unlimited=unlimited,
        used=_amount(value_at(document, check.used)),
    )
    return balance if balance.left is not None or balance.used is not None or unlimited else None


def read_limits(headers: Mapping[str, str]) -> tuple[Limit, ...]:
    """Return the rate limits in *headers* (names in lower case), sorted by what they count."""
    buckets: dict[str, dict[str, str]] = {}
    for name, text in headers.items():
        match = _RATE_HEADER.fullmatch(name)
        if match:
            buckets.setdefault(match[2] or "requests", {})[match[1]] = text
    limits = [
        Limit(
            of=bucket,
            limit=_whole_number(values.get("limit")),
            remaining=_whole_number(values.get("remaining")),
            resets=_seconds(values.get("reset")),
        )
        for bucket, values in sorted(buckets.items())
    ]
    return tuple(limit for limit in limits if limit.limit is not None or limit.remaining is not None)


def _whole_number(text: str | None) -> int | None:
    match = _WHOLE_NUMBER.fullmatch(text or "")
    return int(match[1]) if match else None


def _seconds(text: str | None) -> float | None:
    """Read a Go duration or seconds; None for a point in time (seconds or milliseconds since 1970)."""
    number = _whole_number(text)
    if number is not None:
        return float(number) if number < 10**9 else None
    return go_duration(text or "")


def _is_null(document: Json, path: str | None) -> bool:
    parent, _, last = (path or "").rpartition(".")
    holder = value_at(document, parent) if parent else document
    return isinstance(holder, Mapping) and last in holder and holder[last] is None


def _amount(value: Json) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and abs(amount) <= _MAX_AMOUNT else None
