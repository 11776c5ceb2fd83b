"""Error texts of OpenAI; other providers override those that differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..values import Json, Refusal, Trace


@dataclass(frozen=True, slots=True)
class ErrorText:
    """Status, type, code and message of a cause."""

    status: int
    type: str
    code: str | None
    message: str


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

OPENAI_ERRORS: Mapping[str, ErrorText] = {
    "refuse": ErrorText(400, "image_generation_user_error", "moderation_blocked", _SAFETY),
    "throttle": ErrorText(429, "rate_limit_error", "rate_limit_exceeded", _RATE),
    "overloaded": ErrorText(
        503, "service_unavailable_error", "server_is_overloaded", "The server is overloaded. Please try again later."
    ),
    "money": ErrorText(400, _REQUEST, "billing_hard_limit_reached", "Billing hard limit has been reached."),
    "quota429": ErrorText(
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "denied": ErrorText(401, _REQUEST, "invalid_api_key", "Incorrect API key provided: ****{key_tail}."),
    "scope": ErrorText(403, _REQUEST, None, _SCOPE),
    "invalid": ErrorText(400, _REQUEST, "invalid_value", "Invalid value for one of the parameters."),
    "model": ErrorText(404, _REQUEST, "model_not_found", "The model does not exist or you do not have access to it."),
    "path": ErrorText(404, _REQUEST, "unknown_url", "Invalid URL ({path})."),
    "method": ErrorText(405, _REQUEST, "method_not_supported", "Not allowed to use this method on {path}."),
    "error500": ErrorText(
        500,
        "server_error",
        "server_error",
        "The server had an error while processing your request. Please include the request ID {request_id}.",
    ),
    "error502": ErrorText(502, "server_error", "bad_gateway", "Bad gateway."),
    "gateway-timeout": ErrorText(
        504, "server_error", "timeout", "Gateway timeout: the upstream did not answer in time."
    ),
}


def error_for(table: Mapping[str, ErrorText], refusal: Refusal, trace: Trace) -> ErrorText:
    """Return the error for a refusal, whose own message and code take precedence."""
    default = table[refusal.cause]
    message = refusal.message or default.message.format(
        request_id=trace.request_id,
        wait=go_duration(1.0 if trace.retry_after is None else trace.retry_after),
        key_tail=trace.key_tail,
        path=trace.own_path,
        quota=_quota(trace),
    )
    return ErrorText(default.status, default.type, refusal.code or default.code, message)


def retry_headers(trace: Trace) -> dict[str, str]:
    """Return Retry-After, in seconds, if the request's fault has one."""
    return {} if trace.retry_after is None else {"Retry-After": f"{trace.retry_after:g}"}


def openai_error(text: ErrorText, refusal: Refusal) -> Json:
    """Return OpenAI's error envelope."""
    error: Json = {"message": text.message, "type": text.type, "param": refusal.param, "code": text.code}
    if text.code == "moderation_blocked":
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
    """Return a limit as OpenAI states it; without numbers for a refusal on demand, which has no limit."""
    quota = trace.quota
    if quota is None or not quota.wait:
        return "input-images per min"
    period = {1.0: "sec", 60.0: "min (RPM)", 3600.0: "hour"}[quota.window]
    return f"requests per {period}: Limit {quota.limit}, Used {quota.limit - quota.remaining}, Requested 1"
