"""Bodies of tasks: fields, sizes and source images of a model, checked against what its provider documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from PIL import Image

from ..checks import allow_only, checked_prompt, choice, require, text, whole
from ..sources import from_address
from ..values import Bill, Fetch, Json, Order, Refusal, invalid

#: Pixels of about a megapixel by aspect ratio.
RATIOS = {
    "1:1": (1024, 1024),
    "2:3": (832, 1248),
    "3:2": (1248, 832),
    "3:4": (864, 1152),
    "4:3": (1152, 864),
    "4:5": (896, 1120),
    "5:4": (1120, 896),
    "9:16": (768, 1344),
    "16:9": (1344, 768),
    "21:9": (1536, 640),
    "9:21": (640, 1536),
    "4:1": (2048, 512),
    "1:4": (512, 2048),
    "8:1": (2880, 360),
    "1:8": (360, 2880),
}
SCALES = {"512": 0.5, "0.5K": 0.5, "1K": 1.0, "2K": 2.0, "4K": 4.0}
_PAIR = re.compile(r"(\d{2,5})\s*[x*]\s*(\d{2,5})")

Size = Callable[[Json], tuple[int, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskModel:
    """What one model accepts, and its price."""

    fields: frozenset[str]
    size: Size
    usd: Decimal  #: for an image, or for its first megapixel
    more: Decimal = Decimal(0)  #: for each further megapixel that is begun
    source: Decimal = Decimal(0)  #: for each megapixel of a source image that is begun
    required: tuple[str, ...] = ("prompt",)
    sources: str = ""  #: the field of source images
    most_sources: int = 10
    count: str = ""  #: the field of the number of images
    most: int = 1
    formats: tuple[str, ...] = ("jpeg", "png")
    by_resolution: Mapping[str, str] = field(default_factory=dict)  #: USD for an image instead, by resolution
    default_resolution: str = "1K"


def find_model(models: Mapping[str, TaskModel], name: str) -> TaskModel:
    """Return a model, or refuse an unknown one."""
    model = models.get(name)
    if model is None:
        raise Refusal("model", param="model")
    return model


def read_body(name: str, model: TaskModel, fields: Json, fetch: Fetch) -> Order:
    """Turn the fields of a model into an order, or refuse them."""
    require(fields, model.required)
    allow_only(fields, model.fields)
    prompt = checked_prompt(text(fields, "prompt"))
    width, height = model.size(fields)
    sources = read_sources(model, fields, fetch)
    chosen = choice(fields, "output_format", model.formats, model.formats[0])
    return Order(
        kind="edit" if sources else "generation",
        model=name,
        prompt=prompt,
        width=width,
        height=height,
        quality=str(fields.get("resolution") or model.default_resolution).upper() if model.by_resolution else "medium",
        n=whole(fields, model.count, 1, model.most, 1) if model.count else 1,
        size=f"{width}x{height}",
        output_format="jpeg" if chosen == "jpg" else chosen,
        as_url=True,
        sources=sources,
    )


def read_sources(model: TaskModel, fields: Json, fetch: Fetch) -> tuple[Image.Image, ...]:
    """Return the source images, which are addresses or data URLs."""
    if not model.sources:
        return ()
    value = fields.get(model.sources)
    addresses = [] if value is None else value if isinstance(value, list) else [value]
    if len(addresses) > model.most_sources:
        raise invalid(f"Too many images: at most {model.most_sources}.", "array_above_max_length", model.sources)
    return tuple(from_address(item, fetch, f"{model.sources}.{place}") for place, item in enumerate(addresses))


def price_of(models: Mapping[str, TaskModel], order: Order, images: int) -> Bill:
    """Price by image and megapixel."""
    model = models[order.model]
    if model.by_resolution:
        return Bill(images=images, usd=Decimal(model.by_resolution[order.quality]) * images)
    sources = sum(_megapixels(source.width, source.height) for source in order.sources)
    further = _megapixels(order.width, order.height) - 1
    return Bill(images=images, usd=(model.usd + model.more * further + model.source * sources) * images)


def _megapixels(width: int, height: int) -> int:
    return -(-width * height // 1_048_576)


def by_ratio(*, name: str = "aspect_ratio", scale: str = "resolution", default: str = "1:1") -> Size:
    """Return the size rule of models with an aspect ratio and a resolution such as 2K."""

    def size(fields: Json) -> tuple[int, int]:
        ratio = fields.get(name)
        ratio = default if ratio in (None, "auto", "match_input_image") else ratio
        if ratio not in RATIOS:
            raise invalid(f"Invalid '{name}': expected one of {', '.join(RATIOS)}.", "invalid_value", name)
        resolution = fields.get(scale) or "1K"
        factor = SCALES.get(str(resolution).upper().replace(" MP", "K"))
        if factor is None:
            raise invalid(f"Invalid '{scale}': expected one of {', '.join(SCALES)}.", "invalid_value", scale)
        width, height = RATIOS[ratio]
        return round(width * factor), round(height * factor)

    return size


def by_edges(*, step: int = 16, least: int = 64, most: int = 2048) -> Size:
    """Return the size rule of models with ``width`` and ``height``."""

    def size(fields: Json) -> tuple[int, int]:
        width, height = (whole(fields, name, least, most, 1024) for name in ("width", "height"))
        for name, edge in (("width", width), ("height", height)):
            if edge % step:
                raise invalid(f"Input should be a multiple of {step}", "multiple_of", name)
        return width, height

    return size


def by_pair(name: str, *, least: int = 256, most: int = 4096, default: str = "1024*1024") -> Size:
    """Return the size rule of models with a text such as ``1024*1024``."""

    def size(fields: Json) -> tuple[int, int]:
        value = fields.get(name, default)
        match = _PAIR.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise invalid(f"Invalid '{name}': expected WIDTH*HEIGHT, such as {default}.", "invalid_value", name)
        width, height = int(match[1]), int(match[2])
        if not (least <= width <= most and least <= height <= most):
            raise invalid(f"Invalid '{name}': edges must be {least} to {most} pixels.", "invalid_value", name)
        return width, height

    return size
