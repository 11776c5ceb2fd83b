"""Shape: a named way in which an answer differs from the provider's documents."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

from ..values import Bill, Json, Link, Order, Package, Picture, Reply, Trace


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """The facts from which an answer is composed."""

    order: Order
    trace: Trace
    kind: str  #: the name of the fault or shape, or empty
    amount: float  #: the number in ``KIND=NUMBER``, or the shape's default
    bill: Bill | None = None
    pictures: tuple[Picture, ...] = ()
    sources: tuple[str, ...] = ()  #: addresses and data URLs that the request named as source images

    @property
    def usage(self) -> Json:
        """The usage that the bill states."""
        return self.bill.usage if self.bill else {}


@dataclass(frozen=True, slots=True)
class Shape:
    """The parts of an answer that differ; parts that are None are as documented."""

    about: str
    _: KW_ONLY
    endpoint: str = ""  #: ``images`` or ``chat``, if only such answers can have it
    amount: float = 0.0  #: the default of ``=NUMBER``
    refusal: Callable[[Draft], Package] | None = None  #: answered before any work, and not charged
    ordered: Callable[[Order], Order] | None = None  #: the order that is executed instead
    bill: Callable[[Bill, float], Bill] | None = None
    image: Callable[[bytes], tuple[bytes, str]] | None = None  #: returns the file and its MIME type
    base64_text: Callable[[str, str], str] | None = None  #: from base64 and MIME type to the text that is sent
    link: Callable[[float], Link] | None = None  #: the picture is at an address with this behaviour
    reply: Callable[[Reply, Draft], Reply] | None = None
    text: Callable[[bytes], bytes] | None = None  #: the JSON as bytes
    body: Callable[[Package, Draft], Package] | None = None
    frame: Callable[[Package], bytes] | None = None  #: all bytes of the answer, from the status line on

    @property
    def inline(self) -> bool:
        """Whether the picture must be in the answer itself."""
        return self.base64_text is not None


def base64_of(picture: Picture) -> str:
    """Return a picture in plain base64, however the provider sends it."""
    return base64.b64encode(picture.data).decode("ascii")


def data_url(picture: Picture) -> str:
    """Return a picture as a data URL, however the provider sends it."""
    return f"data:{picture.mime};base64,{base64_of(picture)}"


def changed(reply: Reply, payload: Json) -> Reply:
    """Return the reply with another payload."""
    return Reply(status=reply.status, payload=payload, headers=reply.headers)


def with_message(reply: Reply, message: Json, **choice: object) -> Reply:
    """Return the chat completion with another first message."""
    first = reply.payload["choices"][0]
    choices = [{**first, **choice, "message": {"role": "assistant", **message}}]
    return changed(reply, {**reply.payload, "choices": choices})
