"""Read an answer's JSON strictly, and fast where it holds megabytes of base64.  Pure.

Strict: no NaN or Infinity, no key twice, no absurd nesting or numbers; money keeps its decimals.
Fast: string literals above 4 KB are cut out before parsing and put back after it.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, TypeAlias

#: A parsed JSON value.
Json: TypeAlias = Any

#: Literals longer than this (bytes) are cut out.
LONG = 4096

#: No honest number of an answer has more digits.
_DIGITS_MAX = 40

#: A kept raw answer is cut here (bytes).
_KEPT_MAX = 256 * 1024

_QUOTE, _BACKSLASH = b'"', 0x5C
_MARK = "\ue000cut:"


class Unreadable(ValueError):
    """The bytes are not the JSON a provider may send."""


def read(body: bytes) -> Json:
    """Return the document in *body*; raise Unreadable."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    spans = _long_strings(body) if len(body) > LONG else []
    if not spans or _MARK.encode() in body:
        return _parsed(body)
    marks = [f"{_MARK}{number}" for number in range(len(spans))]
    document = _parsed(_replaced(body, spans, marks))
    cuts = {mark: _literal(body[start:end]) for mark, (start, end) in zip(marks, spans, strict=True)}
    try:
        document = _restored(document, cuts)
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except KeyError:
        return _parsed(body)  # the provider sent the mark itself, escaped
    # A cut that found no place was a key: take the slow way.
    return _parsed(body) if cuts else document


def skeleton(body: bytes) -> bytes:
    """Return *body* with every long string replaced by a note of its length: what is kept of a raw answer."""
    spans = _long_strings(body)
    small = _replaced(body, spans, [f"<{end - start} bytes cut>" for start, end in spans])
    if len(small) <= _KEPT_MAX:
        return small
    return small[:_KEPT_MAX] + f"<{len(small) - _KEPT_MAX} bytes cut>".encode()


def _long_strings(body: bytes) -> list[tuple[int, int]]:
    """Return where the long literals stand, without their quotes; one that never ends goes to the end."""
    spans: list[tuple[int, int]] = []
    find = body.find
    start = find(_QUOTE)
    while start >= 0:
        end = find(_QUOTE, start + 1)
        while end > 0 and body[end - 1] == _BACKSLASH and _escaped(body, end):
            end = find(_QUOTE, end + 1)
        end = len(body) if end < 0 else end
        if end - start > LONG:
            spans.append((start + 1, end))
        start = find(_QUOTE, end + 1)
    return spans


def _escaped(body: bytes, quote: int) -> bool:
    first = quote
    while first and body[first - 1] == _BACKSLASH:
        first -= 1
    return (quote - first) % 2 == 1


def _replaced(body: bytes, spans: list[tuple[int, int]], notes: list[str]) -> bytes:
    pieces: list[bytes] = []
    done = 0
    for (start, end), note in zip(spans, notes, strict=True):
        pieces += (body[done:start], note.encode())
        done = end
    pieces.append(body[done:])
    return b"".join(pieces)


def _literal(raw: bytes) -> str:
    if _BACKSLASH in raw:
        return str(_parsed(b'"' + raw + b'"'))
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Unreadable("not UTF-8") from None


def _restored(value: Json, cuts: dict[str, str]) -> Json:
    """Return *value* with the cuts put back; each is taken out of *cuts* once, twice is a KeyError."""
    if isinstance(value, str):
        return cuts.pop(value) if value.startswith(_MARK) else value
    if isinstance(value, dict):
        return {key: _restored(part, cuts) for key, part in value.items()}
    if isinstance(value, list):
        return [_restored(part, cuts) for part in value]
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise Unreadable("a key stands twice in one object")
    return result


def _no_constant(word: str) -> Json:
    raise Unreadable(f"{word} is no JSON")


def _integer(text: str) -> int:
    if len(text) > _DIGITS_MAX:
        raise Unreadable("a number is absurdly long")
    return int(text)


#: Control characters inside strings are let pass: a paid answer is not thrown away for a raw newline.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=Decimal, parse_int=_integer, strict=False
)


def _parsed(body: bytes) -> Json:
    try:
        return _DECODER.decode(body.decode())
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except UnicodeDecodeError:
        raise Unreadable("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"no JSON: {error.msg}") from None
