"""Dialect of OpenAI's images endpoints: OpenAI, Azure, aigate, aimlapi, xAI, Recraft, Ark, the generic gateway.

Generations are sent as JSON; edits as JSON or as multipart. What differs is data: the rules of a model name the fields
of source images (``images``), fields with other names (``names``) and constants (``sends``). ``response_format`` is
among these where a provider takes it: base64 arrives with the answer, and a URL may die before it is fetched.
"""

from __future__ import annotations

import json
from typing import Any

from ..task import Kind, Source, Task
from .base import Call, DataUrl, FilePart, Request
from .jsonbody import Json
from .model import IMAGE, ImageForm, Rules
from .responses import SingleCallDialect
from .validation import wire_fields

_ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


class OpenAIImages(SingleCallDialect):
    """POST images/generations and images/edits."""

    def call(self, request: Request, rules: Rules) -> Call:
        """Return the paid call."""
        task, profile = request.task, request.profile
        url, headers = profile.url(rules.path), attempt_headers(request)
        body = {**wire_fields(task, request.model, rules), "prompt": task.prompt}
        if task.kind is Kind.GENERATE:
            return Call(method="POST", url=url, json=body, headers=headers)
        if rules.body == "multipart":
            form = tuple((key, _form_value(value)) for key, value in body.items())
            return Call(method="POST", url=url, form=form, files=_files(request, rules), headers=headers)
        body |= _sources(task, rules.images)
        return Call(method="POST", url=url, json=body, headers=headers)


def attempt_headers(request: Request) -> dict[str, str]:
    """Return the headers that carry our attempt id, if the provider has such headers."""
    names = (request.profile.request_id_header, request.profile.idempotency_header)
    return {name: request.attempt_id for name in names if name}


def json_image(source: Source) -> str | DataUrl:
    """Return the value of an image in a JSON body: its URL, or a placeholder for its data URL."""
    return source.url if source.path is None and source.url else DataUrl(source=source)


def _sources(task: Task, form: ImageForm) -> dict[str, Any]:
    """Return the fields of a JSON body that hold the source images and the mask."""
    images = [_item(form, source) for source in task.images]
    fields = {form.one: images[0]} if form.one and len(images) == 1 else {form.many: images}
    return fields if task.mask is None else {**fields, "mask": _item(form, task.mask)}


def _item(form: ImageForm, source: Source) -> object:
    image = json_image(source)
    if isinstance(form.item, str):
        return image
    return {name: image if value == IMAGE else value for name, value in form.item.items()}


def _files(request: Request, rules: Rules) -> tuple[FilePart, ...]:
    # The file names are neutral, so that local names stay private; some servers check the extension.
    images = request.task.images
    field = "image" if len(images) == 1 else rules.image_field
    parts = [file_part(field, source, f"image-{number}") for number, source in enumerate(images, start=1)]
    if request.task.mask is not None:
        parts.append(file_part("mask", request.task.mask, "mask"))
    return tuple(parts)


def file_part(field: str, source: Source, stem: str) -> FilePart:
    """Return the part of a multipart body that holds an image; its file name is *stem* with the usual ending."""
    mime = source.mime or "image/png"
    return FilePart(name=field, source=source, filename=f"{stem}.{_ENDINGS.get(mime, 'png')}", mime=mime)


def _form_value(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
