"""gptimageapi.dev: sizes are ratios, one envelope for everything, errors also with HTTP 200."""

from __future__ import annotations

from ..checks import Rules, listed_size, read_order
from ..prices import gptimageapi_bill
from ..values import Bill, Fetch, Form, Order, Picture, Refusal, Reply, Trace
from .dialect import Dialect
from .words import OPENAI_WORDS, Words, retry_headers, words_for

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

_WORDS = {
    **OPENAI_WORDS,
    # These three come with HTTP 200, and only the envelope tells.
    "refuse": Words(status=200, type="", code="4003", message="The prompt was blocked by our content policy"),
    "invalid": Words(status=200, type="", code="4000", message="Invalid request"),
    "model": Words(status=200, type="", code="4004", message="Model not found"),
    "denied": Words(status=401, type="", code="401", message="Invalid API key"),
    "money": Words(status=402, type="", code="402", message="Insufficient credits"),
    "quota429": Words(
        status=429, type="", code="4029", message="Insufficient credits: you exceeded your current quota"
    ),
    "throttle": Words(status=429, type="", code="429", message="Too many requests, please try again in {wait}"),
}


def read(form: Form, kind: str, fetch: Fetch) -> Order:
    """Read a generation; there is no documented path for edits."""
    return read_order(form, kind, RULES, fetch)


def answer(order: Order, bill: Bill, pictures: tuple[Picture, ...], trace: Trace, words: str | None) -> Reply:  # noqa: ARG001
    """Answer with URLs in the envelope, and nothing else."""
    payload = {"code": 0, "message": "ok", "data": {"images": [{"url": picture.url} for picture in pictures]}}
    return Reply(status=200, payload=payload)


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - every refuse has the same shape
    """Answer with a code other than zero, a message and no data."""
    words = words_for(_WORDS, Refusal(refusal.cause, refusal.message, param=refusal.param), trace)
    code = int(words.code) if words.code and words.code.isdigit() else words.status
    payload = {"code": code, "message": words.message, "data": None}
    return Reply(status=words.status, payload=payload, headers=retry_headers(trace))


DIALECT = Dialect(
    name="gptimageapi",
    routes={"/v1/images/generate": "generation"},
    read=read,
    price=gptimageapi_bill,
    answer=answer,
    refuse=refuse,
    url_only=True,
)
