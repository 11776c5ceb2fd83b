"""OpenRouter: Gemini by chat, other models by its images endpoint, ``usage.cost``, numeric codes with metadata."""

from __future__ import annotations

from dataclasses import replace

from ..prices import FLEX_MODELS, MILLION, OPENROUTER_MODELS, TIER_FACTORS, gemini_rate, openrouter_bill
from ..values import Bill, Fetch, Form, Json, Order, Picture, Refusal, Reply, Trace, invalid
from . import openrouter_images
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


def read(form: Form, kind: str, fetch: Fetch) -> Order:
    """Read a request for images, or a chat with ``image_config`` and a tier of service."""
    if kind == "image":
        return openrouter_images.read(form, kind, fetch)
    order = read_chat(form, fetch, image_config=True, models=OPENROUTER_MODELS)
    tier = form.fields.get("service_tier")
    return order if tier is None else replace(order, tier=_tier(order.model, tier))


def _tier(model: str, tier: object) -> str:
    """Return a tier of service; flex is restricted to endpoints that have it, and never falls back."""
    if tier not in TIER_FACTORS and tier not in ("auto", "default"):
        raise invalid(f"Invalid service_tier {tier!r}.", "invalid_value", "service_tier")
    if tier == "flex" and model.removeprefix("google/").removesuffix("-preview") not in FLEX_MODELS:
        raise Refusal("model", "No endpoints found that support the requested service tier.")
    return str(tier) if tier in TIER_FACTORS else "standard"


def price(order: Order, images: int) -> Bill:
    """Price an image or a chat."""
    return openrouter_images.image_bill(order, images) if order.kind == "image" else openrouter_bill(order, images)


def answer(order: Order, bill: Bill, pictures: tuple[Picture, ...], trace: Trace, remark: str | None) -> Reply:
    """Answer with images, or with a completion; with its usage and its cost."""
    if order.kind == "image":
        return openrouter_images.answer(order, bill, pictures, trace, remark)
    payload = completion(order, bill, pictures, trace, remark, prefix="gen")
    payload |= {"provider": "Google AI Studio", "service_tier": order.tier if order.states_tier else None}
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
    models = [_listed(name) for name in sorted(OPENROUTER_MODELS)]
    return Reply(status=200, payload={"data": models + image_models()})


def image_models() -> list[Json]:
    """Return the models of the images endpoint, with their parameters."""
    return [openrouter_images.listed(name) for name in openrouter_images.IMAGE_MODELS]


def image_model_list(account: Account, trace: Trace) -> Reply:  # noqa: ARG001 - all endpoints have the same signature
    """List the models of the images endpoint."""
    return Reply(status=200, payload={"data": image_models()})


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
    routes={"/api/v1/chat/completions": "chat", "/api/v1/images": "image"},
    read=read,
    price=price,
    answer=answer,
    refuse=refuse,
    free_endpoints={
        "/api/v1/key": FreeEndpoint(answer=key_info),
        "/api/v1/models": FreeEndpoint(answer=model_list, needs_key=False),
        "/api/v1/images/models": FreeEndpoint(answer=image_model_list, needs_key=False),
    },
    # Zero-completion insurance: an answer without an image is not billed.
    uncharged=frozenset({"empty", "text"}),
)
