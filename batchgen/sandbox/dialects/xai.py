"""xAI: aspect ratios, JSON edits, a flat price in ticks, and errors as {code, error}.

Written from docs.x.ai (image generation and editing, models and pricing, errors).
"""

from __future__ import annotations

from decimal import Decimal

from PIL import Image

from ..checks import allow_only, checked_prompt, choice, choice_or_text, one_of_models, require, text, whole
from ..sources import from_address
from ..values import Bill, Fetch, Form, Json, Order, Picture, Refusal, Reply, Trace, invalid
from .dialect import Account, Dialect, FreeEndpoint
from .errors import OPENAI_ERRORS, ErrorText, error_for, retry_headers

TICKS = 10_000_000_000
MODELS = ("grok-imagine-image", "grok-imagine-image-2.0")
#: Pixels by ratio at 1k; 2k doubles both edges.
RATIOS = {
    "1:1": (1024, 1024),
    "3:4": (864, 1152),
    "4:3": (1152, 864),
    "9:16": (720, 1280),
    "16:9": (1280, 720),
    "2:3": (832, 1248),
    "3:2": (1248, 832),
    "9:19.5": (640, 1376),
    "19.5:9": (1376, 640),
    "9:20": (640, 1424),
    "20:9": (1424, 640),
    "1:2": (720, 1440),
    "2:1": (1440, 720),
}
#: USD of an output by quality and resolution, and of a source image.
OUTPUTS = {
    ("low", "1k"): Decimal("0.04"),
    ("medium", "1k"): Decimal("0.06"),
    ("low", "2k"): Decimal("0.06"),
    ("medium", "2k"): Decimal("0.08"),
}
SOURCE = {"grok-imagine-image-2.0": Decimal("0.01"), "grok-imagine-image": Decimal("0.002")}
FLAT = Decimal("0.02")
MOST_SOURCES = 3

_FIELDS = frozenset({"model", "prompt", "n", "aspect_ratio", "resolution", "response_format", "user"})
_INVALID = "Client specified an invalid argument"
_NO_RIGHT = "The caller does not have permission to execute the specified operation"
_EXHAUSTED = "Some resource has been exhausted"

_ERRORS = {
    **OPENAI_ERRORS,
    "refuse": ErrorText(400, "", _INVALID, "Generated image rejected by content moderation."),
    "throttle": ErrorText(429, "", _EXHAUSTED, "Too many requests for team sandbox: please retry after {wait}."),
    "money": ErrorText(
        403,
        "",
        _NO_RIGHT,
        "Your newly created team doesn't have any credits yet. You can purchase credits on https://console.x.ai.",
    ),
    "quota429": ErrorText(
        429,
        "",
        _EXHAUSTED,
        "Your team sandbox has either used all available credits or reached its monthly spending limit. To continue"
        " making API requests, please purchase more credits or raise your spending limit.",
    ),
    "denied": ErrorText(
        400,
        "",
        _INVALID,
        "Incorrect API key provided: ****{key_tail}. You can obtain an API key from https://console.x.ai.",
    ),
    "invalid": ErrorText(400, "", _INVALID, "Invalid request content."),
    "model": ErrorText(404, "", "Some requested entity was not found", "The model does not exist."),
    "path": ErrorText(404, "", "Some requested entity was not found", "No such path: {path}."),
}


