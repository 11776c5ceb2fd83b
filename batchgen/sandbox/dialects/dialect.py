"""What the server needs to know to play one provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from ..values import Bill, Fetch, Form, Order, Picture, Refusal, Reply, Trace

Read = Callable[[Form, str, Fetch], Order]  #: body, kind of endpoint, source fetcher
Price = Callable[[Order, int], Bill]  #: order, images delivered
Answer = Callable[[Order, Bill, tuple[Picture, ...], Trace, str | None], Reply]  #: the last: words instead of images
Refuse = Callable[[Refusal, Trace, str], Reply]  #: the last: kind of endpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class Purse:
    """An account and the one key it has, in USD."""

    total: Decimal
    used: Decimal
    cap: Decimal | None = None  #: what the key may spend in all; None: as much as the account has

    @property
    def left(self) -> Decimal:
        """Return what the account has left; it is never in debt."""
        return max(Decimal(0), self.total - self.used)

    @property
    def key_left(self) -> Decimal | None:
        """Return what the key may still spend; None where it has no cap."""
        return None if self.cap is None else max(Decimal(0), self.cap - self.used)


Tell = Callable[[Purse, Trace], Reply]


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A free endpoint: what an account has left, which models there are."""

    tell: Tell
    keyed: bool = True  #: False: anybody may ask
    scoped: bool = False  #: a restricted key may not ask


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """A provider's endpoints and its ways to read, price, answer and refuse."""

    name: str
    routes: Mapping[str, str]  #: path under the provider's prefix -> kind of endpoint
    read: Read
    price: Price
    answer: Answer
    refuse: Refuse
    questions: Mapping[str, Question] = field(default_factory=dict)  #: path -> what may be asked for free
    free: frozenset[str] = frozenset()  #: faults after the work that this provider does not charge
    url_only: bool = False  #: answers never carry base64
    says_wait: bool = True  #: a limit comes with Retry-After
