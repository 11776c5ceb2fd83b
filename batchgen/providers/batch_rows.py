"""Rows of result files: their parts as places in the bytes, so that megabytes of base64 are neither parsed nor copied.

Only the commas and brackets of the envelope are read here; the answer inside is read by ``responses``, as any other.
"""

from __future__ import annotations

import re

import orjson

from .jsonbody import Json

#: A part of a row: where it begins and ends.
Span = tuple[int, int]

_SPACE = re.compile(rb"[ \t\r\n]*")
_BRACKET = re.compile(rb'["{}\[\]]')
_SCALAR = re.compile(rb"[^\s,}\]]+")
#: Longest part that is read as a value (bytes); the answers themselves are longer.
_SHORT = 64 * 1024


class BrokenRow(ValueError):
    """A row that is not a JSON object."""


def members(raw: bytes, start: int = 0) -> dict[str, Span]:
    """Return the places of the values in the object that begins at *start*; raise BrokenRow."""
    places: dict[str, Span] = {}
    position = _after_space(raw, start)
    if raw[position : position + 1] != b"{":
        raise BrokenRow("no object")
    position = _after_space(raw, position + 1)
    while raw[position : position + 1] != b"}":
        end = _string_end(raw, position)
        name = short_value(raw, (position, end))
        position = _after_space(raw, end)
        if raw[position : position + 1] != b":" or not isinstance(name, str):
            raise BrokenRow(f"no value at byte {position}")
        begin = _after_space(raw, position + 1)
        end = _value_end(raw, begin)
        places[name] = begin, end
        position = _after_space(raw, end)
        separator = raw[position : position + 1]
        if separator == b",":
            position = _after_space(raw, position + 1)
        elif separator != b"}":
            raise BrokenRow(f"neither a comma nor the end at byte {position}")
    return places


def short_value(raw: bytes, span: Span | None) -> Json:
    """Return a short value; None if there is none, if it is long, or if it is not JSON."""
    if span is None or span[1] - span[0] > _SHORT:
        return None
    try:
        return orjson.loads(raw[span[0] : span[1]])
    except orjson.JSONDecodeError:
        return None


def key_in(raw: bytes, name: str) -> str | None:
    """Return the text of a member of a row that is broken somewhere, if the member itself is whole."""
    pattern = re.compile(rb'"' + re.escape(name.encode()) + rb'"\s*:\s*("(?:[^"\\]|\\.){1,512}")')
    match = pattern.search(raw)
    text = short_value(raw, match.span(1)) if match else None
    return text if isinstance(text, str) else None


def rest_after(raw: bytes, name: str) -> bytes:
    """Return what follows a member's name and colon in a broken row; the whole row if there is no such member."""
    match = re.search(rb'"' + re.escape(name.encode()) + rb'"\s*:\s*', raw)
    return raw[match.end() :] if match else raw


def _after_space(raw: bytes, position: int) -> int:
    match = _SPACE.match(raw, position)
    return match.end() if match else position


def _string_end(raw: bytes, start: int) -> int:
    """Return the position after the string that begins at *start*."""
    if raw[start : start + 1] != b'"':
        raise BrokenRow(f"no text at byte {start}")
    position = start + 1
    while (end := raw.find(b'"', position)) >= 0:
        before = end
        while raw[before - 1 : before] == b"\\" and before - 1 > start:
            before -= 1
        if (end - before) % 2 == 0:
            return end + 1
        position = end + 1
    raise BrokenRow("a text without its end")


def _value_end(raw: bytes, start: int) -> int:
    """Return the position after the value that begins at *start*."""
    first = raw[start : start + 1]
    if first == b'"':
        return _string_end(raw, start)
    if first not in (b"{", b"["):
        scalar = _SCALAR.match(raw, start)
        if scalar is None:
            raise BrokenRow(f"no value at byte {start}")
        return scalar.end()
    depth, position = 0, start
    while (match := _BRACKET.search(raw, position)) is not None:
        position = match.end()
        if match[0] == b'"':
            position = _string_end(raw, match.start())
            continue
        depth += 1 if match[0] in (b"{", b"[") else -1
        if not depth:
            return position
    raise BrokenRow("an object or a list without its end")
