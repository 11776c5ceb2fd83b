"""aimlapi: three sizes, result URLs, multipart edits only, cost in ``meta.usage``, its own error envelope."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

from ..checks import STANDARD_SIZES, Rules, listed_size, read_order
from ..prices import aimlapi_bill
from ..values import Bill, Fetch, Form, Json, Order, Picture, Refusal, Reply, Trace, invalid
from .dialect import Account, Dialect, FreeEndpoint
from .errors import OPENAI_ERRORS, ErrorText, error_for, retry_headers
from .openai import COMMON

GENERATION = Rules(
    models=frozenset({"openai/gpt-image-2"}),
    fields=COMMON | {"moderation", "response_format"},
    size=listed_size(STANDARD_SIZES, "1024x1024"),
    most=1,
    qualities=("low", "medium", "high"),
    as_url=True,
)
EDIT = replace(GENERATION, fields=COMMON | {"response_format"}, most=10, json_edit=False)
_CLIENT_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

_ERRORS = {
    **OPENAI_ERRORS,
    "throttle": ErrorText(429, "", None, "Too many requests. Slow down and try again."),
    "money": ErrorText(
        403, "", None, "You've run out of credits. Please top up your balance or update your payment method."
    ),
    "denied": ErrorText(401, "", None, "Invalid API key."),
    "invalid": ErrorText(400, "", None, "Body validation error!"),
    "model": ErrorText(404, "", None, "Model not found."),
    "path": ErrorText(404, "", None, "Cannot POST {path}"),
    "overloaded": ErrorText(503, "", None, "The model is under maintenance. Please try again later."),
    "error500": ErrorText(500, "", None, "Internal server error"),
    "gateway-timeout": ErrorText(504, "", None, "Generation timeout"),
}


def read(form: Form, kind: str, fetch: Fetch) -> Order:
    """Read a generation (JSON) or an edit (files)."""
    order = read_order(form, kind, GENERATION if kind == "generation" else EDIT, fetch)
    if kind == "generation" and form.fields.get("n") not in (None, 1):
        raise invalid("Invalid 'n': supported values are: 1.", param="n")
    return order


def answer(order: Order, bill: Bill, pictures: tuple[Picture, ...], trace: Trace, remark: str | None) -> Reply:  # noqa: ARG001
    """Answer with URLs or base64, and null for the rest; a third of the generations have status 201."""
    data: list[Json] = [{"b64_json": None if picture.url else picture.b64, "url": picture.url} for picture in pictures]
    payload: Json = {"data": data, "meta": {"usage": bill.usage}}
    if order.kind == "edit":
        nulls: Json = dict.fromkeys(("created", "background", "output_format", "quality", "size", "usage"))
        payload = {**nulls, "data": [{**item, "revised_prompt": None} for item in data], "meta": {"usage": bill.usage}}
    headers = _headers(trace)
    headers |= {
        "x-aimlapi-credits-used": str(bill.usage.get("credits_used", 0)),
        "x-aimlapi-usd-spent": str(bill.usage.get("usd_spent", 0)),
    }
    created = order.kind == "generation" and sum(order.prompt.encode()) % 3 == 0
    return Reply(status=201 if created else 200, payload=payload, headers=headers)


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - all refuse functions have the same signature
    """Answer with message, path, requestId, statusCode and timestamp; the code may be a string."""
    text = error_for(_ERRORS, refusal, trace)
    message = text.message
    if refusal.cause == "invalid" and refusal.message:
        message = f"Body validation error! {refusal.message}"
    payload: Json = {
        "message": message,
        "path": trace.own_path,
        "requestId": trace.request_id,
        "statusCode": str(text.status) if trace.serial % 2 else text.status,
        "timestamp": datetime.fromtimestamp(trace.now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    return Reply(status=text.status, payload=payload, headers=_headers(trace) | retry_headers(trace))


def billing(account: Account, trace: Trace) -> Reply:
    """Report the account's balance in USD."""
    payload: Json = {"current_balance": float(round(account.left, 7)), "currency": "USD"}
    return Reply(status=200, payload=payload, headers=_headers(trace))


def model_list(account: Account, trace: Trace) -> Reply:  # noqa: ARG001 - all endpoints have the same signature
    """List the models with their aliases."""
    image: Json = {"id": "openai/gpt-image-2", "aliases": ["gpt-image-2"], "type": "image", "tags": []}
    image["info"] = {"name": "GPT Image 2", "developer": "Open AI"}
    voice: Json = {"id": "deepgram/aura-2", "aliases": None, "type": "tts", "tags": []}
    voice["info"] = {"name": "Aura 2", "developer": "Deepgram"}
    return Reply(status=200, payload={"object": "list", "data": [image, voice]}, headers=_headers(trace))


def _headers(trace: Trace) -> dict[str, str]:
    headers = {"x-request-id": trace.request_id, "x-inference-id": f"inf-{trace.request_id}"}
    if trace.client_id and _CLIENT_ID.fullmatch(trace.client_id):
        headers["x-client-request-id"] = trace.client_id
    return headers


DIALECT = Dialect(
    name="aimlapi",
    routes={"/v1/images/generations": "generation", "/v1/images/edits": "edit"},
    read=read,
    price=aimlapi_bill,
    answer=answer,
    refuse=refuse,
    free_endpoints={
        "/v2/billing": FreeEndpoint(answer=billing),
        "/v1/models": FreeEndpoint(answer=model_list, needs_key=False),
    },
    # "failed requests are never charged": an answer that reports a failure costs nothing.
    uncharged=frozenset({"gateway-timeout", "empty", "text"}),
    states_wait=False,
)
