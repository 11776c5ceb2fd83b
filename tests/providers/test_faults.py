"""Every documented error shape, and every row of the error taxonomy, against the cause it must get."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchgen.fault import Cause, Charged, Fault, ProviderError
from batchgen.providers.base import Reply
from batchgen.providers.error_mapping import fault_of, request_id
from batchgen.providers.presets import profile

from .test_dialects import GATEWAY, GEMINI, answer, request, start


def named(provider: str, status: int, body: Any = b"", **headers: str) -> Fault:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = Reply(status=status, body=raw, headers={key.replace("_", "-"): value for key, value in headers.items()})
    return fault_of(reply, profile(provider, GATEWAY if provider == "studio" else None))


def openai(
    message: str = "m", code: Any = None, kind: str | None = "invalid_request_error", **more: Any
) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


def nest(message: str, status: Any) -> dict[str, Any]:
    return {
        "message": message,
        "path": "/v1/images/generations",
        "requestId": "r",
        "statusCode": status,
        "timestamp": "2026-08-21T00:00:00Z",
    }


def router(code: int, error_type: str, message: Any = "m", **metadata: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "metadata": {"error_type": error_type, **metadata}}}


USER = "image_generation_user_error"
VERIFY = "Your organization must be verified to use the model `gpt-image-2`"
CLOUDFLARE = b"<!DOCTYPE html><html><head><title>gw | 524: A timeout occurred</title></head><body>...</body></html>"
FLAGGED = {"reasons": ["sexual"], "flagged_input": "x"}

CASES = [
    # OpenAI's error guide
    ("openai", 400, openai("Unknown parameter: 'moderation'.", "unknown_parameter"), Cause.INVALID),
    ("openai", 400, openai(code="invalid_value"), Cause.INVALID),
    ("openai", 400, openai(code="duplicate_parameter"), Cause.INVALID),
    ("openai", 400, openai(code="invalid_image_file"), Cause.INVALID),
    ("openai", 400, openai("bad"), Cause.INVALID),
    ("openai", 400, openai("Billing hard limit has been reached", "billing_hard_limit_reached"), Cause.MONEY),
    ("openai", 400, openai(code="content_policy_violation"), Cause.REFUSED),
    (
        "openai",
        400,
        openai("rejected by the safety system. safety_violations=[sexual]", "moderation_blocked", USER),
        Cause.REFUSED,
    ),
    ("openai", 400, openai("x", None, USER, moderation_details={"moderation_stage": "output"}), Cause.REFUSED),
    ("openai", 400, openai(code="invalid_input_fidelity_model", kind=USER), Cause.INVALID),
    ("openai", 401, openai("Incorrect API key provided: sk-abcdefghijkl", "invalid_api_key"), Cause.DENIED),
    ("openai", 401, openai("IP not authorized", None, "authentication_error"), Cause.DENIED),
    ("openai", 403, openai(VERIFY), Cause.DENIED),
    ("openai", 403, openai("Country, region, or territory not supported"), Cause.DENIED),
    ("openai", 404, openai("The model `x` does not exist", "model_not_found"), Cause.DENIED),
    ("openai", 429, openai("slow", "rate_limit_exceeded", "rate_limit_error"), Cause.THROTTLED),
    ("openai", 429, openai("slow", "slow_down", "input-images"), Cause.THROTTLED),
    *(
        ("openai", 429, openai("You exceeded your current quota", code, "insufficient_quota"), Cause.MONEY)
        for code in (
            "insufficient_quota",
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
        )
    ),
    ("openai", 500, openai("boom", None, "server_error"), Cause.ERROR),
    ("openai", 503, openai("busy", "server_is_overloaded", "service_unavailable_error"), Cause.THROTTLED),
    # OpenRouter: numeric codes
    ("openrouter", 429, router(429, "rate_limit_exceeded"), Cause.THROTTLED),
    ("openrouter", 503, router(503, "provider_overloaded"), Cause.THROTTLED),
    ("openrouter", 502, router(502, "provider_unavailable"), Cause.ERROR),
    ("openrouter", 504, router(504, "timeout"), Cause.ERROR),
    ("openrouter", 500, router(500, "server"), Cause.ERROR),
    ("openrouter", 524, CLOUDFLARE, Cause.UNKNOWN),
    ("openrouter", 400, router(400, "content_policy_violation"), Cause.REFUSED),
    ("openrouter", 400, router(400, "refusal"), Cause.REFUSED),
    ("openrouter", 400, router(400, "invalid_image"), Cause.INVALID),
    ("openrouter", 400, router(400, "image_too_large"), Cause.INVALID),
    ("openrouter", 400, router(400, "unsupported_image_format"), Cause.INVALID),
    ("openrouter", 400, router(400, "image_download_failed"), Cause.ERROR),
    ("openrouter", 404, router(404, "image_not_found"), Cause.INVALID),
    ("openrouter", 413, router(413, "payload_too_large"), Cause.INVALID),
    ("openrouter", 402, router(402, "payment_required"), Cause.MONEY),
    ("openrouter", 401, router(401, "authentication"), Cause.DENIED),
    ("openrouter", 403, router(403, "permission_denied"), Cause.DENIED),
    ("openrouter", 403, router(403, "permission_denied", **FLAGGED), Cause.REFUSED),
    # Google
    ("openrouter", 429, [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "m"}}], Cause.THROTTLED),
    ("openrouter", 503, {"error": {"code": 503, "status": "MODEL_CAPACITY_EXHAUSTED"}}, Cause.THROTTLED),
    # aigate (New API's codes)
    ("aigate", 403, openai("no quota", "insufficient_user_quota", "new_api_error"), Cause.MONEY),
    ("aigate", 403, openai("no quota", "pre_consume_token_quota_failed", "new_api_error"), Cause.MONEY),
    ("aigate", 503, openai("no channel", "model_not_found", "new_api_error"), Cause.DENIED),
    ("aigate", 500, openai("no channel", "get_channel_failed", "new_api_error"), Cause.DENIED),
    ("aigate", 403, openai("no", "access_denied", "new_api_error"), Cause.DENIED),
    ("aigate", 400, openai("no", "prompt_blocked", "new_api_error"), Cause.REFUSED),
    ("aigate", 400, openai("no", "sensitive_words_detected", "new_api_error"), Cause.REFUSED),
    ("aigate", 500, openai("no", "do_request_failed", "new_api_error"), Cause.ERROR),
    ("aigate", 400, openai("no", "token_concurrency_limit_reached", "new_api_error"), Cause.THROTTLED),
    ("aigate", 429, openai("m", 1302, "upstream_error"), Cause.THROTTLED),
    # aimlapi: its own envelope
    ("aimlapi", 400, nest("Body validation error!", 400), Cause.INVALID),
    ("aimlapi", 401, nest("Invalid API key", "401"), Cause.DENIED),
    ("aimlapi", 403, nest("You've run out of credits", "403"), Cause.MONEY),
    ("aimlapi", 403, nest("Forbidden", 403), Cause.DENIED),
    ("aimlapi", 404, nest("Cannot POST /v1/x", 404), Cause.DENIED),
    ("aimlapi", 429, nest("Too Many Requests", 429), Cause.THROTTLED),
    ("aimlapi", 500, nest("Internal", 500), Cause.ERROR),
    ("aimlapi", 502, nest("Bad gateway", 502), Cause.ERROR),
    ("aimlapi", 503, nest("model is under maintenance", 503), Cause.THROTTLED),
    ("aimlapi", 504, nest("Generation timeout", 504), Cause.ERROR),
    # gptimageapi: code and message at any status
    ("gptimageapi", 400, {"code": 400, "message": "bad size", "data": None}, Cause.INVALID),
    ("gptimageapi", 401, {"code": 401, "message": "bad key"}, Cause.DENIED),
    ("gptimageapi", 200, {"code": 402, "message": "pay"}, Cause.MONEY),
    ("gptimageapi", 200, {"code": 1001, "message": "Insufficient credits"}, Cause.MONEY),
    ("gptimageapi", 200, {"code": 1002, "message": "Rate limit"}, Cause.THROTTLED),
    ("gptimageapi", 200, {"code": 1003, "message": "Invalid API key"}, Cause.DENIED),
    ("gptimageapi", 200, {"code": 1004, "message": "Prompt violates our content policy"}, Cause.REFUSED),
    ("gptimageapi", 200, {"code": 4000, "message": "Invalid request"}, Cause.INVALID),
    ("gptimageapi", 200, {"code": 4004, "message": "Model not found"}, Cause.DENIED),
    ("gptimageapi", 200, {"code": "500", "message": "oops"}, Cause.ERROR),
    ("gptimageapi", 200, {"code": -1, "message": "oops"}, Cause.ERROR),
    # the generic gateway's envelope
    ("studio", 400, {"error": {"message": "error message", "type": "error_type", "code": "error_code"}}, Cause.INVALID),
    ("studio", 400, {"error": "just words"}, Cause.INVALID),
    ("studio", 422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, Cause.INVALID),
    ("studio", 400, {"error": {"error": {"message": "deep", "code": "moderation_blocked"}}}, Cause.REFUSED),
    # the taxonomy's statuses
    ("studio", 402, b"", Cause.MONEY),
    ("studio", 401, b"", Cause.DENIED),
    ("studio", 403, b"", Cause.DENIED),
    ("studio", 404, b"<html><title>404 Not Found</title>", Cause.DENIED),
    ("studio", 405, b"", Cause.DENIED),
    ("studio", 408, b"", Cause.ERROR),
    ("studio", 409, b"", Cause.ERROR),
    ("studio", 413, b"", Cause.INVALID),
    ("studio", 415, b"", Cause.INVALID),
    ("studio", 422, b"", Cause.INVALID),
    ("studio", 418, b"", Cause.INVALID),
    ("studio", 429, b"", Cause.THROTTLED),
    ("studio", 500, b"null", Cause.ERROR),
    ("studio", 501, b"", Cause.ERROR),
    ("studio", 502, b"<html>bad gateway", Cause.ERROR),
    ("studio", 503, b"", Cause.THROTTLED),
    ("studio", 504, b"", Cause.UNKNOWN),
    ("studio", 520, b"", Cause.UNKNOWN),
    ("studio", 522, b"", Cause.UNKNOWN),
    ("studio", 524, CLOUDFLARE, Cause.UNKNOWN),
    ("studio", 529, b"", Cause.THROTTLED),
    ("studio", 301, b"", Cause.DENIED),
    ("studio", 308, b"", Cause.DENIED),
    ("studio", 204, b"", Cause.UNKNOWN),
    ("studio", 202, b'{"id": "x"}', Cause.UNKNOWN),
    ("studio", 100, b"", Cause.UNKNOWN),
    ("studio", 599, b"\x00\xff", Cause.ERROR),
]


@pytest.mark.parametrize(("provider", "status", "body", "cause"), CASES)
def test_cause(provider: str, status: int, body: Any, cause: Cause) -> None:
    fault = named(provider, status, body)
    assert fault.cause is cause, fault
    assert fault.message
    assert fault.hint
    assert fault.status == status


@pytest.mark.parametrize(
    ("provider", "status", "charged"),
    [
        ("openai", 500, Charged.MAYBE),
        ("openai", 504, Charged.MAYBE),
        ("openai", 524, Charged.MAYBE),
        ("aimlapi", 500, Charged.NO),
        ("aimlapi", 504, Charged.NO),
        ("aimlapi", 524, Charged.MAYBE),
        ("openai", 429, Charged.NO),
        ("openai", 400, Charged.NO),
    ],
)
def test_charged(provider: str, status: int, charged: Charged) -> None:
    assert named(provider, status).charged is charged


def test_requested_beyond_the_limit_never_succeeds() -> None:
    words = "Rate limit reached for gpt-image-2 (for limit gpt-image) on input-images per min: Limit 5, {}"
    assert named("openai", 429, openai(words.format("Requested 10."), "rate_limit_exceeded")).cause is Cause.INVALID
    fault = named("openai", 429, openai(words.format("Used 5, Requested 1. Please try again in 12s."), "slow_down"))
    assert (fault.cause, fault.retry_after) == (Cause.THROTTLED, 12.0)
    fault = named("openai", 429, openai("Limit 30,000, Used 29,000, Requested 5,000. Please try again in 467ms."))
    assert (fault.cause, fault.retry_after) == (Cause.THROTTLED, 0.467)


def test_the_server_may_ask_for_a_retry_of_a_bad_request() -> None:
    assert named("openai", 400, openai("odd"), x_should_retry="true").cause is Cause.ERROR
    assert named("openai", 400, openai("odd", "moderation_blocked"), x_should_retry="true").cause is Cause.REFUSED


def test_message_is_the_providers_own_and_fit_to_be_shown() -> None:
    fault = named("openai", 400, openai("bad \x1b[31m size\n\u202e" + "x" * 900, "invalid_value"))
    assert fault.message.startswith("bad \\x1b[31m size \\u202ex")
    assert len(fault.message) == 500
    assert fault.code == "invalid_value"
    key = named("openai", 401, openai("Incorrect API key provided: sk-abcdefghijkl1234."))
    assert "abcdefgh" not in key.message
    assert "OPENAI_API_KEY" in key.hint
    assert "524: A timeout occurred" in named("studio", 524, CLOUDFLARE).message
    assert named("openrouter", 429, router(429, "rate_limit_exceeded")).code == "rate_limit_exceeded"
    assert "base_url" in named("studio", 302).hint
    raw = named("openrouter", 502, router(502, "provider_unavailable", "Provider returned error", raw="it broke"))
    assert raw.message == "Provider returned error it broke"


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"x-request-id": "a", "cf-ray": "b"}, "a"),
        ({"x-inference-id": "i"}, "i"),
        ({"cf-ray": "b\x1b"}, "b\\x1b"),
        ({}, None),
    ],
)
def test_request_id(headers: dict[str, str], found: str | None) -> None:
    assert request_id(headers) == found


# --- errors and refusals under HTTP 200 ---------------------------------------


def refused(provider: str, document: Any, **fields: Any) -> Fault:
    conversation, _ = start(request(provider, **fields))
    with pytest.raises(ProviderError) as caught:
        conversation.send(answer(document))
    return caught.value.fault


def choice(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": None}, **fields}]}


@pytest.mark.parametrize(
    ("document", "cause"),
    [
        (choice(finish_reason="content_filter"), Cause.REFUSED),
        *(
            (choice(finish_reason="stop", native_finish_reason=reason), Cause.REFUSED)
            for reason in (
                "SAFETY",
                "PROHIBITED_CONTENT",
                "BLOCKLIST",
                "SPII",
                "IMAGE_SAFETY",
                "IMAGE_PROHIBITED_CONTENT",
                "IMAGE_RECITATION",
                "RECITATION",
                "MODEL_ARMOR",
            )
        ),
        (choice(message={"content": None, "refusal": "I cannot draw that"}), Cause.REFUSED),
        ({"promptFeedback": {"blockReason": "JAILBREAK"}, "choices": []}, Cause.REFUSED),
        ({"promptFeedback": {"blockReason": "OTHER"}}, Cause.REFUSED),
        (choice(finish_reason="stop", native_finish_reason="NO_IMAGE"), Cause.EMPTY),
        (choice(finish_reason="stop", native_finish_reason="IMAGE_OTHER"), Cause.EMPTY),
        (choice(finish_reason="stop", message={"content": "What would you like?"}), Cause.EMPTY),
        (choice(finish_reason="stop", message={"content": "", "images": []}), Cause.EMPTY),
        (choice(finish_reason="length"), Cause.EMPTY),
        ({"choices": []}, Cause.EMPTY),
        (choice(finish_reason="error", error={"code": 502, "message": "Upstream"}), Cause.ERROR),
        (choice(error={"code": 429, "message": "slow"}), Cause.THROTTLED),
        ({"error": {"code": 402, "message": "no money"}}, Cause.MONEY),
        ({"error": {"message": "odd"}}, Cause.ERROR),
    ],
)
def test_chat_under_200(document: dict[str, Any], cause: Cause) -> None:
    assert refused("openrouter", document, model=GEMINI).cause is cause


def test_words_instead_of_a_picture_are_kept() -> None:
    fault = refused("aigate", choice(message={"content": "What would you like?"}), model=GEMINI)
    assert "What would you like?" in fault.message
    assert fault.charged is Charged.MAYBE


@pytest.mark.parametrize(
    ("provider", "document", "cause"),
    [
        ("aigate", openai("x", "moderation_blocked"), Cause.REFUSED),
        ("aimlapi", nest("You've run out of credits", "403"), Cause.MONEY),
        ("gptimageapi", {"code": 429, "message": "slow"}, Cause.THROTTLED),
        ("gptimageapi", {"code": 1, "message": "failed", "data": None}, Cause.ERROR),
        ("gptimageapi", {"code": 0, "message": "ok", "data": {"images": []}}, Cause.EMPTY),
        ("openai", [], Cause.EMPTY),
        ("openai", None, Cause.EMPTY),
    ],
)
def test_images_under_200(provider: str, document: Any, cause: Cause) -> None:
    assert refused(provider, document).cause is cause


def test_an_error_keeps_the_price_it_states() -> None:
    conversation, _ = start(request("openrouter", model=GEMINI))
    with pytest.raises(ProviderError) as caught:
        conversation.send(answer({**choice(finish_reason="content_filter"), "usage": {"cost": 0.01}}))
    assert caught.value.usage is not None
    assert caught.value.usage.usd == 10_000_000
