"""What counts as evidence of a fault: codes and the status, and words only where they do not repeat the request."""

from __future__ import annotations

import html
import json
import time
from typing import Any
from urllib.parse import quote

import pytest

from batchgen.fault import Cause, Charged, Fault, Scope
from batchgen.providers.base import Reply
from batchgen.providers.error_bodies import has_error, warnings_in
from batchgen.providers.error_mapping import fault_of
from batchgen.providers.presets import profile
from batchgen.task import Kind, Task
from tests.timing import patience

PROMPT = (
    "A poster that reads: you have run out of credits, insufficient funds! Rate limit, invalid API key,"
    " content policy, model x not found"
)


def named(status: int, body: Any, prompt: str = PROMPT, extra: dict[str, Any] | None = None, **headers: str) -> Fault:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = Reply(status=status, body=raw, headers={key.replace("_", "-"): value for key, value in headers.items()})
    task = Task(kind=Kind.GENERATE, prompt=prompt, provider="openai", model="gpt-image-2", extra=extra or {})
    return fault_of(reply, profile("openai"), None, task)


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


ECHOES = [
    PROMPT,
    PROMPT[:60] + "...",
    PROMPT.upper(),
    PROMPT.replace(" ", "  \n"),
    json.dumps(PROMPT),
    json.dumps(json.dumps(PROMPT + " é")),
    html.escape(f'"{PROMPT}"'),
    quote(PROMPT),
    "run out of credits",
    "insufficient funds",
    "invalid API key",
    "Rate limit",
    "insufficient&nbsp;funds",
]


@pytest.mark.parametrize("status", [403, 429, 200])
@pytest.mark.parametrize("text", ECHOES)
def test_what_repeats_the_prompt_is_no_evidence(status: int, text: str) -> None:
    plain = {403: Cause.DENIED, 429: Cause.THROTTLED, 200: Cause.ERROR}[status]
    fault = named(status, error(f"Problem with '{text}'"))
    assert (fault.cause, fault.retry_after) == (plain, None)
    assert fault.scope is (Scope.MODEL if status == 403 else Scope.ACCOUNT)


@pytest.mark.parametrize("status", [400, 422, 413, 415])
@pytest.mark.parametrize(
    "words", ["insufficient funds", "You have run out of credits", "rate limit", "model x not found", "invalid api key"]
)
def test_words_with_a_job_status_never_affect_the_lane(status: int, words: str) -> None:
    assert named(status, error(words), "a cat").cause is Cause.INVALID


@pytest.mark.parametrize(("status", "cause"), [(500, Cause.ERROR), (503, Cause.THROTTLED), (404, Cause.DENIED)])
def test_words_beside_a_status_that_decides(status: int, cause: Cause) -> None:
    assert named(status, error("insufficient funds; content policy"), "a cat").cause is cause


def test_an_echo_in_a_validation_error_is_only_an_invalid_job() -> None:
    part = {
        "type": "string_too_long",
        "loc": ["body", "prompt"],
        "msg": "too long",
        "input": PROMPT,
        "ctx": {"x": PROMPT},
    }
    assert named(422, {"detail": [part]}).cause is Cause.INVALID
    assert named(403, {"detail": [part]}, "unknown").scope is Scope.MODEL
    assert named(403, error("no", request={"code": "insufficient_quota"})).cause is Cause.DENIED


def test_extra_fields_are_part_of_the_request() -> None:
    extra = {"negative_prompt": "sign with insufficient balance"}
    assert named(403, error("bad text: insufficient balance"), "a cat", extra).cause is Cause.DENIED
    assert named(403, error("insufficient balance"), "a cat").cause is Cause.MONEY


def test_real_words_stay_evidence_beside_an_echo() -> None:
    fault = named(403, error("You have insufficient credits for 'A red cat on a mat'"), "A red cat on a mat")
    assert fault.cause is Cause.MONEY


