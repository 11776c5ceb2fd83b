"""What the server needs to know to play one provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..wire import Bill, Fetch, Form, Order, Picture, Refusal, Reply, Trace

Read = Callable[[Form, str, Fetch], Order]  #: body, kind of endpoint, source fetcher
Price = Callable[[Order, int], Bill]  #: order, images delivered
Answer = Callable[[Order, Bill, tuple[Picture, ...], Trace, str | None], Reply]  #: the last: words instead of images
Refuse = Callable[[Refusal, Trace, str], Reply]  #: the last: kind of endpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """A provider's endpoints and its ways to read, price, answer and refuse."""

    name: str
    routes: Mapping[str, str]  #: path under the provider's prefix -> kind of endpoint
    read: Read
    price: Price
    answer: Answer
    refuse: Refuse
    free: frozenset[str] = frozenset()  #: faults after the work that this provider does not charge
    url_only: bool = False  #: answers never carry base64
    says_wait: bool = True  #: a limit comes with Retry-After
