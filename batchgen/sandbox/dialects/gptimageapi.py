"""gptimageapi.dev: sizes are ratios, one envelope for everything, errors also with HTTP 200."""

from __future__ import annotations

from ..checks import Rules, listed_size, read_order
from ..prices import gptimageapi_bill
from ..values import Bill, Fetch, Form, Order, Picture, Refusal, Reply, Trace
from .dialect import PAID_BY_PICTURE, Dialect
from .errors import OPENAI_ERRORS, ErrorText, error_for, retry_headers

#: Pixels by ratio: about a megapixel and a half, edges divisible by 16.
RATIOS = {
    "1:1": (1024, 1024),
    "4:3": (1360, 1024),
    "3:4": (1024, 1360),
    "16:9": (1536, 864),
    "9:16": (864, 1536),
    "21:9": (1792, 768),
    "9:21": (768, 1792),
    "2:1": (1536, 768),
    "1:2": (768, 1536),
}
RULES = Rules(
    models=frozenset({"gpt-image-2"}),
    fields=frozenset({"model", "prompt", "size", "quality", "n", "background"}),
    size=listed_size(RATIOS, "1:1"),
    qualities=("low", "medium", "high"),
    as_url=True,
)

_ERRORS = {
    **OPENAI_ERRORS,
    # These three have HTTP 200; only the envelope shows the error.
    "refuse": ErrorText(200, "", "4003", "The prompt was blocked by our content policy"),
    "invalid": ErrorText(200, "", "4000", "Invalid request"),
    "model": ErrorText(200, "", "4004", "Model not found"),
    "denied": ErrorText(401, "", "401", "Invalid API key"),
    "money": ErrorText(402, "", "402", "Insufficient credits"),
    "quota429": ErrorText(429, "", "4029", "Insufficient credits: you exceeded your current quota"),
    "throttle": ErrorText(429, "", "429", "Too many requests, please try again in {wait}"),
}


def read(form: Form, kind: str, fetch: Fetch) -> Order:
    """Read a generation; there is no documented path for edits."""
    return read_order(form, kind, RULES, fetch)


def answer(order: Order, bill: Bill, pictures: tuple[Picture, ...], trace: Trace, remark: str | None) -> Reply:  # noqa: ARG001
    """Answer with URLs in the envelope, and nothing else."""
    payload = {"code": 0, "message": "ok", "data": {"images": [{"url": picture.url} for picture in pictures]}}
    return Reply(status=200, payload=payload)


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - all refuse functions have the same signature
    """Answer with a code other than zero, a message and no data."""
    text = error_for(_ERRORS, Refusal(refusal.cause, refusal.message, param=refusal.param), trace)
    code = int(text.code) if text.code and text.code.isdigit() else text.status
    payload = {"code": code, "message": text.message, "data": None}
    return Reply(status=text.status, payload=payload, headers=retry_headers(trace))


DIALECT = Dialect(
    name="gptimageapi",
    routes={"/v1/images/generate": "generation"},
    read=read,
    price=gptimageapi_bill,
    answer=answer,
    refuse=refuse,
    url_only=True,
    uncharged=PAID_BY_PICTURE,
)