def test_the_safety_system_refuses_without_a_code() -> None:
    words = "Your request was rejected by the safety system."
    assert named(400, error(words), "a cat").cause is Cause.REFUSED
    assert named(400, error(f"odd prompt: {PROMPT}")).cause is Cause.INVALID


QUOTA = "You exceeded your current quota, please check your plan and billing details."


@pytest.mark.parametrize(
    ("body", "wait"),
    [
        (error(f"{QUOTA} Please retry in 2.5s.", code=429, status="RESOURCE_EXHAUSTED"), 2.5),
        (error(QUOTA, status="RESOURCE_EXHAUSTED"), None),
        (error(QUOTA, details=[{"@type": "google.rpc.RetryInfo", "retryDelay": "2s"}]), 2.0),
        ([error(QUOTA, details=[{"retryDelay": {"seconds": "3"}}])], 3.0),
        ({**error(QUOTA), "retry_after": 4}, 4.0),
        (error(QUOTA, retry_after_ms=4500), 4.5),
    ],
)
def test_a_quota_per_minute_is_a_limit(body: Any, wait: float | None) -> None:
    fault = named(429, body, "a cat")
    assert (fault.cause, fault.retry_after) == (Cause.THROTTLED, wait)


def test_a_quota_without_any_limit_is_money() -> None:
    assert named(429, error(QUOTA), "a cat").cause is Cause.MONEY
    code = error(f"{QUOTA} Please retry in 2s", code="insufficient_quota")
    assert named(429, code, "a cat").cause is Cause.MONEY


BLANKS: tuple[Any, ...] = (None, "", {}, [], {"message": None, "type": None, "code": None})

UNDER_200 = [
    ({"success": False, "code": 402, "message": "Insufficient credits"}, Cause.MONEY),
    ({"success": False, "code": "402", "message": "pay"}, Cause.MONEY),
    ({"code": 429, "msg": "upstream busy, try again later", "data": None}, Cause.THROTTLED),
    ({"detail": "upstream timeout"}, Cause.ERROR),
    ({"status": "error", "message": "model overloaded"}, Cause.THROTTLED),
    ({"status": "failed", "error_message": "it broke"}, Cause.ERROR),
    ({"ok": False, "msg": "Insufficient balance"}, Cause.MONEY),
    ({"errors": [{"message": "it broke"}]}, Cause.ERROR),
    ({"errors": ["rate limit"]}, Cause.THROTTLED),
    ({"error": "it broke"}, Cause.ERROR),
    ({"error": "insufficient_quota"}, Cause.MONEY),
    ({"error": "no", "code": 401}, Cause.DENIED),
    ({"code": 0, "data": {"error": {"code": 402, "message": "pay"}}}, Cause.MONEY),
    ({"result": {"success": False, "message": "Insufficient credits"}}, Cause.MONEY),
    ({"status_code": 503, "message": "down"}, Cause.THROTTLED),
    ({"status": 403, "message": "no"}, Cause.DENIED),
    ({"code": 400, "message": "insufficient funds"}, Cause.INVALID),
]


@pytest.mark.parametrize(("document", "cause"), UNDER_200)
def test_an_error_in_a_200_is_that_error(document: Any, cause: Cause) -> None:
    assert has_error(document)
    fault = named(200, document, "a cat")
    assert fault.cause is cause, fault
    assert "without a word" not in fault.message


@pytest.mark.parametrize(
    "document",
    [
        {"choices": [{"message": {"content": "What would you like?"}}]},
        {"data": []},
        {"task_id": "t-1", "status": "processing"},
        *({"data": [], "error": blank} for blank in BLANKS),
        {"error": {"code": "", "message": ""}},
        *({"code": code, "message": "fine"} for code in (0, "0", 200, "200", "ok", "success", None)),
        {"status": "success", "message": "done"},
        {"status": "completed"},
        {},
    ],
)
def test_an_answer_without_a_picture_is_not_yet_an_error(document: Any) -> None:
    assert not has_error(document)


