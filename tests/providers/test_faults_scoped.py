"""One job never closes a lane: codes before words, no echo is evidence, and denials hold for what they are about."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchgen.fault import FIREWALL, Cause, Scope
from batchgen.providers.base import Reply
from batchgen.providers.error_bodies import has_error
from batchgen.providers.error_mapping import fault_of
from batchgen.task import Kind, Task

from .test_dialects import profile
from .test_faults import named, nest, openai, refused

#: Prompts that look like every trouble that there is.
PROMPTS = [
    "poster: you have run out of credits",
    "a shop sign that says insufficient funds, billing hard limit reached, not enough balance",
    "stamp: rate limit exceeded, too many requests",
    "neon sign: invalid api key, unauthorized, must be verified",
    "a robot saying model not found, the model does not exist",
]


def task(prompt: str) -> Task:
    return Task(kind=Kind.GENERATE, prompt=prompt, provider="openai", model="gpt-image-2", extra={"negative": prompt})


def echoed(status: int, body: Any, prompt: str, provider: str = "openai") -> Cause:
    reply = Reply(status=status, body=body if isinstance(body, bytes) else json.dumps(body).encode())
    return fault_of(reply, profile(provider), None, task(prompt)).cause


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_an_echo_of_the_prompt_fails_its_job_only(status: int, prompt: str) -> None:
    pydantic = {"detail": [{"type": "string_too_long", "loc": ["body", "prompt"], "msg": "too long", "input": prompt}]}
    for body in (
        pydantic,
        openai(f"Invalid prompt: '{prompt}'"),
        {"error": f"cannot draw: {prompt.upper()[:30]}..."},
        nest(f"Body validation error! {prompt}", status),
        json.dumps({"error": {"message": f"Bad prompt {prompt}", "param": prompt}}).encode(),
    ):
        assert echoed(status, body, prompt) is Cause.INVALID


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("status", [403, 429, 200])
def test_an_echo_is_no_evidence_where_words_count(status: int, prompt: str) -> None:
    quoted = prompt.replace(" ", "  ").replace("'", "&#39;")
    body = {"success": False, "message": f'request "{quoted}" was not taken'}
    right = {403: Cause.DENIED, 429: Cause.THROTTLED, 200: Cause.ERROR}[status]
    assert echoed(status, body, prompt) is right


def test_words_that_the_prompt_does_not_have_still_count() -> None:
    assert echoed(403, nest("You've run out of credits", 403), "a red cube") is Cause.MONEY
    assert echoed(403, nest("You've run out of credits for 'a red cube'", 403), "a red cube") is Cause.MONEY


GEMINI = {
    "error": {
        "code": 429,
        "message": "You exceeded your current quota, please check your plan and billing details. Please retry in 2.5s.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": "QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}]},
            {"@type": "RetryInfo", "retryDelay": "2s"},
        ],
    }
}


def test_geminis_limit_per_minute_is_no_want_of_money() -> None:
    fault = named("openrouter", 429, GEMINI)
    assert (fault.cause, fault.retry_after) == (Cause.THROTTLED, 2.5)
    bare = {"error": {"message": "You exceeded your current quota. Please retry in 7s."}}
    assert named("studio", 429, bare).cause is Cause.THROTTLED
    wrapped = {"error": {"code": 429, "message": "Provider returned error", "metadata": {"raw": json.dumps(GEMINI)}}}
    assert named("openrouter", 429, wrapped).cause is Cause.THROTTLED
    assert named("studio", 429, {"error": {"message": "You exceeded your current quota"}}).cause is Cause.MONEY


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500, 502])
def test_words_never_close_a_lane_where_the_status_decides(status: int) -> None:
    for words in ("insufficient funds", "invalid api key", "rate limit exceeded", "too many requests"):
        cause = named("studio", status, {"error": {"message": words}}).cause
        assert cause in (Cause.INVALID, Cause.ERROR, Cause.DENIED)
        assert (cause is Cause.DENIED) == (status == 404)  # as it would be without a word


@pytest.mark.parametrize(
    ("status", "body", "scope"),
    [
        (401, b"", Scope.ACCOUNT),
        (401, openai("Incorrect API key", "invalid_api_key"), Scope.ACCOUNT),
        (403, openai("IP not allowed", "access_denied"), Scope.ACCOUNT),
        (403, openai("Your organization must be verified to use the model `gpt-image-2`"), Scope.ACCOUNT),
        (403, openai("Country, region, or territory not supported"), Scope.ACCOUNT),
        (403, nest("Forbidden", 403), Scope.MODEL),
        (403, b"", Scope.MODEL),
        (404, openai("The model `x` does not exist", "model_not_found"), Scope.MODEL),
        (404, b"<html><title>404 Not Found</title>", Scope.MODEL),
        (503, openai("no channel", "model_not_found"), Scope.MODEL),
        (302, b"", Scope.ACCOUNT),
        (405, b"", Scope.ACCOUNT),
    ],
)
def test_what_a_denial_holds_for(status: int, body: Any, scope: Scope) -> None:
    fault = named("studio", status, body)
    assert (fault.cause, fault.scope) == (Cause.DENIED, scope)


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE html><title>Attention Required! | Cloudflare</title>",
        b"<html><head><title>403 Forbidden</title></head><center>Request blocked.</center>",
        b"\n<HTML><BODY>Access Denied. Reference #18.abc</BODY></HTML>",
    ],
)
def test_a_firewall_refuses_one_job(body: bytes) -> None:
    fault = named("studio", 403, body)
    assert (fault.cause, fault.code) == (Cause.REFUSED, FIREWALL)
    assert "firewall" in fault.message


@pytest.mark.parametrize(
    ("document", "cause", "message"),
    [
        ({"success": False, "code": 402, "message": "Insufficient credits"}, Cause.MONEY, "Insufficient credits"),
        ({"success": False, "message": "Insufficient credits, please top up"}, Cause.MONEY, "Insufficient"),
        ({"code": 429, "msg": "upstream busy, try again later", "data": None}, Cause.THROTTLED, "upstream busy"),
        ({"code": "429", "msg": "upstream busy"}, Cause.THROTTLED, "upstream busy"),
        ({"detail": "upstream timeout"}, Cause.ERROR, "upstream timeout"),
        ({"status": "error", "message": "model overloaded"}, Cause.THROTTLED, "model overloaded"),
        ({"status": "failed", "error_message": "GPU fell over"}, Cause.ERROR, "GPU fell over"),
        ({"ok": False, "error_message": "bad key", "code": 401}, Cause.DENIED, "bad key"),
        ({"data": {"success": False, "code": 402, "message": "pay first"}}, Cause.MONEY, "pay first"),
        ({"result": {"status": "failed", "message": "it broke"}}, Cause.ERROR, "it broke"),
        ({"code": 1, "message": "failed", "data": None}, Cause.ERROR, "failed"),
        ({"code": "InvalidParameter", "message": "size is wrong", "request_id": "x"}, Cause.ERROR, "size is wrong"),
        ({"errors": [{"message": "content policy violation"}]}, Cause.REFUSED, "content policy"),
        ({"error": ["first", "second"]}, Cause.ERROR, "first"),
        ({"message": "Too many requests"}, Cause.THROTTLED, "Too many requests"),
        ({"data": [{"b64_json": None, "finish_reason": "CONTENT_FILTERED"}]}, Cause.REFUSED, "refused"),
        ({"choices": [], "prompt_filter_results": [{"r": {"hate": {"filtered": True}}}]}, Cause.REFUSED, "refused"),
    ],
)
def test_an_error_in_a_success_is_that_error(document: Any, cause: Cause, message: str) -> None:
    fault = refused("aigate", document)
    assert fault.cause is cause, fault
    assert message in fault.message


@pytest.mark.parametrize(
    "document",
    [
        {"error": None, "data": []},
        {"error": {}, "data": []},
        {"error": {"message": None, "type": None, "code": None}, "data": []},
        {"error": {"message": "", "code": ""}},
        {"error": [], "errors": [], "data": []},
        {"code": 0, "message": "ok", "data": {"images": []}},
        {"code": "200", "msg": "success", "data": {}},
        {"status": "success", "data": []},
        {"status": "completed", "images": []},
        {"task_id": "t-1", "status": "processing"},
        {"choices": [{"message": {"content": "What would you like?"}}]},
    ],
)
def test_no_error_is_seen_where_there_is_none(document: Any) -> None:
    assert not has_error(document)


def test_a_wait_of_nothing_is_no_wait() -> None:
    assert named("studio", 429, b"", retry_after="0").retry_after is None
    assert named("studio", 429, b"", retry_after="3").retry_after == 3.0
