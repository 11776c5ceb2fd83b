"""Composition of an answer: as documented, corrupted, or in another shape."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import replace

from .cdn import FOR_GOOD, StoredFile
from .dialects.dialect import Dialect, Supplier
from .drawing import MIMES, draw_picture, draw_small
from .faults import Fault
from .shapes import Draft, Shape
from .state import Entry, State
from .values import Bill, Form, Json, Link, Order, Package, Picture, Reply, invalid

CLOUDFLARE_524 = """<!DOCTYPE html>
<html lang="en-US"><head><title>sandbox | 524: A timeout occurred</title></head>
<body><h1>A timeout occurred <span>Error code 524</span></h1>
<p>The origin web server timed out responding to this request.</p></body></html>
"""
HTML_200 = """<!DOCTYPE html>
<html><head><title>Just a moment...</title></head><body><p>Checking your browser before accessing.</p></body></html>
"""
TEXT_INSTEAD = "I can describe such an image, but I cannot draw it. Could you tell me more of what you want?"

_DOCUMENTED = Shape("")
#: Kinds of address with older names.
_LINKS = {"url404": Link(first=404, times=FOR_GOOD), "url-flaky": Link(first=503, times=2)}


def shape_of(fault: Fault | None, order: Order) -> Shape:
    """Return the shape of an answer; refuse one that this kind of answer cannot have."""
    shape = fault.shape if fault else None
    if fault is None or shape is None:
        return _DOCUMENTED
    if shape.endpoint and (shape.endpoint == "chat") != (order.kind == "chat"):
        message = f"Bad sandbox directive: {fault.kind!r} is a shape of answers to {shape.endpoint}."
        raise invalid(message, "invalid_value", "prompt")
    return shape


def actual_order(order: Order, kind: str, shape: Shape) -> Order:
    """Return the order as the provider executes it, which may differ from the request."""
    return shape.ordered(order) if shape.ordered else _corrupt_order(order, kind)


def price_order(dialect: Dialect, order: Order, draft: Draft, shape: Shape) -> Bill:
    """Return what the provider charges for an order."""
    bill = dialect.price(order, order.n)
    return shape.bill(bill, draft.amount) if shape.bill else bill


def sources_of(form: Form) -> tuple[str, ...]:
    """Return every address and data URL in a JSON body."""
    sources: list[str] = []

    def look(value: object) -> None:
        if isinstance(value, dict):
            for item in value.values():
                look(item)
        elif isinstance(value, list):
            for item in value:
                look(item)
        elif isinstance(value, str) and value.startswith(("data:image/", "https://", "http://")):
            sources.append(value)

    look(form.fields)
    return tuple(sources)


async def pictures_for(
    state: State, dialect: Supplier, entry: Entry, draft: Draft, shape: Shape
) -> tuple[Picture, ...]:
    """Draw the images, and store those that are delivered by an address."""
    order, kind = draft.order, draft.kind
    link = shape.link(draft.amount) if shape.link else _LINKS.get(kind)
    by_url = (order.as_url or dialect.url_only or link is not None) and not shape.inline
    pictures = []
    for index, data in enumerate(await _draw(state, dialect, entry, order)):
        sent, mime = shape.image(data) if shape.image else (_corrupt_bytes(data, kind), MIMES[order.output_format])
        stored = StoredFile(data=sent, mime=mime, link=link or Link(), until=time.time() + dialect.lifetime)
        url = _store(state, dialect, entry, index, stored) if by_url else None
        b64 = None if by_url else base64.b64encode(sent).decode("ascii")
        picture = _corrupt_base64(Picture(data=sent, mime=mime, url=url, b64=b64), kind)
        pictures.append(_with_base64(picture, shape, url_only=dialect.url_only))
    return tuple(pictures)


async def _draw(state: State, dialect: Supplier, entry: Entry, order: Order) -> list[bytes]:
    settings, serial = state.settings, entry.trace.serial
    if settings.draw == "small":
        return [draw_small(order, serial=serial, index=index, seed=settings.seed) for index in range(order.n)]
    loop = asyncio.get_running_loop()

    def paint(index: int) -> bytes:
        return draw_picture(order, provider=dialect.name, serial=serial, index=index, seed=settings.seed)

    return await asyncio.gather(*(loop.run_in_executor(state.pool, paint, index) for index in range(order.n)))


def _with_base64(picture: Picture, shape: Shape, *, url_only: bool) -> Picture:
    """Return the picture with its base64 in the form of the shape."""
    if shape.base64_text is None or picture.b64 is None:
        return picture
    base64_text = shape.base64_text(picture.b64, picture.mime)
    url = f"data:{picture.mime};base64,{base64_text}" if url_only else None
    return replace(picture, b64=base64_text, url=url)


def _store(state: State, dialect: Supplier, entry: Entry, index: int, stored: StoredFile) -> str:
    """Store a result file; return its address as the answer states it."""
    extension = stored.mime.removeprefix("image/")
    path = f"/{dialect.name}/cdn/{entry.trace.serial}-{index}-{entry.trace.request_id[:12]}.{extension}"
    state.results.put(path, stored)
    if stored.link.foreign:
        return f"https://pictures.example.test{path}"
    return path if stored.link.relative else f"{state.url}{path}"


def write_answer(reply: Reply, draft: Draft, shape: Shape) -> Package:
    """Turn an answer into bytes in the given shape."""
    if shape.reply:
        reply = shape.reply(reply, draft)
    body = _corrupt_payload(reply.payload, draft.kind)
    if shape.text:
        body = shape.text(body)
    package = package_of(reply, body)
    return shape.body(package, draft) if shape.body else package


def package_of(reply: Reply, body: bytes | None = None) -> Package:
    """Return an answer as bytes: *body*, or its payload as JSON."""
    encoded = json.dumps(reply.payload).encode() if body is None else body
    return Package(status=reply.status, headers=reply.headers, body=encoded)


def _corrupt_order(order: Order, kind: str) -> Order:
    """Return the order as a faulty provider would execute it."""
    if kind == "wrongsize":
        return replace(order, width=order.width + 230, height=max(64, order.height - 230))
    if kind == "short":
        return replace(order, n=max(1, order.n - 1))
    if kind == "flex-standard":
        return replace(order, tier="standard")
    return replace(order, states_tier=False) if kind == "flex-unstated" else order


def _corrupt_bytes(data: bytes, kind: str) -> bytes:
    """Cut an image in half for the fault ``truncated``."""
    return data[: len(data) // 2] if kind == "truncated" else data


def _corrupt_base64(picture: Picture, kind: str) -> Picture:
    """Put invalid characters into base64 for the fault ``badbase64``."""
    if kind != "badbase64":
        return picture
    good = base64.b64encode(picture.data).decode("ascii")
    bad = f"{good[:200]}!!{good[202:-3]}"
    if picture.url is None:
        return replace(picture, b64=bad)
    return replace(picture, url=f"data:{picture.mime};base64,{bad}")


def _corrupt_payload(payload: Json, kind: str) -> bytes:
    """Encode an answer as JSON, which the fault may break."""
    if kind == "nan":
        return json.dumps(_with_nan(payload)).encode()
    body = json.dumps(payload).encode()
    if kind == "badjson":
        return body[: len(body) // 2]
    if kind == "dupkey":
        first = next(key for key in ("data", "choices", "candidates") if key in payload)
        return b'{"' + first.encode() + b'": null, ' + body[1:]
    return body


def _with_nan(value: object) -> object:
    """Replace every number by NaN, except the envelope's own code."""
    if isinstance(value, dict):
        return {key: item if key in {"code", "index"} else _with_nan(item) for key, item in value.items()} | (
            {"elapsed": float("nan")} if "images" in value and "role" not in value else {}
        )
    if isinstance(value, list):
        return [_with_nan(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float("nan")
    return value
