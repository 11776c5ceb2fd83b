"""Values of the sandbox: requests, orders, bills and answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from PIL import Image

Json = dict[str, Any]
Fetch = Callable[[str], bytes]  #: the bytes behind a URL that a request names as a source image


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """One file of a multipart body."""

    name: str
    filename: str | None
    mime: str
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """The body of a request, parsed but not checked."""

    fields: Json
    files: tuple[Upload, ...] = ()
    multipart: bool = False
    path: Mapping[str, str] = field(default_factory=dict)  #: what the path names, such as the model
    query: Mapping[str, str] = field(default_factory=dict)  #: parameters of the address


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """A request that its provider would execute."""

    kind: str  #: ``generation``, ``edit`` or ``chat``
    model: str
    prompt: str  #: without directives
    width: int
    height: int
    n: int = 1
    quality: str = "medium"
    size: str = "1024x1024"  #: as requested
    output_format: str = "png"
    compression: int = 100
    transparent: bool = False
    as_url: bool = False
    sources: tuple[Image.Image, ...] = ()
    mask: Image.Image | None = None
    tier: str = "standard"  #: the tier of service
    states_tier: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One finished image, as bytes or as a result URL."""

    data: bytes
    mime: str
    url: str | None = None  #: set if the answer has a URL
    b64: str | None = None  #: set if the answer has base64


@dataclass(frozen=True, kw_only=True, slots=True)
class Bill:
    """The cost of one request, by the sandbox's own prices."""

    images: int
    usd: Decimal | None = None
    credits: Decimal | None = None
    usage: Json = field(default_factory=dict)


def waived(bill: Bill) -> Bill:
    """Return the bill of an answer without a charge: it states no output and no cost."""
    usage = {name: value for name, value in bill.usage.items() if not name.endswith("_details")}
    came = usage.get("prompt_tokens", usage.get("input_tokens", 0))
    nothing = {"completion_tokens": 0, "output_tokens": 0, "total_tokens": came, "cost": 0}
    nothing["generated_images"] = 0
    usage |= {name: value for name, value in nothing.items() if name in usage}
    zero = Decimal(0)
    return Bill(
        images=0, usd=None if bill.usd is None else zero, credits=None if bill.credits is None else zero, usage=usage
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """The state of a provider's limit when a request arrives, including that request."""

    limit: int
    window: float  #: seconds
    remaining: int
    wait: float = 0.0  #: seconds until another may pass; 0 if this one did

    @property
    def refill(self) -> float:
        """Return the seconds until the limit is whole again, if it refills evenly."""
        return (self.limit - self.remaining) * self.window / self.limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """The facts about a request that its answer and the log repeat."""

    serial: int
    now: float
    path: str
    request_id: str
    client_id: str | None = None
    retry_after: float | None = None
    quota: Quota | None = None  #: None if the provider has no limit
    key_tail: str = ""
    source: str = ""  #: address of the client

    @property
    def own_path(self) -> str:
        """Return the path without this server's prefix for the provider."""
        return "/" + self.path.lstrip("/").partition("/")[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """An answer before it is encoded."""

    status: int
    payload: Json
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """An answer as bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    mime: str = "application/json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """The behaviour of a result's address; by default it works."""

    first: int = 503  #: the status of the first answers
    times: int = 0  #: how many of them
    hops: int = 0  #: redirects before the file
    elsewhere: bool = False  #: a redirect to another host
    needs_key: bool = False  #: 401 without a key
    relative: bool = False  #: an address without scheme and host
    foreign: bool = False  #: an address on a host that is not the provider's
    untyped: bool = False  #: the file has the type application/octet-stream


class Refusal(Exception):
    """A request that its provider refuses; ``cause`` picks the status and text of each provider."""

    def __init__(
        self, cause: str, message: str | None = None, *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message or cause)
        self.cause = cause
        self.message = message
        self.code = code
        self.param = param


def invalid(message: str, code: str | None = None, param: str | None = None) -> Refusal:
    """Return the refusal of an invalid request; *param* is the field at fault."""
    return Refusal("invalid", message, code=code, param=param)
