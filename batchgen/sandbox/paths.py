"""Paths into an answer, such as ``data.urls.get`` or ``images[].url``: values put where a client looks for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .values import Json

_STEP = re.compile(r"([^\[\]]+)(?:\[(\d*)\])?")


def put(document: Json, path: str, values: Sequence[Any]) -> None:
    """Put *values* at *path*: the first, or all of them where the path takes every item of a list.

    A path that leads through something else than an object changes nothing.
    """
    step, _, rest = path.partition(".")
    match = _STEP.fullmatch(step)
    if match is None or not values:
        return
    name, is_list = match[1], match[2] is not None
    if is_list:
        document.setdefault(name, [_below(rest, value) for value in values])
        return
    if not rest:
        document.setdefault(name, values[0])
        return
    inner = document.setdefault(name, {})
    if isinstance(inner, dict):
        put(inner, rest, values)


def _below(path: str, value: object) -> object:
    if not path:
        return value
    item: Json = {}
    put(item, path, [value])
    return item
