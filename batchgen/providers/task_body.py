"""Bodies of submissions: a template of the dialect ``task``, filled in with one request, and paths into answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..task import Source
from .base import DataUrl, Request
from .jsonbody import Json, read_or_none
from .model import Rules
from .openai_images import json_image
from .task_rules import NUMBERED_IMAGES, PLACEHOLDER, Submission, names_in
from .validation import fit

_WXH = re.compile(r"(\d+)x(\d+)")
_STEP = re.compile(r"([A-Za-z0-9_-]*)(?:\[(\d*)\])?")

#: The value of a placeholder that has none.
_MISSING = object()


def body_of(request: Request, rules: Rules, submission: Submission) -> dict[str, Any]:
    """Return the JSON body of the submission; parts whose placeholders have no value are left out."""
    template = rules.template or submission.body
    fields = fit(request.task, rules, request.model.wire).fields
    filled = _fill(template, _values(request, rules, fields, bare=submission.images == "base64"))
    body: dict[str, Any] = {} if filled is _MISSING else filled
    named = set(names_in(template))
    unnamed = {key: value for key, value in fields.items() if key not in named and not _is_split(key, named)}
    if more := {**unnamed, **request.task.extra}:
        _object_at(body, submission.extra).update(more)
    return body


def values_at(document: Json, path: str) -> list[Json]:
    """Return the values at *path*, none of them null."""
    return [value for value in _walk(document, path.split(".") if path else []) if value is not None]


def text_at(document: Json, *paths: str) -> str:
    """Return the first text or number at one of *paths*; "" if there is none."""
    for path in paths:
        for value in values_at(document, path):
            if not isinstance(value, bool | Mapping | list) and str(value).strip():
                return str(value).strip()
    return ""


def wire_name(request: Request, rules: Rules) -> str:
    """Return the provider's name for the model in this operation."""
    return rules.wire or request.model.wire


def _values(request: Request, rules: Rules, fields: Mapping[str, Any], *, bare: bool) -> dict[str, Any]:
    task = request.task
    images = [_image(source, bare=bare) for source in task.images]
    values = {**fields, "prompt": task.prompt, "model": wire_name(request, rules), "attempt_id": request.attempt_id}
    if edges := _WXH.fullmatch(str(fields.get("size", ""))):
        values |= {"width": int(edges[1]), "height": int(edges[2])}
    if images:
        values |= {"images": images, "image": images[0]}
        values |= {f"image_{number}": image for number, image in enumerate(images[:NUMBERED_IMAGES], start=1)}
    if task.mask is not None:
        values["mask"] = _image(task.mask, bare=bare)
    return values


def _image(source: Source, *, bare: bool) -> str | DataUrl:
    image = json_image(source)
    return replace(image, bare=bare) if isinstance(image, DataUrl) else image


def _is_split(field: str, named: set[str]) -> bool:
    return field == "size" and {"width", "height"} <= named


def _fill(template: Any, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Return *template* with values for its placeholders; _MISSING if it holds only placeholders without a value."""
    if isinstance(template, str):
        names = PLACEHOLDER.findall(template)
        if any(name not in values for name in names):
            return _MISSING
        if template == f"{{{names[0] if names else ''}}}":
            return values[names[0]]
        return PLACEHOLDER.sub(lambda match: str(values[match[1]]), template)
    if isinstance(template, Mapping):
        pairs = {key: _fill(value, values) for key, value in template.items()}
        filled = {key: value for key, value in pairs.items() if value is not _MISSING}
        return filled if filled or not pairs else _MISSING
    if isinstance(template, list | tuple):
        items = [item for part in template if (item := _fill(part, values)) is not _MISSING]
        return items if items or not template else _MISSING
    return template


def _object_at(body: dict[str, Any], path: str | None) -> dict[str, Any]:
    """Return the object of *body* at *path*, made if it is missing."""
    for step in path.split(".") if path else ():
        part = body.get(step)
        if not isinstance(part, dict):
            part = body[step] = {}
        body = part
    return body


def _walk(value: Json, steps: list[str]) -> Iterator[Json]:
    if not steps:
        yield value
        return
    match = _STEP.fullmatch(steps[0])
    name, index = (match[1], match[2]) if match else ("", None)
    value = _opened(value)
    if name:
        value = value.get(name) if isinstance(value, Mapping) else None
    if index is None:
        yield from _walk(value, steps[1:])
        return
    items = _opened(value)
    items = items if isinstance(items, list) else []
    for item in items if index == "" else items[int(index) :][:1]:
        yield from _walk(item, steps[1:])


def _opened(value: Json) -> Json:
    """Return *value*, or the JSON document that it is the text of."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        return read_or_none(value.encode("utf-8", "replace"))
    return value
