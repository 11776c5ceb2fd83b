"""JSON that strict parsers refuse although its meaning is clear, and errors next to a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..values import Json, Order, Reply
from .shape import Draft, Shape, changed

_CODED = {"message": "1 of 2 images were filtered", "type": "image_generation_user_error", "code": "moderation_blocked"}


def _last(field: str) -> Callable[[bytes], bytes]:
    """Return a function that adds a field, as it is, at the end of an object."""
    return lambda body: body[:-1] + b", " + field.encode() + b"}"


def _broken_utf8(body: bytes) -> bytes:
    return body[:-1] + b', "caption": "caf\xc3", "alt": "\xff\xfe"}'


def _error(value: object) -> Callable[[Reply, Draft], Reply]:
    """Return a function that adds an ``error`` next to the pictures."""
    return lambda reply, _: changed(reply, {**reply.payload, "error": value})


def _one_fewer(order: Order) -> Order:
    return replace(order, n=max(1, order.n - 1))


def _items_null(reply: Reply, _: Draft) -> Reply:
    """Add an entry without a picture after the good ones."""
    payload: Json = dict(reply.payload)
    filtered = {"b64_json": None, "url": None, "finish_reason": "CONTENT_FILTERED"}
    data = payload["data"]
    payload["data"] = {**data, "images": [*data["images"], filtered]} if isinstance(data, dict) else [*data, filtered]
    return changed(reply, payload)


JSON_TEXT = {
    "repeated-key": Shape("a key repeated at the end", text=_last('"created": 2')),
    "repeated-data": Shape(
        "the list of images twice, the first one empty",
        endpoint="images",
        text=lambda body: b'{"data": [], ' + body[1:],
    ),
    "not-a-number": Shape(
        "NaN and Infinity in unimportant fields", text=_last('"latency": NaN, "score": Infinity, "low": -Infinity')
    ),
    "control-character": Shape("a raw line feed and tab inside a text", text=_last('"caption": "one\n\ttwo\x01"')),
    "broken-utf8": Shape("invalid UTF-8 inside a text", text=_broken_utf8),
    "lone-surrogate": Shape("half of a surrogate pair inside a text", text=_last(r'"caption": "\ud83d"')),
    "huge-exponent": Shape(
        "1e99999999999999999999 in a field", text=_last('"x": 1e99999999999999999999, "y": -1E-99999999999999999999')
    ),
    "long-number": Shape("a number of 5000 digits in a field", text=_last('"seed": ' + "7" * 5000)),
    "text-before": Shape("a line of text before the JSON", text=lambda body: b"data follows:\n" + body),
    "text-after": Shape("a line of text after the JSON", text=lambda body: body + b"\n<!-- served by gw-7 -->\n"),
    "byte-order-mark": Shape("a byte order mark before the JSON", text=lambda body: b"\xef\xbb\xbf" + body),
    "blank-lines": Shape("blank lines before and after", text=lambda body: b"\n" * 20 + body + b"\r\n\r\n"),
    "deep-lists": Shape("deeply nested lists in an unimportant field", text=_last('"trace": ' + "[" * 400 + "]" * 400)),
}
ERRORS_BESIDE = {
    "error-null": Shape("error: null next to the picture", reply=_error(None)),
    "error-null-fields": Shape(
        "an error whose fields are all null", reply=_error({"message": None, "type": None, "code": None})
    ),
    "error-empty": Shape("an error whose fields are all empty", reply=_error({"message": "", "type": "", "code": ""})),
    "error-empty-text": Shape('error: "" next to the picture', reply=_error("")),
    "error-list": Shape("a list of notes as error", reply=_error(["upscaled by the provider"])),
    "error-beside": Shape("a real error next to a good picture", reply=_error(_CODED)),
    "error-beside-less": Shape(
        "a real error next to one picture fewer than requested", ordered=_one_fewer, reply=_error(_CODED)
    ),
    "item-filtered": Shape(
        "an entry without a picture after the good ones", endpoint="images", ordered=_one_fewer, reply=_items_null
    ),
}
