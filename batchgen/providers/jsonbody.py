"""JSON reader for provider answers: strict first, then lenient.

orjson reads correct JSON, without the images in it (see ``long_texts``). Only what it rejects is read a second time,
leniently: a paid answer is not thrown away because of NaN, a raw control character, broken UTF-8 in a text field, a
number too large for a double, or text around the document. The last of two equal keys wins. Values nested too deeply to
mean anything become null, so that code which walks a document may recurse to its end.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from math import isfinite
from typing import Any, TypeAlias

import orjson

from . import long_texts

#: A parsed JSON value.
Json: TypeAlias = Any

#: Positions in a text that are tried as the start of a document.
_MAX_STARTS = 64
#: The lenient reader may read this many times the length of the text, plus this many characters.
_MAX_REREADS, _MORE_REREADS = 8, 64 * 1024 * 1024
#: Levels of nesting that are kept.
_MAX_DEPTH = 100
#: Longest number that is read (characters).
_MAX_DIGITS = 40
#: Longest text before a document (characters).
_MAX_PREFACE = 64 * 1024

#: First bytes of a document by encoding: byte order marks, then UTF-16 without one.
_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"{\0", "utf-16-le"),
    (b"[\0", "utf-16-le"),
    (b"\0{", "utf-16-be"),
    (b"\0[", "utf-16-be"),
)


class Unreadable(ValueError):
    """The bytes hold no complete JSON document; ``part`` is the longest value in one that is cut off."""

    def __init__(self, message: str, part: Json = None) -> None:
        super().__init__(message)
        self.part = part


def value_at(document: Json, path: str | None) -> Json:
    """Return the value at a dotted path (``token.remaining``); None if there is none."""
    for step in path.split(".") if path else ():
        document = document.get(step) if isinstance(document, Mapping) else None
    return document if path else None


def read(body: bytes) -> Json:
    """Return the document in *body*; raise Unreadable."""
    document = _read(body)
    if isinstance(document, str) and document.lstrip()[:1] in ("{", "["):
        with suppress(Unreadable):  # JSON within a JSON string
            return _read(document.encode("utf-8", "replace"))
    return document


def read_or_none(body: bytes) -> Json:
    """Return the document in *body*, or None."""
    with suppress(Unreadable):
        return read(body)
    return None


def objects(value: Json, most: int | None = None) -> list[Mapping[str, Json]]:
    """Return the objects among the first *most* items of a list; none if *value* is not a list."""
    return [item for item in value[:most] if isinstance(item, Mapping)] if isinstance(value, list) else []


def _read(body: bytes) -> Json:
    short, texts = long_texts.cut_out(body)
    try:
        document = _normalize(orjson.loads(short), texts)
        return _normalize(orjson.loads(body), {}) if texts else document
    except orjson.JSONDecodeError:
        return _normalize(_read_leniently(_decode(body)), {})


def _normalize(value: Json, texts: dict[str, str], levels: int = _MAX_DEPTH) -> Json:
    """Turn doubles into decimals, which keep a price as it was written, and values below *levels* into null.

    Placeholders of *texts* are replaced, each once.
    """
    if isinstance(value, str):
        return texts.pop(value, value)
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {key: _normalize(part, texts, levels - 1) for key, part in value.items()} if levels else None
    if isinstance(value, list):
        return [_normalize(part, texts, levels - 1) for part in value] if levels else None
    return value


def _decode(body: bytes) -> str:
    encoding = next((name for start, name in _ENCODINGS if body.startswith(start)), "utf-8")
    return body.decode(encoding, "replace").strip("\ufeff\0 \t\r\n")


def _read_leniently(text: str) -> Json:
    """Return the longest document in *text*; raise Unreadable if there is none, or if it is cut off."""
    if not text:
        raise Unreadable("there is nothing in it")
    problem, cut_off = "no object and no list", False
    best, best_length = None, 0
    start, tries, budget = _next_start(text, 0), 0, _MAX_REREADS * len(text) + _MORE_REREADS
    while start >= 0 and tries < _MAX_STARTS and budget > 0 and start <= _MAX_PREFACE + best_length:
        tries += 1
        try:
            document, end = _DECODER.raw_decode(text, start)
        except RecursionError:
            raise Unreadable("it is nested too deeply") from None
        except json.JSONDecodeError as error:
            at_end = error.pos >= len(text) or error.msg.startswith("Unterminated")
            if tries == 1:
                problem, cut_off = error.msg, at_end
            budget -= (len(text) if at_end else error.pos) - start
            start = _next_start(text, start + 1)
            continue
        if end - start > best_length:
            best, best_length = document, end - start
        start = _next_start(text, end)
    if not best_length or cut_off:
        raise Unreadable(f"it is not JSON: {problem}", _normalize(best, {}))
    return best


def _next_start(text: str, position: int) -> int:
    """Return where the next object or list may begin; -1 if none does."""
    starts = [start for bracket in "{[" if (start := text.find(bracket, position)) >= 0]
    return min(starts, default=-1)


def _integer(text: str) -> int | None:
    return int(text) if len(text) <= _MAX_DIGITS else None


def _decimal(text: str) -> Decimal | None:
    number = float(text)
    if len(text) > _MAX_DIGITS or not isfinite(number):
        return None
    return Decimal(text) if number else Decimal(0)  # an exponent may be too long for a Decimal


#: NaN and absurd numbers are read as null.
_DECODER = json.JSONDecoder(parse_constant=lambda _: None, parse_int=_integer, parse_float=_decimal, strict=False)
