"""Dialect: everything that the server knows about one provider."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from ..keys import KeyHeader
from ..values import Bill, Fetch, Form, Order, Picture, Refusal, Reply, Trace

Read = Callable[[Form, str, Fetch], Order]  #: body, kind of endpoint, source fetcher
Price = Callable[[Order, int], Bill]  #: order, images delivered
Answer = Callable[
    [Order, Bill, tuple[Picture, ...], Trace, str | None], Reply
]  #: the last: a remark in place of images
Refuse = Callable[[Refusal, Trace, str], Reply]  #: the last: kind of endpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """An account and its key, in USD."""

    total: Decimal
    used: Decimal
    cap: Decimal | None = None  #: the most that the key may spend; None: as much as the account has

    @property
    def left(self) -> Decimal:
        """Return the balance of the account, which is never negative."""
        return max(Decimal(0), self.total - self.used)

    @property
    def key_left(self) -> Decimal | None:
        """Return how much the key may still spend; None if it has no cap."""
        return None if self.cap is None else max(Decimal(0), self.cap - self.used)


AccountAnswer = Callable[[Account, Trace], Reply]


@dataclass(frozen=True, kw_only=True, slots=True)
class FreeEndpoint:
    """An endpoint without a charge: a balance, or a list of models."""

    answer: AccountAnswer
    needs_key: bool = True  #: False: no key is needed
    needs_scope: bool = False  #: a restricted key is refused


class Supplier(Protocol):
    """The part of a dialect that the pictures of its answers depend on."""

    @property
    def name(self) -> str:
        """The name of the provider."""

    @property
    def url_only(self) -> bool:
        """Whether answers never carry base64."""

    @property
    def lifetime(self) -> float:
        """The seconds for which the address of a picture works."""


#: Where pictures have a price, a refusal has none: there is no picture.
PAID_BY_PICTURE = frozenset({"refused-usage"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """A provider's endpoints, and how it reads, prices, answers and refuses requests."""

    name: str
    routes: Mapping[str, str]  #: kinds of paid endpoints by path, below the provider's prefix
    read: Read
    price: Price
    answer: Answer
    refuse: Refuse
    free_endpoints: Mapping[str, FreeEndpoint] = field(default_factory=dict)  #: by path
    uncharged: frozenset[str] = frozenset()  #: faults after the work that this provider does not charge
    url_only: bool = False  #: answers never carry base64
    lifetime: float = math.inf  #: seconds for which the address of a picture works
    states_wait: bool = True  #: a refusal by a limit has Retry-After
    key_header: KeyHeader = field(default_factory=KeyHeader)
