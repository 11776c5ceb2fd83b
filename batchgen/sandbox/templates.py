"""Templates of request bodies: what a body has in the places of a template's placeholders."""

from __future__ import annotations

import re
from typing import Any

from .values import Json

_PLACEHOLDER = re.compile(r"\{([a-z0-9_]+)\}")


def placeholder_values(template: Any, body: Any) -> Json:  # noqa: ANN401 - JSON
    """Return the values of *body* by the placeholders at their places in *template*; parts that differ have none."""
    if isinstance(template, str):
        return _in_text(template, body)
    values: Json = {}
    if isinstance(template, dict) and isinstance(body, dict):
        for key, part in template.items():
            if key in body:
                values |= placeholder_values(part, body[key])
    elif isinstance(template, list) and isinstance(body, list):
        for part, item in zip(template, body, strict=False):  # items without a value are left out of a body
            values |= placeholder_values(part, item)
    return values


def _in_text(template: str, value: object) -> Json:
    whole = _PLACEHOLDER.fullmatch(template)
    if whole is not None:
        return {whole[1]: value}
    if not isinstance(value, str):
        return {}
    names: list[str] = []
    pattern, end = "", 0
    for match in _PLACEHOLDER.finditer(template):
        pattern += f"{re.escape(template[end : match.start()])}(.*)"
        names.append(match[1])
        end = match.end()
    found = re.fullmatch(pattern + re.escape(template[end:]), value, re.DOTALL)
    return dict(zip(names, found.groups(), strict=True)) if found else {}
