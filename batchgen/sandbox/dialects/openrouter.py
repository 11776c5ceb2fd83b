"""OpenRouter: Gemini by chat completions, ``usage.cost``, numeric error codes with metadata."""

from __future__ import annotations

from ..prices import GEMINI_MODELS, openrouter_bill
from ..values import Bill, Fetch, Form, Json, Order, Picture, Refusal, Reply, Trace
from .chat import completion, read_chat
from .dialect import Dialect, Purse, Question
from .words import OPENAI_WORDS, Words, retry_headers, words_for

_WORDS = {
    **OPENAI_WORDS,
    # A moderation 403: not a matter of the key, although it looks like one.
    "refuse": Words(
        status=403, type="permission_denied", code=None, message="Input was flagged by the moderation of the provider."
    ),
    "money": Words(status=402, type="payment_required", code=None, message="Insufficient credits. Add more and retry."),
    "quota429": Words(status=429, type="rate_limit_exceeded", code=None, message="You exceeded your current quota."),
    "denied": Words(status=401, type="authentication", code=None, message="No auth credentials found"),
    "throttle": Words(status=429, type="rate_limit_exceeded", code=None, message="Rate limit exceeded."),
    "overloaded": Words(status=503, type="provider_overloaded", code=None, message="No instances available."),
    "invalid": Words(status=400, type="invalid_request", code=None, message="Invalid request."),
    "model": Words(status=404, type="not_found", code=None, message="No endpoints found for this model."),
    "error500": Words(status=500, type="server", code=None, message="Internal Server Error"),
    "error502": Words(status=502, type="provider_unavailable", code=None, message="Provider returned error"),
    "gateway-timeout": Words(status=504, type="timeout", code=None, message="Timed out waiting for the provider."),
}


def read(form: Form, kind: str, fetch: Fetch) -> Order:  # noqa: ARG001 - every read has the same shape
    """Read a chat, with ``image_config``."""
    return read_chat(form, fetch, image_config=True)


def answer(order: Order, bill: Bill, pictures: tuple[Picture, ...], trace: Trace, words: str | None) -> Reply:
    """Answer with a completion, its usage and its cost."""
    payload = completion(order, bill, pictures, trace, words, prefix="gen")
    payload["provider"] = "Google AI Studio"
    payload["choices"][0] |= {"native_finish_reason": "STOP", "logprobs": None}
    payload["choices"][0]["message"] |= {"refusal": None}
    return Reply(status=200, payload=payload)


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - every refuse has the same shape
    """Answer with a numeric code, a message and metadata."""
    words = words_for(_WORDS, refusal, trace)
    metadata: Json = {"error_type": words.type}
    if refusal.cause == "refuse":
        metadata |= {"reasons": ["violence"], "flagged_input": "…", "provider_name": "Google AI Studio"}
    limits = _limits(trace) if refusal.cause == "throttle" else {}
    if limits:
        metadata["headers"] = limits
    payload = {"error": {"code": words.status, "message": words.message, "metadata": metadata}}
    return Reply(status=words.status, payload=payload, headers=limits | retry_headers(trace))


def _limits(trace: Trace) -> dict[str, str]:
    """Return the headers that come with a refusal of OpenRouter's own, and with nothing else."""
    if trace.quota is None or not trace.quota.wait:
        return {}
    return {
        "X-RateLimit-Limit": str(trace.quota.limit),
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(round((trace.now + trace.quota.wait) * 1000)),
    }


def key_info(purse: Purse, trace: Trace) -> Reply:  # noqa: ARG001 - every question is told in the same shape
    """Tell about the key, and nothing about the account: its credits are for management keys."""
    used = float(round(purse.used, 9))
    left = None if purse.key_left is None else float(round(purse.key_left, 9))
    data: Json = {"label": "sk-or-v1-san...box", "creator_user_id": "user_sandbox", "expires_at": None}
    data |= {"limit": None if purse.cap is None else float(purse.cap), "limit_remaining": left, "limit_reset": None}
    for span in ("", "_daily", "_weekly", "_monthly"):
        data |= {f"usage{span}": used, f"byok_usage{span}": 0}
    data |= dict.fromkeys(("include_byok_in_limit", "is_free_tier", "is_management_key", "is_provisioning_key"), False)
    data["rate_limit"] = {"requests": -1, "interval": "10s", "note": "This field is deprecated and safe to ignore."}
    return Reply(status=200, payload={"data": data})


def catalogue(purse: Purse, trace: Trace) -> Reply:  # noqa: ARG001 - every question is told in the same shape
    """List the models that make images."""
    shape = {"input_modalities": ["text", "image"], "output_modalities": ["text", "image"]}
    return Reply(status=200, payload={"data": [{"id": name, "architecture": shape} for name in sorted(GEMINI_MODELS)]})


DIALECT = Dialect(
    name="openrouter",
    routes={"/api/v1/chat/completions": "chat"},
    read=read,
    price=openrouter_bill,
    answer=answer,
    refuse=refuse,
    questions={"/api/v1/key": Question(tell=key_info), "/api/v1/models": Question(tell=catalogue, keyed=False)},
    # Zero-completion insurance: an answer without an image is not billed.
    free=frozenset({"empty", "text"}),
)
