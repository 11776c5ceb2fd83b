"""Seedream at Ark: one endpoint for generations and edits, sizes as WxH or resolution, a price per image.

Written from docs.byteplus.com (ModelArk: image generation, pricing, error codes).
"""

from __future__ import annotations

import re
from decimal import Decimal

from PIL import Image

from ..checks import allow_only, checked_prompt, choice, choice_or_text, require, text
from ..sources import from_address
from ..values import Bill, Fetch, Form, Json, Order, Picture, Refusal, Reply, Trace, invalid
from .dialect import PAID_BY_PICTURE, Account, Dialect, FreeEndpoint
from .errors import OPENAI_ERRORS, ErrorText, error_for, retry_headers

#: USD per image; the names of Volcengine have a prefix of their own.
PRICES = {
    "seedream-4-5-251128": Decimal("0.04"),
    "seedream-5-0-260128": Decimal("0.035"),
    "seedream-5-0-pro-260628": Decimal("0.09"),
    "seedream-5-0-flash-260915": Decimal("0.018"),
}
RESOLUTIONS = {
    "seedream-4-5-251128": ("2K", "4K"),
    "seedream-5-0-260128": ("2K", "3K"),
    "seedream-5-0-pro-260628": ("1K", "1.5K", "2K"),
    "seedream-5-0-flash-260915": ("1K", "1.5K", "2K"),
}
#: The most and the fewest pixels of a custom size.
PIXELS = {"seedream-4-5-251128": (3_686_400, 16_777_216), "seedream-5-0-260128": (3_686_400, 10_404_496)}
MOST_SOURCES = 14
PIXELS_PER_TOKEN = 256

_PREFIX = re.compile(r"^(?:doubao|dola)-")
_WXH = re.compile(r"(\d{1,5})x(\d{1,5})")
_FIELDS = frozenset(
    [
        "model",
        "prompt",
        "image",
        "size",
        "response_format",
        "watermark",
        "stream",
        "sequential_image_generation",
        "sequential_image_generation_options",
        "optimize_prompt_options",
        "seed",
    ]
)

_ERRORS = {
    **OPENAI_ERRORS,
    "refuse": ErrorText(
        400,
        "BadRequest",
        "OutputImageSensitiveContentDetected",
        "The request failed because the output image may contain sensitive information. Request id: {request_id}",
    ),
    "throttle": ErrorText(
        429, "TooManyRequests", "ModelAccountIpmRateLimitExceeded", "The images per minute limit has been exceeded."
    ),
    "overloaded": ErrorText(429, "TooManyRequests", "ServerOverloaded", "The service is overloaded. Try again later."),
    "money": ErrorText(
        403,
        "Forbidden",
        "AccountOverdueError",
        "The request failed because your account has an overdue balance. Request id: {request_id}",
    ),
    "quota429": ErrorText(
        429,
        "TooManyRequests",
        "SetLimitExceeded",
        "Your account has reached the set inference limit for the model, and the model service has been paused.",
    ),
    "denied": ErrorText(
        401, "Unauthorized", "AuthenticationError", "The API key doesn't exist. Request id: {request_id}"
    ),
    "invalid": ErrorText(400, "BadRequest", "InvalidParameter", "A parameter specified in the request is not valid."),
    "model": ErrorText(
        404,
        "NotFound",
        "InvalidEndpointOrModel.NotFound",
        "The model or endpoint does not exist or you have no access.",
    ),
    "path": ErrorText(404, "NotFound", "NotFound", "There is no such path: {path}."),
}


