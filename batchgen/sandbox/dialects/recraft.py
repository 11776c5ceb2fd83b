"""Recraft: sizes from a table, edits as imageToImage with a strength, and cost in API units.

Written from recraft.ai/docs (endpoints, appendix, pricing).
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from ..checks import allow_only, checked_prompt, choice, choice_or_text, one_of_models, require, text, whole
from ..sources import from_address, open_image
from ..values import Bill, Fetch, Form, Json, Order, Picture, Refusal, Reply, Trace, invalid
from .dialect import PAID_BY_PICTURE, Account, Dialect, FreeEndpoint
from .errors import OPENAI_ERRORS, ErrorText, error_for, retry_headers

UNITS_PER_USD = 1000
UNITS = {"recraftv4_1": 35, "recraftv4_1_pro": 210, "recraftv4": 40, "recraftv4_pro": 250}
#: Pixels by aspect ratio; the pro models double both edges.
SIZES = {
    "1:1": (1024, 1024),
    "2:1": (1536, 768),
    "1:2": (768, 1536),
    "3:2": (1280, 832),
    "2:3": (832, 1280),
    "4:3": (1216, 896),
    "3:4": (896, 1216),
    "5:4": (1152, 896),
    "4:5": (896, 1152),
    "6:10": (832, 1344),
    "14:10": (1280, 896),
    "10:14": (896, 1280),
    "16:9": (1344, 768),
    "9:16": (768, 1344),
}
MOST_CHARACTERS = 10_000
SOURCE_LIMIT = 10_000_000

_SHARED = frozenset({"model", "prompt", "n", "style", "style_id", "controls", "text_layout", "random_seed"})
_FIELDS = _SHARED | {"response_format", "size"}
_EDIT = _SHARED | {"response_format", "strength", "image_url"}

_ERRORS = {
    **OPENAI_ERRORS,
    "refuse": ErrorText(400, "", "content_policy_violation", "The prompt violates the content policy."),
    "throttle": ErrorText(429, "", "rate_limit_exceeded", "Too many requests."),
    "money": ErrorText(400, "", "not_enough_credits", "Not enough credits."),
    "denied": ErrorText(401, "", "unauthorized", "Invalid token."),
    "invalid": ErrorText(400, "", "invalid_request_parameter", "Invalid request."),
    "model": ErrorText(400, "", "model_not_found", "There is no such model."),
    "path": ErrorText(404, "", "not_found", "There is no such path."),
}


def read(form: Form, kind: str, fetch: Fetch) -> Order:
    """Read a generation, or an image to image with its strength."""
    fields = form.fields
    require(fields, ("prompt", "strength") if kind == "edit" else ("prompt",))
    allow_only(fields, _EDIT if kind == "edit" else _FIELDS)
    model = one_of_models(choice_or_text(fields, "model", "recraftv4_1"), frozenset(UNITS))
    prompt = checked_prompt(text(fields, "prompt"))
    if len(prompt) > MOST_CHARACTERS:
        raise invalid(f"prompt has more than {MOST_CHARACTERS} characters", param="prompt")
    width, height = _size(model, choice_or_text(fields, "size", "1:1"))
    order = Order(
        kind=kind,
        model=model,
        prompt=prompt,
        width=width,
        height=height,
        n=whole(fields, "n", 1, 6, 1),
        output_format="webp",
        as_url=choice(fields, "response_format", ("url", "b64_json"), "url") == "url",
    )
    return _with_source(order, form, fetch) if kind == "edit" else order


def _size(model: str, size: str) -> tuple[int, int]:
    scale = 2 if model.endswith("_pro") else 1
    sizes = {ratio: (width * scale, height * scale) for ratio, (width, height) in SIZES.items()}
    found = next((edges for ratio, edges in sizes.items() if size in (ratio, f"{edges[0]}x{edges[1]}")), None)
    if found is None:
        raise invalid(f"size {size} is not supported by {model}", param="size")
    return found


def _with_source(order: Order, form: Form, fetch: Fetch) -> Order:
    """Return the order with its source: a file, or a URL in JSON."""
    strength = _number(form.fields["strength"])
    if not 0 <= strength <= 1:
        raise invalid("strength must be in [0, 1]", param="strength")
    files = [file for file in form.files if file.name == "image"]
    if len(files) + (form.fields.get("image_url") is not None) != 1 or len(files) != len(form.files):
        raise invalid("exactly one of image and image_url is needed", param="image")
    if files and len(files[0].data) >= SOURCE_LIMIT:
        raise invalid("the image must be less than 10 MB", param="image")
    source = open_image(files[0].data, "image") if files else from_address(form.fields["image_url"], fetch, "image_url")
    scale = 2 if order.model.endswith("_pro") else 1
    edges = min(SIZES.values(), key=lambda pair: abs(pair[0] / pair[1] - source.width / source.height))
    return replace(order, width=edges[0] * scale, height=edges[1] * scale, sources=(source,))


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        raise invalid("strength must be a number", param="strength") from None


def price(order: Order, images: int) -> Bill:
    """Price in API units per image; 1,000 are one USD."""
    units = Decimal(UNITS[order.model] * images)
    return Bill(images=images, usd=units / UNITS_PER_USD, credits=units)


def answer(order: Order, bill: Bill, pictures: tuple[Picture, ...], trace: Trace, remark: str | None) -> Reply:  # noqa: ARG001
    """Answer with WebP images and the API units of the request."""
    data: list[Json] = [
        {
            "image_id": f"{trace.request_id[:8]}-{index}",
            **({"url": picture.url} if picture.url else {"b64_json": picture.b64}),
        }
        for index, picture in enumerate(pictures)
    ]
    payload = {"created": int(trace.now), "credits": int(bill.credits or 0), "data": data}
    return Reply(status=200, payload=payload)


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - all refuse functions have the same signature
    """Answer with code and message."""
    found = error_for(_ERRORS, Refusal(refusal.cause, refusal.message), trace)
    return Reply(
        status=found.status, payload={"code": found.code, "message": found.message}, headers=retry_headers(trace)
    )


def user(account: Account, trace: Trace) -> Reply:  # noqa: ARG001 - all endpoints have the same signature
    """Report the account, with its API units."""
    payload = {"id": "sandbox", "name": "Sandbox", "email": "a@b.example", "credits": int(account.left * UNITS_PER_USD)}
    return Reply(status=200, payload=payload)


DIALECT = Dialect(
    name="recraft",
    routes={"/v1/images/generations": "generation", "/v1/images/imageToImage": "edit"},
    read=read,
    price=price,
    answer=answer,
    refuse=refuse,
    free_endpoints={"/v1/users/me": FreeEndpoint(answer=user)},
    uncharged=PAID_BY_PICTURE,
)
