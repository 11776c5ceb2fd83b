"""OpenRouter: Gemini by chat completions, ``usage.cost``, numeric error codes with metadata."""

from __future__ import annotations

from ..prices import MILLION, OPENROUTER_MODELS, gemini_rate, openrouter_bill
from ..values import Bill, Fetch, Form, Json, Order, Picture, Refusal, Reply, Trace
from .chat import completion, read_chat
from .dialect import Account, Dialect, FreeEndpoint
from .errors import OPENAI_ERRORS, ErrorText, error_for, retry_headers

_ERRORS = {
    **OPENAI_ERRORS,
    # This 403 is about moderation, although it looks like a refused key.
    "refuse": ErrorText(403, "permission_denied", None, "Input was flagged by the moderation of the provider."),
    "money": ErrorText(402, "payment_required", None, "Insufficient credits. Add more and retry."),
    "quota429": ErrorText(429, "rate_limit_exceeded", None, "You exceeded your current quota."),
    "denied": ErrorText(401, "authentication", None, "No auth credentials found"),
    "throttle": ErrorText(429, "rate_limit_exceeded", None, "Rate limit exceeded."),
    "overloaded": ErrorText(503, "provider_overloaded", None, "No instances available."),
    "invalid": ErrorText(400, "invalid_request", None, "Invalid request."),
    "model": ErrorText(404, "not_found", None, "No endpoints found for this model."),
    "error500": ErrorText(500, "server", None, "Internal Server Error"),
    "error502": ErrorText(502, "provider_unavailable", None, "Provider returned error"),
    "gateway-timeout": ErrorText(504, "timeout", None, "Timed out waiting for the provider."),
}


def read(form: Form, kind: str, fetch: Fetch) -> Order:  # noqa: ARG001 - all read functions have the same signature
    """Read a chat, with ``image_config``."""
    return read_chat(form, fetch, image_config=True, models=OPENROUTER_MODELS)


def answer(order: Order, bill: Bill, pictures: tuple[Picture, ...], trace: Trace, remark: str | None) -> Reply:
    """Answer with a completion, its usage and its cost."""
    payload = completion(order, bill, pictures, trace, remark, prefix="gen")
    payload["provider"] = "Google AI Studio"
    payload["choices"][0] |= {"native_finish_reason": "STOP", "logprobs": None}
    payload["choices"][0]["message"] |= {"refusal": None}
    return Reply(status=200, payload=payload)


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - all refuse functions have the same signature
    """Answer with a numeric code, a message and metadata."""
    text = error_for(_ERRORS, refusal, trace)
    metadata: Json = {"error_type": text.type}
    if refusal.cause == "refuse":
        metadata |= {"reasons": ["violence"], "flagged_input": "…", "provider_name": "Google AI Studio"}
    limits = _limits(trace) if refusal.cause == "throttle" else {}
    if limits:
        metadata["headers"] = limits
    payload = {"error": {"code": text.status, "message": text.message, "metadata": metadata}}
    return Reply(status=text.status, payload=payload, headers=limits | retry_headers(trace))


def _limits(trace: Trace) -> dict[str, str]:
    """Return the headers of OpenRouter's own rate limit, which only its refusals have."""
    if trace.quota is None or not trace.quota.wait:
        return {}
    return {
        "X-RateLimit-Limit": str(trace.quota.limit),
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(round((trace.now + trace.quota.wait) * 1000)),
    }


def key_info(account: Account, trace: Trace) -> Reply:  # noqa: ARG001 - all endpoints have the same signature
    """Report the key but not the account, whose credits only management keys may read."""
    used = float(round(account.used, 9))
    left = None if account.key_left is None else float(round(account.key_left, 9))
    data: Json = {"label": "sk-or-v1-san...box", "creator_user_id": "user_sandbox", "expires_at": None}
    data |= {"limit": None if account.cap is None else float(account.cap), "limit_remaining": left, "limit_reset": None}
    for span in ("", "_daily", "_weekly", "_monthly"):
        data |= {f"usage{span}": used, f"byok_usage{span}": 0}
    data |= dict.fromkeys(("include_byok_in_limit", "is_free_tier", "is_management_key", "is_provisioning_key"), False)
    data["rate_limit"] = {"requests": -1, "interval": "10s", "note": "This field is deprecated and safe to ignore."}
    return Reply(status=200, payload={"data": data})


def model_list(account: Account, trace: Trace) -> Reply:  # noqa: ARG001 - all endpoints have the same signature
    """List the models that make images, with prices in USD per token."""
    return Reply(status=200, payload={"data": [_listed(name) for name in sorted(OPENROUTER_MODELS)]})


def _listed(name: str) -> Json:
    rate = gemini_rate(name)
    prices = {"prompt": rate.text_in, "completion": rate.text_out, "image_output": rate.image_out}
    return {
        "id": name,
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text", "image"]},
        "pricing": {key: f"{(usd / MILLION).normalize():f}" for key, usd in prices.items()},
        "expiration_date": None,
    }


DIALECT = Dialect(
    name="openrouter",
    routes={"/api/v1/chat/completions": "chat"},
    read=read,
    price=openrouter_bill,
    answer=answer,
    refuse=refuse,
    free_endpoints={
        "/api/v1/key": FreeEndpoint(answer=key_info),
        "/api/v1/models": FreeEndpoint(answer=model_list, needs_key=False),
    },
    # Zero-completion insurance: an answer without an image is not billed.
    uncharged=frozenset({"empty", "text"}),
)
