"""Request bodies: JSON and multipart, with the prompt and its directives."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from aiohttp import BodyPartReader, web

from .cdn import ResultStore
from .dialects.gemini_body import texts_of
from .drawing import draw_source
from .faults import Fault, split_prompt
from .sources import FILE_ID, IMAGE_LIMIT
from .values import Form, Json, Upload, invalid

_PICSUM = re.compile(r"/(\d{2,4})/(\d{2,4})/?$")  # providers' documents use such addresses: .../800/600
_ONLY_DIRECTIVES = "(only a directive)"


async def read_form(request: web.Request) -> Form:
    """Parse the body by its content type, or refuse it."""
    if request.content_type == "application/json":
        return Form(fields=_json_object(await request.read()), query=request.query)
    if request.content_type == "multipart/form-data":
        return replace(await _read_multipart(request), query=request.query)
    message = f"Unsupported content type '{request.content_type}': expected application/json or multipart/form-data."
    raise invalid(message, "unsupported_content_type")


def _json_object(raw: bytes) -> Json:
    try:
        fields = json.loads(raw)
    except ValueError as error:
        message = "We could not parse the JSON body of your request."
        raise invalid(message, "invalid_json") from error
    if not isinstance(fields, dict):
        raise invalid("The JSON body of a request must be an object.", "invalid_json")
    return fields


async def _read_multipart(request: web.Request) -> Form:
    fields: Json = {}
    files: list[Upload] = []
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or not part.name:
                raise invalid("A part of the multipart body has no name.", "invalid_multipart")
            # One byte above the limit is enough to refuse the part; the rest is read and discarded.
            data = bytearray()
            while chunk := await part.read_chunk(262_144):
                if len(data) <= IMAGE_LIMIT:
                    data += chunk
            if part.filename is not None:
                mime = part.headers.get("Content-Type", "application/octet-stream").split(";")[0].strip().lower()
                files.append(Upload(name=part.name, filename=part.filename, mime=mime, data=bytes(data)))
            elif part.name in fields:
                raise invalid(f"Duplicate parameter: '{part.name}'.", "duplicate_parameter", part.name)
            else:
                fields[part.name] = data.decode("utf-8")
    except ValueError as error:  # bad boundaries, bad headers, bad UTF-8
        raise invalid("Could not parse multipart form.", "invalid_multipart") from error
    return Form(fields=fields, files=tuple(files), multipart=True)


def raw_prompt(fields: Json) -> str:
    """Return the prompt of a request as it came, directives included."""
    fields = _holder(fields)
    prompt = fields.get("prompt")
    if isinstance(prompt, str):
        return prompt
    return "\n".join(part["text"] for part in _text_parts(fields))


def take_directives(form: Form) -> tuple[Form, tuple[Fault, ...]]:
    """Return the body without directives, and the faults that the directives name."""
    directives: list[Fault] = []

    def clean(text: str) -> str:
        try:
            rest, faults = split_prompt(text)
        except ValueError as error:
            raise invalid(f"Bad sandbox directive: {error}", "invalid_value", "prompt") from error
        directives.extend(faults)
        return rest or (_ONLY_DIRECTIVES if faults else rest)

    fields = form.fields
    holder = _holder(fields)
    if isinstance(holder.get("prompt"), str):
        holder = {**holder, "prompt": clean(holder["prompt"])}
        fields = {**fields, "input": holder} if _is_nested(fields) else holder
    for part in _text_parts(holder):
        part["text"] = clean(part["text"])
    return replace(form, fields=fields), tuple(directives)


def _holder(fields: Json) -> Json:
    """Return the object with the prompt: the body, or its ``input``."""
    return fields["input"] if _is_nested(fields) else fields


def _is_nested(fields: Json) -> bool:
    return isinstance(fields.get("input"), dict)


def _text_parts(fields: Json) -> list[Json]:
    """Return the text parts of chat messages or of Gemini's contents, to be read or changed in place."""
    messages = fields.get("messages")
    parts: list[Json] = texts_of(fields)
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            message["content"] = content = [{"type": "text", "text": content}]
        if isinstance(content, list):
            parts += [part for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
    return parts


def fetch_source(url: str, own_url: str, results: ResultStore) -> bytes:
    """Return the bytes behind a source URL: a result of this server, or a drawing for any https address."""
    if url.startswith(FILE_ID):
        raise invalid(f"No such File object: {url.removeprefix(FILE_ID)[:80]}", "invalid_value", "file_id")
    if url.startswith(f"{own_url}/"):
        stored = results.get(url.removeprefix(own_url))
        if stored is not None and not stored.gone:
            return stored.data
    elif url.lower().startswith("https://") and "sandbox-404" not in url:
        size = _PICSUM.search(url)
        return draw_source(url, (int(size.group(1)), int(size.group(2))) if size else (1024, 768))
    message = f"Error while downloading {url[:200]}."
    raise invalid(message, "invalid_image_url", "image_url")
