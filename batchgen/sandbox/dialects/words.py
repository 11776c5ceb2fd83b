"""How OpenAI words its errors; other providers change what they word differently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..values import Json, Refusal, Trace


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """Status, type, code and message of one cause."""

    status: int
    type: str
    code: str | None
    message: str


def _words(status: int, type_: str, code: str | None, message: str) -> Words:
    return Words(status=status, type=type_, code=code, message=message)


_REQUEST = "invalid_request_error"
_SAFETY = (
    "Your request was rejected by the safety system. If you believe this is an error, contact support and include the "
    "request ID {request_id}. safety_violations=[violence]."
)
_RATE = (
    "Rate limit reached for gpt-image-2 (for limit gpt-image) in organization org-sandbox on {quota}. Please try again "
    "in {wait}."
)

_SCOPE = (
    "You have insufficient permissions for this operation. Missing scopes: api.model.read. Check that you have the "
    "correct role in your organization, and if you're using a restricted API key, that it has the necessary scopes."
)

OPENAI_WORDS: Mapping[str, Words] = {
    "refuse": _words(400, "image_generation_user_error", "moderation_blocked", _SAFETY),
    "throttle": _words(429, "rate_limit_error", "rate_limit_exceeded", _RATE),
    "overloaded": _words(
        503, "service_unavailable_error", "server_is_overloaded", "The server is overloaded. Please try again later."
    ),
    "money": _words(400, _REQUEST, "billing_hard_limit_reached", "Billing hard limit has been reached."),
    "quota429": _words(
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "denied": _words(401, _REQUEST, "invalid_api_key", "Incorrect API key provided: ****{key_tail}."),
    "scope": _words(403, _REQUEST, None, _SCOPE),
    "invalid": _words(400, _REQUEST, "invalid_value", "Invalid value for one of the parameters."),
    "model": _words(404, _REQUEST, "model_not_found", "The model does not exist or you do not have access to it."),
    "path": _words(404, _REQUEST, "unknown_url", "Invalid URL ({path})."),
    "method": _words(405, _REQUEST, "method_not_supported", "Not allowed to use this method on {path}."),
    "error500": _words(
        500,
        "server_error",
        "server_error",
        "The server had an error while processing your request. Please include the request ID {request_id}.",
    ),
    "error502": _words(502, "server_error", "bad_gateway", "Bad gateway."),
    "gateway-timeout": _words(504, "server_error", "timeout", "Gateway timeout: the upstream did not answer in time."),
}


def words_for(table: Mapping[str, Words], refusal: Refusal, trace: Trace) -> Words:
    """Return the words for a refusal; what the refusal itself says comes first."""
    found = table[refusal.cause]
    message = refusal.message or found.message.format(
        request_id=trace.request_id,
        wait=go_duration(1.0 if trace.retry_after is None else trace.retry_after),
        key_tail=trace.key_tail,
        path=trace.own_path,
        quota=_quota(trace),
    )
    return _words(found.status, found.type, refusal.code or found.code, message)


def retry_headers(trace: Trace) -> dict[str, str]:
    """Return Retry-After, in seconds, where one is to be sent."""
    return {} if trace.retry_after is None else {"Retry-After": f"{trace.retry_after:g}"}


def openai_error(words: Words, refusal: Refusal) -> Json:
    """Return OpenAI's error envelope."""
    error: Json = {"message": words.message, "type": words.type, "param": refusal.param, "code": words.code}
    if words.code == "moderation_blocked":
        error["moderation_details"] = {"moderation_stage": "input", "categories": ["violence"]}
    return {"error": error}


def go_duration(seconds: float) -> str:
    """Return a duration as Go writes it: 467ms, 12s, 6m0s."""
    seconds = round(seconds, 3)
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    return (f"{minutes:.0f}m" if minutes else "") + f"{round(rest, 3):g}s"


def _quota(trace: Trace) -> str:
    """Return a limit in OpenAI's words; without numbers where a refusal was ordered and no limit is there."""
    quota = trace.quota
    if quota is None or not quota.wait:
        return "input-images per min"
    period = {1.0: "sec", 60.0: "min (RPM)", 3600.0: "hour"}[quota.window]
    return f"requests per {period}: Limit {quota.limit}, Used {quota.limit - quota.remaining}, Requested 1"
