"""The gateway whose address the user gives: four fields, all required; URL or base64; empty usage."""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

from ..checks import Rules, openai_size, read_order
from ..prices import gateway_bill
from ..values import Bill, Fetch, Form, Json, Order, Picture, Refusal, Reply, Trace
from .dialect import Dialect
from .words import OPENAI_WORDS, Words, retry_headers, words_for

FIELDS = ("model", "prompt", "size", "n")
RULES = Rules(models=frozenset({"gpt-image-2"}), fields=frozenset(FIELDS), size=openai_size, required=FIELDS)
_WORDS = {
    **OPENAI_WORDS,
    "money": Words(
        status=402, type="billing_error", code="payment_required", message="The account balance is insufficient."
    ),
}


def read(form: Form, kind: str, fetch: Fetch) -> Order:
    """Read a generation; the prompt decides whether the answer carries a URL or base64."""
    order = read_order(form, kind, RULES, fetch)
    return replace(order, as_url=crc32(order.prompt.encode()) % 2 == 0)


def answer(order: Order, bill: Bill, pictures: tuple[Picture, ...], trace: Trace, words: str | None) -> Reply:  # noqa: ARG001
    """Answer with the three documented fields of an image and an empty usage."""
    data: list[Json] = [
        {"url": picture.url or "", "b64_json": "" if picture.url else picture.b64, "revised_prompt": order.prompt}
        for picture in pictures
    ]
    return Reply(status=200, payload={"created": int(trace.now), "data": data, "usage": {}})


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - every refuse has the same shape
    """Answer with message, type and code, without a param."""
    words = words_for(_WORDS, refusal, trace)
    payload = {"error": {"message": words.message, "type": words.type, "code": words.code}}
    return Reply(status=words.status, payload=payload, headers=retry_headers(trace))


DIALECT = Dialect(
    name="gateway",
    routes={"/api/v1/images/generations": "generation"},
    read=read,
    price=gateway_bill,
    answer=answer,
    refuse=refuse,
)
