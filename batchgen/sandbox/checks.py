"""Checks of request fields against what a provider documents; everything else is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from PIL import Image

from .sources import json_images, uploaded_images
from .values import Fetch, Form, Json, Order, Refusal, invalid

MOST_CHARACTERS = 32_000
STANDARD_SIZES = {"1024x1024": (1024, 1024), "1536x1024": (1536, 1024), "1024x1536": (1024, 1536)}
QUALITIES = ("low", "medium", "high", "auto")
FORMATS = ("png", "jpeg", "webp")
BACKGROUNDS = ("transparent", "opaque", "auto")

SizeRule = Callable[[str, str], tuple[int, int]]  #: model, size as asked -> pixels

_WXH = re.compile(r"(\d{1,5})x(\d{1,5})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What one endpoint of a provider accepts."""

    models: frozenset[str]
    fields: frozenset[str]
    size: SizeRule
    required: tuple[str, ...] = ("model", "prompt")
    most: int = 10  #: the largest n
    qualities: tuple[str, ...] = QUALITIES
    json_edit: bool = True
    multipart_edit: bool = True
    as_url: bool = False  #: answers with a URL by default


def read_order(form: Form, kind: str, rules: Rules, fetch: Fetch) -> Order:
    """Turn a body into an order, or refuse it; the checks are in the sequence of OpenAI's own service."""
    fields = form.fields
    if kind == "edit":
        if not (rules.multipart_edit if form.multipart else rules.json_edit):
            raise invalid("Unsupported content type for image edits.", "unsupported_content_type")
    elif form.multipart:
        raise invalid("Unsupported content type: expected application/json.", "unsupported_content_type")
    require(fields, rules.required)
    model = one_of_models(text(fields, "model"), rules.models)
    allow_only(fields, rules.fields | ({"images", "mask"} if kind == "edit" and not form.multipart else frozenset()))
    prompt = checked_prompt(text(fields, "prompt"))
    size = choice_or_text(fields, "size", "")
    width, height = rules.size(model, resolution_size(fields, size))
    output_format = choice(fields, "output_format", FORMATS, "png")
    choice(fields, "moderation", ("low", "auto"), "auto")
    quality = choice(fields, "quality", qualities_of(model, rules), "medium")
    sources, mask = read_sources(form, fetch) if kind == "edit" else ((), None)
    return Order(
        kind=kind,
        model=model,
        prompt=prompt,
        width=width,
        height=height,
        n=whole(fields, "n", 1, rules.most, 1),
        quality="medium" if quality == "auto" else quality,
        size=f"{width}x{height}" if size in {"", "auto"} else size,
        output_format=output_format,
        compression=whole(fields, "output_compression", 0, 100, 100),
        transparent=wants_alpha(fields, output_format),
        as_url=choice(fields, "response_format", ("url", "b64_json"), "url" if rules.as_url else "b64_json") == "url",
        sources=sources,
        mask=mask,
    )


def read_sources(form: Form, fetch: Fetch) -> tuple[tuple[Image.Image, ...], Image.Image | None]:
    """Return the source images and the mask of an edit, in either of its two body forms."""
    return uploaded_images(form) if form.multipart else json_images(form.fields, fetch)


def require(fields: Json, names: Iterable[str]) -> None:
    """Refuse a body without a required field."""
    for name in names:
        if fields.get(name) is None:
            raise invalid(f"Missing required parameter: '{name}'.", "missing_required_parameter", name)


def allow_only(fields: Json, names: frozenset[str]) -> None:
    """Refuse fields that the provider does not know."""
    for name in fields:
        if name not in names:
            raise invalid(f"Unknown parameter: '{name}'.", "unknown_parameter", name)


def one_of_models(model: str, models: frozenset[str]) -> str:
    """Refuse an unknown model."""
    if model not in models:
        message = f"The model '{model}' does not exist or you do not have access to it."
        raise Refusal("model", message, code="model_not_found", param="model")
    return model


def checked_prompt(prompt: str) -> str:
    """Refuse an empty or an overlong prompt."""
    if not prompt.strip():
        raise invalid("Invalid 'prompt': empty string.", "empty_string", "prompt")
    if len(prompt) > MOST_CHARACTERS:
        message = f"Invalid 'prompt': string too long. Expected a maximum of {MOST_CHARACTERS} characters."
        raise invalid(message, "string_above_max_length", "prompt")
    return prompt


