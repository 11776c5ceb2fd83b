"""What answers to free questions tell of an account: balance, models, rate limits.  Values and their readers; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from .error_bodies import clean
from .jsonbody import Json
from .profile import BalanceCheck, Profile
from .retry_after import go_duration

_RATE_HEADER = re.compile(r"(?:x-)?ratelimit-(limit|remaining|reset)(?:-([a-z0-9_-]{1,40}))?")
_WHOLE = re.compile(r"\s*(\d{1,15})(?:\.\d+)?\s*(?:[,;].*)?")

#: Larger amounts, either way, are a provider's mistake.
_ABSURD = Decimal(10) ** 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """What is left, in *unit*.  None is not told; ``key`` is None too where the key has no limit of its own."""

    unit: str
    account: Decimal | None = None
    key: Decimal | None = None  #: what this key may still spend
    unlimited: bool = False  #: the key has no limit of its own
    used: Decimal | None = None  #: spent through this key so far

    @property
    def left(self) -> Decimal | None:
        """Return what can still be spent with this key, as far as it is known."""
        return min((amount for amount in (self.account, self.key) if amount is not None), default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """The models a provider lists."""

    ids: tuple[str, ...]
    names: frozenset[str]  #: the ids, and every other name that is taken

    def offers(self, profile: Profile) -> Mapping[str, bool]:
        """Return, for each model of *profile*, whether it is listed."""
        return {name: model.wire in self.names for name, model in profile.models.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """A rate limit as headers state it."""

    of: str  #: "requests", "tokens"
    limit: int | None = None
    remaining: int | None = None
    resets: float | None = None  #: seconds until it is whole again


def read_balance(document: Json, check: BalanceCheck) -> Balance | None:
    """Return the amounts that an answer holds where *check* says; None where it holds none of them."""
    # a limit that is null is none; one that is missing, or no number, is not told
    no_limit = _at(document, check.unlimited) is True if check.unlimited else _is_null(document, check.key_left)
    balance = Balance(
        unit=check.unit,
        account=_amount(_at(document, check.account)),
        key=None if no_limit else _amount(_at(document, check.key_left)),
        unlimited=no_limit,
        used=_amount(_at(document, check.used)),
    )
    return balance if balance.left is not None or balance.used is not None or no_limit else None


def read_catalogue(document: Json) -> Catalogue | None:
    """Return the models in an answer: a list, or OpenAI's {data: [...]}; None where it lists none."""
    models = document if isinstance(document, list) else _at(document, "data")
    ids, names = set(), set()
    for model in models if isinstance(models, list) else ():
        name = _at(model, "id")
        if isinstance(name, str) and name.strip():
            ids.add(clean(name, 200))
            names |= {name, *_texts(_at(model, "aliases"))}
    return Catalogue(ids=tuple(sorted(ids)), names=frozenset(names)) if ids else None


def read_limits(headers: Mapping[str, str]) -> tuple[Limit, ...]:
    """Return the rate limits that *headers* (names in lower case) state, by what they count."""
    found: dict[str, dict[str, str]] = {}
    for name, text in headers.items():
        match = _RATE_HEADER.fullmatch(name)
        if match:
            found.setdefault(match[2] or "requests", {})[match[1]] = text
    return tuple(_limits(found.items()))


def _limits(found: Iterable[tuple[str, Mapping[str, str]]]) -> Iterator[Limit]:
    for bucket, said in sorted(found, key=lambda pair: pair[0]):
        limit, remaining = _whole(said.get("limit")), _whole(said.get("remaining"))
        if limit is not None or remaining is not None:
            yield Limit(of=bucket, limit=limit, remaining=remaining, resets=_seconds(said.get("reset")))


def _whole(text: str | None) -> int | None:
    match = _WHOLE.fullmatch(text or "")
    return int(match[1]) if match else None


def _seconds(text: str | None) -> float | None:
    """Read a Go duration or seconds; a point in time (seconds or milliseconds since 1970) is left unsaid."""
    whole = _whole(text)
    if whole is not None:
        return float(whole) if whole < 10**9 else None
    return go_duration(text or "")


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, str))


def _at(document: Json, path: str | None) -> Json:
    """Return what stands at a dotted path; None where nothing does."""
    for step in path.split(".") if path else ():
        document = document.get(step) if isinstance(document, Mapping) else None
    return document if path else None


def _is_null(document: Json, path: str | None) -> bool:
    parent, _, last = (path or "").rpartition(".")
    holder = _at(document, parent) if parent else document
    return isinstance(holder, Mapping) and last in holder and holder[last] is None


def _amount(value: Json) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and abs(amount) <= _ABSURD else None
