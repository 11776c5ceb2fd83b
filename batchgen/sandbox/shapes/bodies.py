"""Bodies that are not JSON documents: the image itself, or a stream of events."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace

from PIL import Image

from ..values import Json, Package
from .shape import Draft, Shape, base64_of, data_url


def _raw_image(package: Package, draft: Draft) -> Package:
    return replace(package, body=draft.pictures[0].data, mime=draft.pictures[0].mime)


def _preview() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (90, 90, 90)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _event(document: Json, *, named: bool = True) -> bytes:
    name = f"event: {document['type']}\n" if named else ""
    return f"{name}data: {json.dumps(document)}\n\n".encode()


def _partial(number: int) -> bytes:
    kind = "image_generation.partial_image"
    return _event({"type": kind, "b64_json": _preview(), "partial_image_index": number})


def _image_events(package: Package, draft: Draft, *, completed: bool) -> Package:
    body = b": keep-alive\n\n" + _partial(0) + _partial(1)
    for picture in draft.pictures if completed else ():
        done = {"type": "image_generation.completed", "b64_json": base64_of(picture), "usage": draft.usage}
        body += _event(done)
    return replace(package, body=body, mime="text/event-stream")


def _chat_events(package: Package, draft: Draft, *, completed: bool) -> Package:
    first: Json = {"id": f"gen-{draft.trace.serial}", "object": "chat.completion.chunk", "model": draft.order.model}
    deltas: list[Json] = [{"role": "assistant", "content": ""}, {"content": "Here "}, {"content": "it is."}]
    if completed:
        deltas += [
            {"images": [{"type": "image_url", "image_url": {"url": data_url(picture)}}]} for picture in draft.pictures
        ]
    body = b": OPENROUTER PROCESSING\n\n"
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        body += _event({**first, "choices": [choice]}, named=False)
    last: Json = {**first, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]}
    if draft.usage:
        last["usage"] = draft.usage
    body += _event(last, named=False) + b"data: [DONE]\n\n"
    return replace(package, body=body, mime="text/event-stream")


def _events(package: Package, draft: Draft, *, completed: bool = True) -> Package:
    compose = _chat_events if draft.order.kind == "chat" else _image_events
    return compose(package, draft, completed=completed)


def _previews(package: Package, draft: Draft) -> Package:
    return _events(package, draft, completed=False)


def _events_as_json(package: Package, draft: Draft) -> Package:
    return replace(_events(package, draft), mime="application/json")


BODIES = {
    "raw-image": Shape("the image itself in place of JSON", endpoint="images", body=_raw_image),
    "event-stream": Shape("a stream of events, previews first", body=_events),
    "event-stream-as-json": Shape("the same with the type application/json", body=_events_as_json),
}
#: Charged, without a picture.
NO_RESULT = {"event-stream-previews": Shape("a stream of events that ends after the previews", body=_previews)}
