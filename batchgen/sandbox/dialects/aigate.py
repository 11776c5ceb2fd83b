"""aigate: OpenAI's image endpoints for GPT models, chat completions for Gemini, usage without details."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from ..checks import Rules, openai_size, read_order
from ..prices import GEMINI_MODELS, aigate_bill
from ..values import Bill, Fetch, Form, Json, Order, Picture, Refusal, Reply, Trace, invalid
from .chat import blocked, completion, read_chat
from .dialect import Account, Dialect, FreeEndpoint
from .errors import OPENAI_ERRORS, ErrorText, error_for, openai_error, retry_headers
from .openai import COMMON, SDK_EXTRAS

MODELS = frozenset({"openai/gpt-image-2"})
RULES = Rules(models=MODELS, fields=COMMON | SDK_EXTRAS | {"moderation", "resolution"}, size=openai_size)

#: The gateway's own errors, worded like the software that it is built on; the others come from upstream.
_ERRORS = {
    **OPENAI_ERRORS,
    "money": ErrorText(
        403, "new_api_error", "insufficient_user_quota", "user quota is not enough, remaining quota: $0.000000"
    ),
    "denied": ErrorText(401, "new_api_error", "", "Invalid token ****{key_tail}"),
    "model": ErrorText(404, "new_api_error", "model_not_found", "No such model."),
    "error500": ErrorText(500, "new_api_error", "do_request_failed", "upstream error: do request failed"),
    "error502": ErrorText(502, "openai_error", "bad_response_status_code", "bad response status code 502"),
    "gateway-timeout": ErrorText(504, "openai_error", "bad_response_status_code", "bad response status code 504"),
}


def read(form: Form, kind: str, fetch: Fetch) -> Order:
    """Read an image request for a GPT model, or a chat for a Gemini model; each has its own endpoint."""
    if kind == "chat":
        return read_chat(form, fetch, image_config=False)
    model = form.fields.get("model")
    if isinstance(model, str) and model in GEMINI_MODELS:
        message = f"The model '{model}' is a chat model: use /v1/chat/completions with modalities."
        raise invalid(message, "unsupported_model", "model")
    if form.fields.get("stream") in (True, "true"):
        raise invalid("Streaming is not simulated here.", "unsupported_value", "stream")
    return read_order(form, kind, RULES, fetch)


def answer(order: Order, bill: Bill, pictures: tuple[Picture, ...], trace: Trace, remark: str | None) -> Reply:
    """Answer with base64 and plain usage, or with a completion without usage."""
    if order.kind == "chat":
        payload = completion(order, replace(bill, usage={}), pictures, trace, remark, prefix="gate")
    else:
        payload = {
            "created": int(trace.now),
            "data": [{"url": picture.url} if picture.url else {"b64_json": picture.b64} for picture in pictures],
            "usage": bill.usage,
        }
    return Reply(status=200, payload=payload, headers=_headers(trace))


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:
    """Answer with OpenAI's envelope and the request id at the end of the message."""
    if kind == "chat" and refusal.cause == "refuse":
        return Reply(status=200, payload=blocked(trace, "gate"), headers=_headers(trace))
    text = error_for(_ERRORS, refusal, trace)
    text = replace(text, message=f"{text.message} (request id: {trace.request_id})")
    return Reply(
        status=text.status, payload=openai_error(text, refusal), headers=_headers(trace) | retry_headers(trace)
    )


def balance(account: Account, trace: Trace) -> Reply:
    """Report the balance of account and key; 500,000 units are a dollar."""
    free = account.cap is None
    used, key_left = min(account.total, account.used), account.key_left or Decimal(0)
    key_total = Decimal(0) if free else key_left + used
    token = {"id": 1, "name": "sandbox", **_amounts("remaining", key_left, used, key_total)}
    token |= {"unlimited_quota": free, "model_limits_enabled": False, "model_limits": {}, "expires_at": 0}
    payload: Json = {"object": "balance", "currency": "USD", **_amounts("balance", account.left, used, account.total)}
    return Reply(status=200, payload=payload | {"token": token}, headers=_headers(trace))


def _amounts(name: str, left: Decimal, used: Decimal, total: Decimal) -> Json:
    amounts = {name: left, "used": used, "total": total}
    dollars: Json = {key: float(round(amount, 6)) for key, amount in amounts.items()}
    return dollars | {f"{key}_quota": round(amount * 500_000) for key, amount in amounts.items()}


def model_list(account: Account, trace: Trace) -> Reply:  # noqa: ARG001 - all endpoints have the same signature
    """List the models."""
    names = sorted(MODELS | GEMINI_MODELS)
    data = [{"id": name, "object": "model", "owned_by": name.split("/")[0]} for name in names]
    return Reply(status=200, payload={"object": "list", "data": data}, headers=_headers(trace))


def _headers(trace: Trace) -> dict[str, str]:
    return {"X-Oneapi-Request-Id": trace.request_id}


DIALECT = Dialect(
    name="aigate",
    routes={"/v1/images/generations": "generation", "/v1/images/edits": "edit", "/v1/chat/completions": "chat"},
    read=read,
    price=aigate_bill,
    answer=answer,
    refuse=refuse,
    free_endpoints={
        "/v1/balance": FreeEndpoint(answer=balance),
        "/v1/models": FreeEndpoint(answer=model_list, needs_key=False),
    },
)
