"""Errors with misleading texts or forms, none of them charged."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from ..values import Json, Package
from .shape import Draft, Shape

_FIREWALL = """<!DOCTYPE html>
<html><head><title>Attention Required! | Cloudflare</title></head>
<body><h1>Sorry, you have been blocked</h1><p>This website is using a security service. Ray ID: 8f1</p></body></html>
"""
_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. Quota exceeded for metric: "
    "generate_requests_per_model, limit: 10. Please retry in {:g}s."
)


def _answer(status: int, payload: Json, headers: Mapping[str, str] | None = None) -> Package:
    return Package(status=status, headers=headers or {}, body=json.dumps(payload).encode())


def _error(status: int, template: str, type_: str, **fields: str) -> Callable[[Draft], Package]:
    """Return a function that answers with an error; ``{prompt}`` and ``{model}`` are those of the order."""

    def refuse(draft: Draft) -> Package:
        message = template.format(prompt=draft.order.prompt, model=draft.order.model)
        return _answer(status, {"error": {"message": message, "type": type_, "code": None, **fields}})

    return refuse


def _echo_422(draft: Draft) -> Package:
    message = "String should have at most 10 characters"
    error = {"type": "string_too_long", "loc": ["body", "prompt"], "msg": message, "input": draft.order.prompt}
    return _answer(422, {"detail": [error]})


def _quota_per_minute(draft: Draft) -> Package:
    violation = {"quotaId": "GenerateRequestsPerMinutePerProjectPerModel", "quotaValue": "10"}
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{draft.amount:g}s"},
    ]
    message = _QUOTA.format(draft.amount)
    return _answer(
        429, {"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details}}
    )


def _in_200(about: str, payload: Json) -> Shape:
    return Shape(about, refusal=lambda _: _answer(200, payload))


_TOP_UP = "Insufficient credits, please top up"

_INVALID = "invalid_request_error"
_ECHO = "Invalid value for 'prompt': {prompt!r} is not allowed here."
_MISSING = "The model '{model}' does not exist or you do not have access to it."
_NO_ACCESS = "Your project does not have access to model '{model}'."

ERRORS = {
    "echo-400": Shape("400 that repeats the prompt", refusal=_error(400, _ECHO, _INVALID, param="prompt")),
    "echo-422": Shape("422 that repeats the prompt", refusal=_echo_422),
    "echo-403": Shape("403 that repeats the prompt", refusal=_error(403, "Request blocked: {prompt}", "forbidden")),
    "quota-per-minute": Shape("429 about a quota a minute, SECONDS to wait", amount=1.0, refusal=_quota_per_minute),
    "throttle-silent": Shape("429 without a wait", refusal=_error(429, "Too many requests", "rate_limit_error")),
    "firewall": Shape(
        "403 with the page of a firewall",
        refusal=lambda _: Package(status=403, headers={}, body=_FIREWALL.encode(), mime="text/html"),
    ),
    "model-missing": Shape("404 about the model", refusal=_error(404, _MISSING, _INVALID, code="model_not_found")),
    "model-denied": Shape("403 about the model", refusal=_error(403, _NO_ACCESS, _INVALID, code="model_not_found")),
}
ERRORS_IN_200 = {
    "error200-success": _in_200("success: false, out of money", {"success": False, "message": _TOP_UP, "code": 402}),
    "error200-status": _in_200(
        "status: error, out of money",
        {"status": "error", "error": {"message": _TOP_UP, "code": "insufficient_credits"}},
    ),
    "error200-code": _in_200("code 402 and no data, out of money", {"code": 402, "msg": _TOP_UP, "data": None}),
    "error200-throttle": _in_200(
        "code 429 and no data", {"code": 429, "msg": "upstream busy, try again later", "data": None}
    ),
    "error200-overloaded": _in_200("status: error, overloaded", {"status": "error", "message": "model overloaded"}),
    "error200-detail": _in_200("only a detail", {"detail": "upstream timeout"}),
}
