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


def _echo_400(draft: Draft) -> Package:
    message = f"Invalid value for 'prompt': {draft.order.prompt!r} is not allowed here."
    return _answer(
        400, {"error": {"message": message, "type": "invalid_request_error", "param": "prompt", "code": None}}
    )


def _echo_422(draft: Draft) -> Package:
    message = "String should have at most 10 characters"
    error = {"type": "string_too_long", "loc": ["body", "prompt"], "msg": message, "input": draft.order.prompt}
    return _answer(422, {"detail": [error]})


def _echo_403(draft: Draft) -> Package:
    return _answer(
        403, {"error": {"message": f"Request blocked: {draft.order.prompt}", "type": "forbidden", "code": None}}
    )


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


def _model(status: int, message: str) -> Callable[[Draft], Package]:
    def refuse(draft: Draft) -> Package:
        text = message.format(draft.order.model)
        code = "model_not_found"
        return _answer(status, {"error": {"message": text, "type": "invalid_request_error", "code": code}})

    return refuse


def _fixed(status: int, payload: Json) -> Callable[[Draft], Package]:
    return lambda _: _answer(status, payload)


def _in_200(about: str, payload: Json) -> Shape:
    return Shape(about, refusal=_fixed(200, payload))


_TOP_UP = "Insufficient credits, please top up"

ERRORS = {
    "echo-400": Shape("400 that repeats the prompt", refusal=_echo_400),
    "echo-422": Shape("422 that repeats the prompt", refusal=_echo_422),
    "echo-403": Shape("403 that repeats the prompt", refusal=_echo_403),
    "quota-per-minute": Shape("429 about a quota a minute, SECONDS to wait", amount=1.0, refusal=_quota_per_minute),
    "throttle-silent": Shape(
        "429 without a wait",
        refusal=_fixed(429, {"error": {"message": "Too many requests", "type": "rate_limit_error", "code": None}}),
    ),
    "firewall": Shape(
        "403 with the page of a firewall",
        refusal=lambda _: Package(status=403, headers={}, body=_FIREWALL.encode(), mime="text/html"),
    ),
    "model-missing": Shape(
        "404 about the model", refusal=_model(404, "The model '{}' does not exist or you do not have access to it.")
    ),
    "model-denied": Shape(
        "403 about the model", refusal=_model(403, "Your project does not have access to model '{}'.")
    ),
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
