"""The gateway at the user's own address: four fields, all required; URL or base64; empty usage."""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

from ..checks import Rules, openai_size, read_order
from ..prices import gateway_bill
from ..values import Bill, Fetch, Form, Json, Order, Picture, Refusal, Reply, Trace
from .dialect import PAID_BY_PICTURE, Dialect
from .errors import OPENAI_ERRORS, ErrorText, error_for, retry_headers

FIELDS = ("model", "prompt", "size", "n")
RULES = Rules(models=frozenset({"gpt-image-2"}), fields=frozenset(FIELDS), size=openai_size, required=FIELDS)
_ERRORS = {
    **OPENAI_ERRORS,
    "money": ErrorText(402, "billing_error", "payment_required", "The account balance is insufficient."),
}


def read(form: Form, kind: str, fetch: Fetch) -> Order:
    """Read a generation; the prompt decides whether the answer carries a URL or base64."""
    order = read_order(form, kind, RULES, fetch)
    return replace(order, as_url=crc32(order.prompt.encode()) % 2 == 0)


def answer(order: Order, bill: Bill, pictures: tuple[Picture, ...], trace: Trace, remark: str | None) -> Reply:  # noqa: ARG001
    """Answer with the three documented fields of an image and an empty usage."""
    data: list[Json] = [
        {"url": picture.url or "", "b64_json": "" if picture.url else picture.b64, "revised_prompt": order.prompt}
        for picture in pictures
    ]
    return Reply(status=200, payload={"created": int(trace.now), "data": data, "usage": {}})


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - all refuse functions have the same signature
    """Answer with message, type and code, without a param."""
    text = error_for(_ERRORS, refusal, trace)
    payload = {"error": {"message": text.message, "type": text.type, "code": text.code}}
    return Reply(status=text.status, payload=payload, headers=retry_headers(trace))


DIALECT = Dialect(
    name="gateway",
    routes={"/api/v1/images/generations": "generation"},
    read=read,
    price=gateway_bill,
    answer=answer,
    refuse=refuse,
    uncharged=PAID_BY_PICTURE,
)
