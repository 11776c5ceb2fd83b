"""Images that are as hard to compress as generated ones."""

from __future__ import annotations

import io
import json

import pybase64
from PIL import Image


def picture(kind: str = "PNG", side: int = 1024) -> bytes:
    """Return an image file: a gradient under fine noise; as a PNG of 1024 x 1024 it has about 2.6 MB."""
    slope = Image.linear_gradient("L").resize((side, side))
    bands = [Image.blend(slope, Image.effect_noise((side, side), 34), 0.5) for _ in range(3)]
    out = io.BytesIO()
    Image.merge("RGB", bands).save(out, kind, quality=90)
    return out.getvalue()


def small_picture() -> bytes:
    """Return a PNG of about 320 bytes."""
    out = io.BytesIO()
    Image.effect_noise((16, 15), 90).save(out, "PNG")
    return out.getvalue()


def answer(side: int = 1024) -> bytes:
    """Return the JSON of an answer with one PNG in base64: about 3.5 MB at 1024 x 1024."""
    document = {
        "created": 1_760_000_000,
        "data": [{"b64_json": pybase64.b64encode(picture(side=side)).decode()}],
        "usage": {"input_tokens": 20, "output_tokens": 1056, "total_tokens": 1076},
    }
    return json.dumps(document).encode()