def read(form: Form, kind: str, fetch: Fetch) -> Order:
    """Read a generation or an edit; both are JSON."""
    fields = form.fields
    if form.multipart:
        raise Refusal("invalid", "Expected request with `Content-Type: application/json`.")
    require(fields, ("model", "prompt"))
    model = one_of_models(text(fields, "model"), frozenset(MODELS))
    own = {"quality"} if model.endswith("2.0") else set()
    for name in fields:
        if name not in _FIELDS | own | ({"image", "images"} if kind == "edit" else set()):
            raise invalid(f"Argument not supported: {name}")
    ratio = choice(fields, "aspect_ratio", (*RATIOS, "auto"), "auto")
    resolution = choice(fields, "resolution", ("1k", "2k"), "1k")
    quality = choice(fields, "quality", ("low", "medium", "auto"), "auto")
    sources = _sources(fields, fetch) if kind == "edit" else ()
    width, height = RATIOS["1:1" if ratio == "auto" else ratio]
    scale = 2 if resolution == "2k" else 1
    return Order(
        kind=kind,
        model=model,
        prompt=checked_prompt(text(fields, "prompt")),
        width=width * scale,
        height=height * scale,
        n=whole(fields, "n", 1, 10, 1),
        quality="low" if quality == "auto" else quality,
        size=resolution,
        output_format="jpeg",
        as_url=choice(fields, "response_format", ("url", "b64_json"), "url") == "url",
        sources=sources,
    )


def _sources(fields: Json, fetch: Fetch) -> tuple[Image.Image, ...]:
    """Read ``image``, one object, or ``images``, a list of them; each has a URL and the type image_url."""
    if (fields.get("image") is None) == (fields.get("images") is None):
        raise invalid("An edit needs either image or images.")
    items = fields["images"] if fields.get("image") is None else [fields["image"]]
    if not isinstance(items, list) or not 1 <= len(items) <= MOST_SOURCES:
        raise invalid(f"images must hold 1 to {MOST_SOURCES} images.")
    for item in items:
        if not isinstance(item, dict):
            raise invalid("Each image must be an object with a url.")
        allow_only(item, frozenset({"url", "type"}))
        if choice_or_text(item, "type", "image_url") != "image_url":
            raise invalid("The type of an image must be image_url.")
    return tuple(from_address(item.get("url"), fetch, "image.url") for item in items)


def price(order: Order, images: int) -> Bill:
    """Price per image, by quality and resolution, and per source image; the answer states it in ticks."""
    each = OUTPUTS[(order.quality, order.size)] if order.model.endswith("2.0") else FLAT
    usd = each * images + SOURCE[order.model] * len(order.sources)
    return Bill(images=images, usd=usd, usage={"cost_in_usd_ticks": int(usd * TICKS)})


def answer(order: Order, bill: Bill, pictures: tuple[Picture, ...], trace: Trace, remark: str | None) -> Reply:  # noqa: ARG001
    """Answer with JPEG images and the cost."""
    data: list[Json] = [
        {**({"url": picture.url} if picture.url else {"b64_json": picture.b64}), "mime_type": "image/jpeg"}
        for picture in pictures
    ]
    payload = {"data": data, "usage": bill.usage}
    return Reply(status=200, payload=payload, headers={"x-request-id": trace.request_id})


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - all refuse functions have the same signature
    """Answer with a sentence as code, and the message as error."""
    own = Refusal(refusal.cause, refusal.message, param=refusal.param)
    found = error_for(_ERRORS, own, trace)
    payload = {"code": found.code, "error": found.message}
    headers = retry_headers(trace) if refusal.cause == "throttle" else {}
    return Reply(status=found.status, payload=payload, headers=headers)


def model_list(account: Account, trace: Trace) -> Reply:  # noqa: ARG001 - all endpoints have the same signature
    """List the image models with their aliases."""
    dated = {"grok-imagine-image": ["grok-imagine-image-2026-03-02"], "grok-imagine-image-2.0": []}
    models = [{"id": name, "object": "model", "aliases": dated[name], "owned_by": "xai"} for name in MODELS]
    return Reply(status=200, payload={"models": models})


DIALECT = Dialect(
    name="xai",
    routes={"/v1/images/generations": "generation", "/v1/images/edits": "edit"},
    read=read,
    price=price,
    answer=answer,
    refuse=refuse,
    free_endpoints={"/v1/image-generation-models": FreeEndpoint(answer=model_list)},
)
