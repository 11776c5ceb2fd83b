"""JSON as YAML: JSON writes characters beyond U+FFFF as two escapes, which YAML does not know. Pure."""

from __future__ import annotations

import json
import re

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_ESCAPE = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|\\.")
_HALF = re.compile(r"\\u[dD][89abAB]")


def as_yaml(text: str) -> str:
    """Return *text* with the surrogate pairs of a JSON document joined; other text is returned as it is.

    Blanks behind a string keep the columns of what follows.
    """
    if text.lstrip()[:1] not in ("{", "[") or _HALF.search(text) is None:
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _STRING.sub(lambda match: _joined(match[0]), text)


def _joined(string: str) -> str:
    joined = _ESCAPE.sub(lambda match: _character(match) if match[1] else match[0], string)
    return joined + " " * (len(string) - len(joined))


def _character(match: re.Match[str]) -> str:
    high, low = int(match[1], 16), int(match[2], 16)
    return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08X}"
