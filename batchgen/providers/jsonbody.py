"""The JSON of an answer, read as it comes.  Pure.

orjson reads what is correct.  Only what it refuses is read a second time, leniently: a paid answer is not thrown away
because of NaN, a raw control character, broken UTF-8 in a text field, a number too large for a double, or text around
the document.  Where a key is given twice the last one wins.  What is nested too deeply to mean anything is left out, so
that whatever walks over a document may follow it to its end.
"""

from __future__ import annotations

import codecs
import json
from contextlib import suppress
from decimal import Decimal
from math import isfinite
from typing import Any, TypeAlias

import orjson

#: A parsed JSON value.
Json: TypeAlias = Any

#: Places at which the document may begin, where other text stands before it.
_STARTS_MAX = 64
#: Characters that are read again from another start: so many times the text, and so many more.
_AGAIN, _AGAIN_MORE = 8, 64 * 1024 * 1024
#: Levels of nesting that are kept.
_LEVELS = 100
#: Longest number that is read (characters).
_DIGITS_MAX = 40
#: Longest text before a document (characters).
_PREFACE_MAX = 64 * 1024

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: How a document begins in an encoding that no mark announces.
_UNMARKED = ((b"{\0", "utf-16-le"), (b"[\0", "utf-16-le"), (b"\0{", "utf-16-be"), (b"\0[", "utf-16-be"))


class Unreadable(ValueError):
    """The bytes hold no whole JSON document; ``part`` is the longest value that could be read within one cut off."""

    def __init__(self, message: str, part: Json = None) -> None:
        super().__init__(message)
        self.part = part


def read(body: bytes) -> Json:
    """Return the document in *body*; raise Unreadable."""
    document = _read(body)
    if isinstance(document, str) and document.lstrip()[:1] in ("{", "["):
        with suppress(Unreadable):  # encoded twice
            return _read(document.encode("utf-8", "replace"))
    return document


def _read(body: bytes) -> Json:
    try:
        return _exact(orjson.loads(body))
    except orjson.JSONDecodeError:
        return _exact(_lenient(_text(body)))


def _exact(value: Json, levels: int = _LEVELS) -> Json:
    """Return *value* with decimals for doubles, and null for what lies deeper than so many *levels*.

    A decimal keeps the figures of a price as they were written.
    """
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {key: _exact(part, levels - 1) for key, part in value.items()} if levels else None
    if isinstance(value, list):
        return [_exact(part, levels - 1) for part in value] if levels else None
    return value


def _text(body: bytes) -> str:
    for mark, encoding in (*_BOMS, *_UNMARKED):
        if body.startswith(mark):
            return body.decode(encoding, "replace").lstrip("\ufeff")
    return body.decode("utf-8", "replace")


def _lenient(text: str) -> Json:
    """Return the longest document in *text*; raise Unreadable where there is none, or it is cut off."""
    text = text.strip("\ufeff\0 \t\r\n")
    if not text:
        raise Unreadable("there is nothing in it")
    trouble, cut_off = "no object and no list", False
    best: tuple[int, Json] | None = None
    start, tries, left = _next_start(text, 0), 0, _AGAIN * len(text) + _AGAIN_MORE
    while start >= 0 and tries < _STARTS_MAX and left > 0 and start <= _PREFACE_MAX + (best[0] if best else 0):
        tries += 1
        try:
            document, end = _DECODER.raw_decode(text, start)
        except RecursionError:
            raise Unreadable("it is nested too deeply") from None
        except json.JSONDecodeError as error:
            at_end = error.pos >= len(text) or error.msg.startswith("Unterminated")
            if tries == 1:
                trouble, cut_off = error.msg, at_end
            left -= (len(text) if at_end else error.pos) - start
            start = _next_start(text, start + 1)
            continue
        if best is None or end - start > best[0]:
            best = end - start, document
        start = _next_start(text, end)
    if best is None or cut_off:
        raise Unreadable(f"it is not JSON: {trouble}", _exact(best[1]) if best else None)
    return best[1]


def _next_start(text: str, position: int) -> int:
    """Return where the next object or list may begin; -1 where none does."""
    starts = [found for mark in "{[" if (found := text.find(mark, position)) >= 0]
    return min(starts, default=-1)


def _integer(text: str) -> int | None:
    return int(text) if len(text) <= _DIGITS_MAX else None


def _decimal(text: str) -> Decimal | None:
    number = float(text)
    if len(text) > _DIGITS_MAX or not isfinite(number):
        return None
    return Decimal(text) if number else Decimal(0)  # an exponent may be too long for a Decimal


#: What is no number, or none of this world, says nothing, as null does.
_DECODER = json.JSONDecoder(parse_constant=lambda _: None, parse_int=_integer, parse_float=_decimal, strict=False)