def text(fields: Json, name: str) -> str:
    """Return a field, which must be a string."""
    value = fields[name]
    if not isinstance(value, str):
        message = f"Invalid type for '{name}': expected a string, but got {type(value).__name__} instead."
        raise invalid(message, "invalid_type", name)
    return value


def choice_or_text(fields: Json, name: str, default: str) -> str:
    """Return an optional string."""
    return default if fields.get(name) is None else text(fields, name)


def choice(fields: Json, name: str, allowed: tuple[str, ...], default: str) -> str:
    """Return an optional string out of the allowed ones."""
    value = choice_or_text(fields, name, default)
    if value not in allowed:
        listed = ", ".join(f"'{word}'" for word in allowed)
        message = f"Invalid value: '{value}'. Supported values are: {listed}."
        raise invalid(message, "invalid_value", name)
    return value


def whole(fields: Json, name: str, low: int, high: int, default: int) -> int:
    """Return an optional whole number; multipart bodies carry it as digits."""
    value = default if fields.get(name) is None else fields[name]
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(f"Invalid type for '{name}': expected an integer.", "invalid_type", name)
    if not low <= value <= high:
        side = f"maximum value {high}" if value > high else f"minimum value {low}"
        message = f"Invalid '{name}': integer out of range. Expected {side}, but got {value} instead."
        raise invalid(message, "integer_out_of_range", name)
    return value


def wants_alpha(fields: Json, output_format: str) -> bool:
    """Return whether a transparent background is requested; JPEG has no transparency."""
    if choice(fields, "background", BACKGROUNDS, "auto") != "transparent":
        return False
    if output_format == "jpeg":
        message = "Transparent background is not supported for JPEG output format. Use png or webp."
        raise invalid(message, "invalid_value", "background")
    return True


def qualities_of(model: str, rules: Rules) -> tuple[str, ...]:
    """Return the qualities of a model; the 2.5 family has two more."""
    return (*rules.qualities, "xhigh", "max") if "gpt-image-2.5" in model else rules.qualities


def resolution_size(fields: Json, size: str) -> str:
    """Return the size of a ``resolution`` hint, unless a size is given."""
    resolutions = {"1k": "1024x1024", "2k": "2048x2048", "4k": "2880x2880"}
    hint = choice_or_text(fields, "resolution", "")
    if hint and hint.lower() not in resolutions:
        raise invalid(f"Invalid value: '{hint}'. Supported values are: 1k, 2k, 4k.", "invalid_value", "resolution")
    return resolutions[hint.lower()] if hint and size in {"", "auto"} else size


def openai_size(model: str, size: str) -> tuple[int, int]:
    """Apply OpenAI's rule: three sizes, and any size within bounds for gpt-image-2 and 2.5."""
    if size in {"", "auto"}:
        return 1024, 1024
    if size in STANDARD_SIZES:
        return STANDARD_SIZES[size]
    match = _WXH.fullmatch(size)
    free = "gpt-image-2" in model
    if match is None or not free:
        expected = "WIDTHxHEIGHT or 'auto'" if free else "'1024x1024', '1024x1536', '1536x1024' and 'auto'"
        raise invalid(f"Invalid value: '{size}'. Supported values are: {expected}.", "invalid_value", "size")
    width, height = int(match.group(1)), int(match.group(2))
    for violated, rule in (
        (width == 0 or height == 0, "both edges must be positive"),
        (width % 16 or height % 16, "both edges must be divisible by 16"),
        (max(width, height) > 3840, "the longest edge must be at most 3840 pixels"),
        (max(width, height) > 3 * min(width, height), "the aspect ratio must be between 1:3 and 3:1"),
        (not 655_360 <= width * height <= 8_294_400, "the image must have between 655360 and 8294400 pixels"),
    ):
        if violated:
            raise invalid(f"Invalid size '{size}': {rule}.", "invalid_value", "size")
    return width, height


def listed_size(sizes: Mapping[str, tuple[int, int]], default: str) -> SizeRule:
    """Return a rule that accepts only the listed sizes."""

    def rule(_model: str, size: str) -> tuple[int, int]:
        if not size:
            return sizes[default]
        if size not in sizes:
            message = f"Invalid value: '{size}'. Supported values are: {', '.join(sizes)}."
            raise invalid(message, "invalid_value", "size")
        return sizes[size]

    return rule
