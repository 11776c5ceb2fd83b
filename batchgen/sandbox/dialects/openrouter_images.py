"""OpenRouter's images endpoint: parameters by model, unsupported ones refused, and the exact cost in the usage.

By OpenRouter's guide to image generation and its SDK 1.3.84. Prices per image are the sandbox's own, but for Seedream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from PIL import Image

from ..checks import allow_only, checked_prompt, choice, one_of_models, require, text, whole
from ..sources import from_address
from ..values import Bill, Fetch, Form, Json, Order, Picture, Reply, Trace, invalid
from .chat import RATIOS

_ENUMS = {
    "quality": ("auto", "low", "medium", "high"),
    "background": ("auto", "transparent", "opaque"),
    "output_format": ("png", "jpeg", "webp"),
}
_SCALES = {"1K": 1, "2K": 2, "4K": 4}
_OTHER = frozenset(("model", "prompt", "size", "provider", "user", "session_id", "stream", "trace"))


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageModel:
    """What one model takes, and its price."""

    usd: Decimal  #: per image; at 2K and 4K as well
    parameters: frozenset[str]
    images: int  #: the largest n
    references: int  #: the most source images

    def descriptors(self) -> Json:
        """Return the typed descriptors of the parameters, as the list of models has them."""
        described: Json = {"input_references": {"type": "range", "min": 0, "max": self.references}}
        enums: Mapping[str, tuple[str, ...]] = {**_ENUMS, "aspect_ratio": tuple(RATIOS), "resolution": tuple(_SCALES)}
        described |= {name: {"type": "enum", "values": list(enums[name])} for name in self.parameters & enums.keys()}
        described |= {name: {"type": "boolean"} for name in self.parameters & {"seed"}}
        described["n"] = {"type": "range", "min": 1, "max": self.images}
        return described


_AREA = frozenset(("aspect_ratio", "resolution"))
IMAGE_MODELS: Mapping[str, ImageModel] = {
    "openai/gpt-image-2": ImageModel(
        usd=Decimal("0.053"), parameters=frozenset((*_ENUMS, "output_compression")), images=10, references=16
    ),
    "bytedance-seed/seedream-4.5": ImageModel(
        usd=Decimal("0.04"), parameters=_AREA | {"seed"}, images=1, references=10
    ),
    "black-forest-labs/flux.2-pro": ImageModel(
        usd=Decimal("0.03"), parameters=_AREA | {"seed", "output_format"}, images=1, references=8
    ),
    "recraft/recraft-v4.1": ImageModel(
        usd=Decimal("0.04"), parameters=frozenset({"aspect_ratio"}), images=1, references=1
    ),
}


def read(form: Form, kind: str, fetch: Fetch) -> Order:
    """Read a request; a parameter that the model does not support is refused."""
    fields = form.fields
    if form.multipart:
        raise invalid("Unsupported content type: expected application/json.", "unsupported_content_type")
    require(fields, ("model", "prompt"))
    name = one_of_models(text(fields, "model"), frozenset(IMAGE_MODELS))
    model = IMAGE_MODELS[name]
    allow_only(fields, _OTHER | model.parameters | {"n", "input_references"})
    for parameter, words in _ENUMS.items():
        choice(fields, parameter, words, words[0])
    n = whole(fields, "n", 1, model.images, 1)
    references = fields.get("input_references", [])
    if not isinstance(references, list) or len(references) > model.references:
        raise invalid(f"input_references: at most {model.references} for {name}.", "invalid_value", "input_references")
    width, height, ratio = _size(fields)
    quality = fields.get("quality", "auto")
    return Order(
        kind=kind,
        model=name,
        prompt=checked_prompt(text(fields, "prompt")),
        width=width,
        height=height,
        n=n,
        quality="medium" if quality == "auto" else quality,
        size=ratio,
        output_format=fields.get("output_format", "png"),
        transparent=fields.get("background") == "transparent",
        sources=tuple(_source(item, fetch) for item in references),
    )


def _source(item: object, fetch: Fetch) -> Image.Image:
    match item:
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            return from_address(url, fetch, "input_references")
        case _:
            raise invalid("Invalid 'input_references': expected image_url parts.", "invalid_type", "input_references")


def _size(fields: Json) -> tuple[int, int, str]:
    """Return width, height and ratio; explicit pixels exclude a ratio and a resolution."""
    ratio, resolution, size = (fields.get(name) for name in ("aspect_ratio", "resolution", "size"))
    if isinstance(size, str) and "x" in size:
        if ratio is not None or resolution is not None:
            raise invalid("size conflicts with aspect_ratio or resolution.", "invalid_value", "size")
        width, _, height = size.partition("x")
        if not (width.isdigit() and height.isdigit()):
            raise invalid(f"Invalid size {size!r}.", "invalid_value", "size")
        return int(width), int(height), size
    resolution = resolution or size or "1K"
    if (ratio or "1:1") not in RATIOS or resolution not in _SCALES:
        raise invalid(f"Invalid aspect_ratio {ratio!r} or resolution {resolution!r}.", "invalid_value", "aspect_ratio")
    edges, scale = RATIOS[ratio or "1:1"], _SCALES[resolution]
    return edges[0] * scale, edges[1] * scale, ratio or "1:1"


def image_bill(order: Order, images: int) -> Bill:
    """Price per image; the usage states it exactly."""
    usd = IMAGE_MODELS[order.model].usd * images
    usage: Json = {
        "prompt_tokens": 0,
        "completion_tokens": 4175 * images,
        "total_tokens": 4175 * images,
        "cost": float(usd),
        "is_byok": False,
    }
    return Bill(images=images, usd=usd, usage=usage)


def answer(order: Order, bill: Bill, pictures: tuple[Picture, ...], trace: Trace, remark: str | None) -> Reply:
    """Answer with base64, or with an address where the fault wants one."""
    del order, remark
    data = [
        {"b64_json": each.b64, "media_type": each.mime} if each.b64 else {"url": each.url, "media_type": each.mime}
        for each in pictures
    ]
    return Reply(status=200, payload={"created": int(trace.now), "data": data, "usage": bill.usage})


def listed(name: str) -> Json:
    """Return a model as the list of image models has it."""
    return {
        "id": name,
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["image"]},
        "supported_parameters": IMAGE_MODELS[name].descriptors(),
        "supports_streaming": name.startswith("openai/"),
        "endpoints": f"/api/v1/images/models/{name}/endpoints",
    }