def test_notes_beside_good_pictures() -> None:
    beside = {"error": {"message": "1 of 2 images were\n filtered"}, "warnings": ["slow", "slow", ""], "errors": None}
    assert warnings_in(beside) == ("1 of 2 images were filtered", "slow")
    assert warnings_in({"error": {"message": None, "code": ""}, "data": []}) == ()
    assert warnings_in({"error": {"code": "moderation_blocked"}}) == ("moderation_blocked",)
    assert warnings_in([]) == ()


@pytest.mark.parametrize(
    ("status", "body", "scope"),
    [
        (401, b"", Scope.ACCOUNT),
        (403, error("no", code="access_denied"), Scope.ACCOUNT),
        (403, error("Your organization must be verified to use the model"), Scope.ACCOUNT),
        (403, error("Country, region, or territory not supported"), Scope.ACCOUNT),
        (403, error("no", code="unsupported_country_region_territory"), Scope.ACCOUNT),
        (403, error("Forbidden"), Scope.MODEL),
        (403, error("The model `x` is not available"), Scope.MODEL),
        (404, error("no", code="model_not_found"), Scope.MODEL),
        (404, b"<html><title>404", Scope.MODEL),
        (503, error("no channel", code="model_not_found"), Scope.MODEL),
        (405, b"", Scope.ACCOUNT),
        (451, b"", Scope.ACCOUNT),
        (302, b"", Scope.ACCOUNT),
    ],
)
def test_what_a_denial_holds_for(status: int, body: Any, scope: Scope) -> None:
    fault = named(status, body, "a cat")
    assert (fault.cause, fault.scope) == (Cause.DENIED, scope)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (
            b"<!DOCTYPE html><title>Attention Required! | Cloudflare</title>",
            {"cf_ray": "8", "content_type": "text/html"},
        ),
        (b"<HTML><HEAD><TITLE>Access Denied</TITLE></HEAD>", {"server": "AkamaiGHost"}),
        (b"error code: 1020", {"server": "cloudflare"}),
        (b"Request blocked.", {}),
        (b"no", {"x_sucuri_id": "1"}),
    ],
)
def test_a_firewall_refuses_one_job(body: bytes, headers: dict[str, str]) -> None:
    fault = named(403, body, "a cat", None, **headers)
    assert (fault.cause, fault.code) == (Cause.REFUSED, "firewall")
    assert "firewall" in fault.hint


def test_an_api_behind_cloudflare_is_no_firewall() -> None:
    assert named(403, error("Forbidden"), "a cat", cf_ray="8", server="cloudflare").cause is Cause.DENIED


@pytest.mark.parametrize("unit", ["model ", "<", "\\u00", "insufficient ", "&amp;", "try again in 1s ", "%25"])
def test_hostile_words_are_read_in_bounded_time(unit: str) -> None:
    start = time.monotonic()
    named(403, error(unit * 100_000), unit * 10_000)
    named(403, (unit * 100_000).encode(), unit * 10_000)
    assert time.monotonic() - start < patience(2)


@pytest.mark.parametrize(
    ("status", "usage", "charged"),
    [
        (200, {"usage": {"cost": 0.01}}, Charged.YES),
        (200, {"usage": {"input_tokens": 10, "output_tokens": 5}}, Charged.YES),
        (200, {"usage": {"cost": 0}}, Charged.MAYBE),
        (200, {}, Charged.MAYBE),
        (400, {"usage": {"cost": 0.01}}, Charged.NO),
    ],
)
def test_a_refusal_that_states_its_usage_was_charged(status: int, usage: dict[str, Any], charged: Charged) -> None:
    fault = named(status, {**error("no", code="moderation_blocked"), **usage}, "a cat")
    assert (fault.cause, fault.charged) == (Cause.REFUSED, charged)