def read(form: Form, kind: str, fetch: Fetch) -> Order:  # noqa: ARG001 - all read functions have the same signature
    """Read a request; with an image it is an edit."""
    fields = form.fields
    if form.multipart:
        raise invalid("The body must be JSON.")
    require(fields, ("model", "prompt"))
    model = _PREFIX.sub("", text(fields, "model"))
    if model not in PRICES:
        raise Refusal("model")
    allow_only(fields, _FIELDS | ({"output_format"} if "5-0" in model else set()))
    if fields.get("sequential_image_generation") not in (None, "disabled"):
        raise invalid("Groups of images are not simulated here.", param="sequential_image_generation")
    if not isinstance(fields.get("watermark", True), bool):
        raise invalid("watermark must be a boolean.", param="watermark")
    width, height = _size(model, choice_or_text(fields, "size", RESOLUTIONS[model][-1]))
    sources = _sources(fields, fetch)
    return Order(
        kind="edit" if sources else "generation",
        model=model,
        prompt=checked_prompt(text(fields, "prompt")),
        width=width,
        height=height,
        size=f"{width}x{height}",
        output_format=choice(fields, "output_format", ("png", "jpeg"), "jpeg"),
        as_url=choice(fields, "response_format", ("url", "b64_json"), "url") == "url",
        sources=sources,
    )


def _size(model: str, size: str) -> tuple[int, int]:
    if size in RESOLUTIONS[model]:
        edge = round(float(size[:-1]) * 1024)
        return edge, edge
    match = _WXH.fullmatch(size)
    if match is None or model not in PIXELS:
        raise invalid(f"The parameter `size` is not valid: {size}.", param="size")
    width, height = int(match[1]), int(match[2])
    fewest, most = PIXELS[model]
    if not width or not height or max(width, height) > 16 * min(width, height):
        raise invalid("The parameter `size` is not valid: its aspect ratio must be within 1/16 and 16.", param="size")
    if not fewest <= width * height <= most:
        raise invalid(f"The parameter `size` is not valid: image size must be {fewest} to {most} pixels.", param="size")
    return width, height


def _sources(fields: Json, fetch: Fetch) -> tuple[Image.Image, ...]:
    image = fields.get("image")
    images = [] if image is None else image if isinstance(image, list) else [image]
    if image == [] or len(images) > MOST_SOURCES:
        raise invalid(f"The parameter `image` must hold 1 to {MOST_SOURCES} images.", param="image")
    return tuple(from_address(each, fetch, "image") for each in images)


def price(order: Order, images: int) -> Bill:
    """Price per image; the usage counts images and the tokens of their area."""
    tokens = order.width * order.height // PIXELS_PER_TOKEN * images
    usage: Json = {"generated_images": images, "output_tokens": tokens, "total_tokens": tokens}
    return Bill(images=images, usd=PRICES[order.model] * images, usage=usage)


def answer(order: Order, bill: Bill, pictures: tuple[Picture, ...], trace: Trace, remark: str | None) -> Reply:  # noqa: ARG001
    """Answer with the images, their size, and the usage."""
    data: list[Json] = [
        {**({"url": picture.url} if picture.url else {"b64_json": picture.b64}), "size": order.size}
        for picture in pictures
    ]
    payload: Json = {"model": order.model, "created": int(trace.now), "data": data, "usage": bill.usage}
    return Reply(status=200, payload=payload, headers={"x-request-id": trace.request_id})


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - all refuse functions have the same signature
    """Answer with Ark's error envelope."""
    found = error_for(_ERRORS, Refusal(refusal.cause, refusal.message, param=refusal.param), trace)
    error = {"code": found.code, "message": found.message, "param": refusal.param or "", "type": found.type}
    headers = retry_headers(trace) if refusal.cause == "throttle" else {}
    return Reply(status=found.status, payload={"error": error}, headers=headers)


def model_list(account: Account, trace: Trace) -> Reply:  # noqa: ARG001 - all endpoints have the same signature
    """List the models."""
    data = [{"id": name, "object": "model"} for name in (*PRICES, *(f"dola-{name}" for name in PRICES))]
    return Reply(status=200, payload={"object": "list", "data": data})


DIALECT = Dialect(
    name="ark",
    routes={"/api/v3/images/generations": "image"},
    read=read,
    price=price,
    answer=answer,
    refuse=refuse,
    free_endpoints={"/api/v3/models": FreeEndpoint(answer=model_list)},
    uncharged=PAID_BY_PICTURE,
)
