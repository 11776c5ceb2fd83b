"""Corruption of good answers: orders, pictures, payloads and bytes. Pure."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

from .values import Json, Order, Picture

CLOUDFLARE_524 = """<!DOCTYPE html>
<html lang="en-US"><head><title>sandbox | 524: A timeout occurred</title></head>
<body><h1>A timeout occurred <span>Error code 524</span></h1>
<p>The origin web server timed out responding to this request.</p></body></html>
"""
HTML_200 = """<!DOCTYPE html>
<html><head><title>Just a moment...</title></head><body><p>Checking your browser before accessing.</p></body></html>
"""
TEXT_INSTEAD = "I can describe such an image, but I cannot draw it. Could you tell me more of what you want?"


def corrupt_order(order: Order, kind: str) -> Order:
    """Return the order as a faulty provider would execute it."""
    if kind == "wrongsize":
        return replace(order, width=order.width + 230, height=max(64, order.height - 230))
    if kind == "short":
        return replace(order, n=max(1, order.n - 1))
    return order


def corrupt_bytes(data: bytes, kind: str) -> bytes:
    """Cut an image in half for the fault ``truncated``."""
    return data[: len(data) // 2] if kind == "truncated" else data


def corrupt_base64(picture: Picture, kind: str) -> Picture:
    """Put invalid characters into base64 for the fault ``badbase64``."""
    if kind != "badbase64":
        return picture
    good = base64.b64encode(picture.data).decode("ascii")
    bad = f"{good[:200]}!!{good[202:-3]}"
    if picture.url is None:
        return replace(picture, b64=bad)
    return replace(picture, url=f"data:{picture.mime};base64,{bad}")


def corrupt_payload(payload: Json, kind: str) -> bytes:
    """Encode an answer as JSON, which the fault may break."""
    if kind == "nan":
        return json.dumps(_with_nan(payload)).encode()
    body = json.dumps(payload).encode()
    if kind == "badjson":
        return body[: len(body) // 2]
    if kind == "dupkey":
        first = next(key for key in ("data", "choices") if key in payload)
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
