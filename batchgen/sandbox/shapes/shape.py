"""What a shape is: a name for one way in which an answer differs from the provider's documents."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

from ..values import Bill, Json, Link, Order, Package, Picture, Reply, Trace


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """What is known while an answer is written."""

    order: Order
    trace: Trace
    kind: str  #: the name of the fault or shape, empty where there is none
    amount: float  #: the number in ``KIND=NUMBER``, or the shape's default
    bill: Bill | None = None
    pictures: tuple[Picture, ...] = ()
    sources: tuple[str, ...] = ()  #: addresses and data URLs that the request named as source images


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Which parts of an answer differ; the parts that are None are as documented."""

    about: str
    endpoint: str = ""  #: ``images`` or ``chat`` where only such answers can have it
    amount: float = 0.0  #: where ``=NUMBER`` is left out
    refusal: Callable[[Draft], Package] | None = None  #: answered before any work, and not charged
    ordered: Callable[[Order], Order] | None = None  #: what is made in place of the order
    bill: Callable[[Bill, float], Bill] | None = None
    image: Callable[[bytes], tuple[bytes, str]] | None = None  #: returns the file and its MIME type
    letters: Callable[[str, str], str] | None = None  #: base64 and MIME type in, base64 as it is sent out
    link: Callable[[float], Link] | None = None  #: the picture comes by an address that behaves so
    reply: Callable[[Reply, Draft], Reply] | None = None
    text: Callable[[bytes], bytes] | None = None  #: the JSON as bytes
    body: Callable[[Package, Draft], Package] | None = None
    frame: Callable[[Package], bytes] | None = None  #: every byte that goes out, from the status line on

    @property
    def inline(self) -> bool:
        """Tell whether the picture has to stand in the answer itself."""
        return self.letters is not None


def base64_of(picture: Picture) -> str:
    """Return a picture in plain base64, however the provider sends it."""
    return base64.b64encode(picture.data).decode("ascii")


def data_url(picture: Picture) -> str:
    """Return a picture as a data URL, however the provider sends it."""
    return f"data:{picture.mime};base64,{base64_of(picture)}"


def changed(reply: Reply, payload: Json) -> Reply:
    """Return a reply with another payload."""
    return Reply(status=reply.status, payload=payload, headers=reply.headers)


def with_message(reply: Reply, message: Json, **choice: object) -> Reply:
    """Return a chat completion whose first message is another."""
    first = reply.payload["choices"][0]
    choices = [{**first, **choice, "message": {"role": "assistant", **message}}]
    return changed(reply, {**reply.payload, "choices": choices})
