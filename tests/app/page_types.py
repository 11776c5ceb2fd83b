"""A checker of documents against ``types.d.ts`` of the page: as much of TypeScript as is used there for data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.docs import ROOT

_FILE = ROOT / "batchgen/page/src/types.d.ts"
_TOKEN = re.compile(r"\"[^\"]*\"|[A-Za-z_][A-Za-z_0-9]*|\d+|[{}()\[\]<>|,;:?&=]")
_PRIMITIVES = {"string": str, "number": (int, float), "boolean": bool}


def mistakes(value: Any, name: str) -> list[str]:
    """Return where *value* is not what the interface *name* says; fields that it does not have are mistakes too."""
    return list(_check(value, ("name", name), name))


@cache
def _named(name: str) -> Any:
    """Return the interface or type of that name."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", _FILE.read_text(encoding="utf-8"), flags=re.DOTALL)
    [start] = re.finditer(rf"export (?:interface|type) {name}(?: =)? ", text)
    return _type(_TOKEN.findall(text[start.end() :]), 0)[0]


def _type(tokens: list[str], at: int) -> tuple[Any, int]:
    """Return a type and the place of the token after it."""
    options = []
    while True:
        if tokens[at] == "|":
            at += 1
        one, at = _one(tokens, at)
        options.append(one)
        if tokens[at : at + 1] != ["|"]:
            return (options[0] if len(options) == 1 else ("union", options)), at


def _one(tokens: list[str], at: int) -> tuple[Any, int]:
    token = tokens[at]
    if token == "{":
        found, at = _fields(tokens, at + 1)
    elif token == "(":
        found, at = _type(tokens, at + 1)
        at += 1
    elif token == "[":
        found, at = _tuple(tokens, at + 1)
    elif token in ("Record", "Partial", "Pick"):
        key, at = _type(tokens, at + 2)
        value, at = _type(tokens, at + 1) if tokens[at] == "," else (key, at)
        found, at = (("record", value) if token == "Record" else ("any",)), at + 1
    else:
        found, at = (("literal", token.strip('"')) if token[0] in '"0123456789' else ("name", token)), at + 1
    while tokens[at : at + 2] == ["[", "]"]:
        found, at = ("list", found), at + 2
    return found, at


def _fields(tokens: list[str], at: int) -> tuple[Any, int]:
    fields = {}
    while tokens[at] != "}":
        name, at = tokens[at], at + 1
        optional = tokens[at] == "?"
        at += 1 + optional  # and the colon
        kind, at = _type(tokens, at)
        fields[name] = (kind, optional)
        at += tokens[at] in (";", ",")
    return ("fields", fields), at + 1


def _tuple(tokens: list[str], at: int) -> tuple[Any, int]:
    parts = []
    while tokens[at] != "]":
        at += 2 if tokens[at + 1] == ":" else 0  # the label of a part
        part, at = _type(tokens, at)
        parts.append(part)
        at += tokens[at] == ","
    return ("tuple", parts), at + 1


def _check(value: Any, kind: Any, path: str) -> Iterator[str]:
    what, *of = kind
    if what == "name" and of[0] in _PRIMITIVES:
        if not isinstance(value, _PRIMITIVES[of[0]]) or (of[0] == "number" and isinstance(value, bool)):
            yield f"{path}: {value!r} is not a {of[0]}"
    elif what == "name" and of[0] == "null":
        yield from () if value is None else [f"{path}: {value!r} is not null"]
    elif what == "name" and of[0] != "unknown":
        yield from _check(value, _named(of[0]), path)
    elif what == "literal" and str(value) != of[0]:
        yield f"{path}: {value!r} is not {of[0]}"
    elif what == "union":
        if all([*_check(value, option, path)] for option in of[0]):
            yield f"{path}: {value!r} fits none of its types"
    elif what in ("list", "tuple", "record"):
        yield from _check_many(value, what, of[0], path)
    elif what == "fields":
        yield from _check_fields(value, of[0], path)


def _check_many(value: Any, what: str, of: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict if what == "record" else list):
        yield f"{path}: {value!r} is not a {what}"
        return
    items = value.items() if isinstance(value, dict) else enumerate(value)
    kinds = of if what == "tuple" else [of] * len(value)
    if len(kinds) != len(value):
        yield f"{path}: {value!r} has not {len(kinds)} parts"
        return
    for (key, item), kind in zip(items, kinds, strict=True):
        yield from _check(item, kind, f"{path}.{key}")


def _check_fields(value: Any, fields: dict[str, Any], path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is not an object"
        return
    yield from (f"{path}.{name}: there is no such field" for name in value.keys() - fields.keys())
    for name, (kind, optional) in fields.items():
        if name in value:
            yield from _check(value[name], kind, f"{path}.{name}")
        elif not optional:
            yield f"{path}.{name}: is missing"
