"""Gemini's own API against the examples of Google's documents: bodies out, answers in, errors by cause."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from batchgen.fault import Cause, Charged, ProviderError
from batchgen.mode import Mode
from batchgen.providers.base import Call, DataUrl, Generation, Reply
from batchgen.providers.error_mapping import fault_of
from batchgen.providers.presets import profile
from batchgen.providers.pricing import charge, estimate
from batchgen.providers.probe import check_key
from batchgen.providers.validation import check, deadline
from batchgen.task import Basis, Kind, Source, Task

from .test_dialects import B64, PNG, answer, finish, request, start

PRO = "gemini-3-pro-image"
BANANA = "Create a picture of a nano banana dish in a fancy restaurant with a Gemini theme"
CAT = "Create a picture of my cat eating a nano-banana in a fancy restaurant under the Gemini constellation"
SOURCE = Source(path="/cat.jpg", sha256="ab", mime="image/jpeg", size_bytes=9)
USAGE = {
    "promptTokenCount": 17,
    "candidatesTokenCount": 1120,
    "totalTokenCount": 1441,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 17}],
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
    "thoughtsTokenCount": 304,
}


def candidate(*parts: Any, reason: str = "STOP", **more: Any) -> dict[str, Any]:
    content = {"parts": list(parts), "role": "model"}
    return {"candidates": [{"content": content, "finishReason": reason, "index": 0}], "usageMetadata": USAGE, **more}


def inline(data: str = B64, **more: Any) -> dict[str, Any]:
    return {"inlineData": {"mimeType": "image/png", "data": data}, **more}


def error(code: int, status: str, message: str, *details: Any) -> Reply:
    body = {"error": {"code": code, "message": message, "status": status, "details": list(details)}}
    return answer(body, status=code)


def body(order: Any) -> tuple[Call, Any]:
    _, call = start(order)
    assert call.json is not None
    return call, call.json


def test_gemini_generation_is_the_documents_example() -> None:
    call, sent = body(request("gemini", model="gemini-3.1-flash-image", prompt=BANANA, size="16:9", resolution="2k"))
    models = "https://generativelanguage.googleapis.com/v1beta/models"
    assert (call.method, call.url) == ("POST", f"{models}/gemini-3.1-flash-image:generateContent")
    assert sent == {
        "contents": [{"role": "user", "parts": [{"text": BANANA}]}],
        "generationConfig": {
            "responseModalities": ["TEXT", "IMAGE"],
            "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"},
        },
    }


def test_gemini_edit_sends_each_image_as_bare_base64() -> None:
    _, sent = body(request("gemini", model=PRO, prompt=CAT, kind=Kind.EDIT, images=(SOURCE, SOURCE)))
    part = {"inlineData": {"mimeType": "image/jpeg", "data": DataUrl(source=SOURCE, bare=True)}}
    assert sent["contents"] == [{"role": "user", "parts": [{"text": CAT}, part, part]}]
    assert "imageConfig" not in sent["generationConfig"]


def test_gemini_key_goes_into_its_own_header() -> None:
    assert profile("gemini").auth.headers("k-123") == {"x-goog-api-key": "k-123"}
    assert profile("gemini").api_key_env == ("GEMINI_API_KEY",)


def test_gemini_extra_is_added_and_its_generation_config_merged() -> None:
    extra = {"safetySettings": [], "generationConfig": {"temperature": 0.2}}
    _, sent = body(request("gemini", model=PRO, prompt=BANANA, size="1:1", extra=extra))
    assert sent["safetySettings"] == []
    assert sent["generationConfig"]["temperature"] == 0.2
    assert sent["generationConfig"]["imageConfig"] == {"aspectRatio": "1:1"}


@pytest.mark.parametrize(("written", "sent_as"), [("0.5K", "512"), ("512", "512"), ("4k", "4K")])
def test_gemini_resolution_has_the_spelling_of_each_api(written: str, sent_as: str) -> None:
    _, sent = body(request("gemini", model="gemini-3.1-flash-image", resolution=written))
    assert sent["generationConfig"]["imageConfig"] == {"imageSize": sent_as}
    other = Task(kind=Kind.GENERATE, prompt="p", provider="o", model="gemini-3.1-flash-image", resolution=written)
    assert not check(other, profile("openrouter"))


def test_gemini_flex_names_its_tier_and_asks_the_server_to_give_up_first() -> None:
    order = request("gemini", model=PRO, prompt=BANANA)
    _, plain = body(order)
    call, sent = body(replace(order, mode=Mode.FLEX))
    assert sent == {**plain, "service_tier": "flex"}
    assert deadline(order.task, order.profile, Mode.FLEX) == 1200
    assert call.headers["X-Server-Timeout"] == "1170"
    assert deadline(order.task, order.profile) == 360
    slower = profile("gemini", {"timeout": {"total": 2000}})
    assert deadline(order.task, slower, Mode.FLEX) == 2000


def test_openrouter_chat_names_the_flex_tier() -> None:
    order = request("openrouter", model=PRO, prompt=BANANA)
    _, plain = body(order)
    _, sent = body(replace(order, mode=Mode.FLEX))
    assert sent == {**plain, "service_tier": "flex"}


def given(order: Any, reply: Reply) -> Generation:
    conversation, _ = start(order)
    return finish(conversation, reply)


def refused(order: Any, reply: Reply) -> ProviderError:
    conversation, _ = start(order)
    with pytest.raises(ProviderError) as caught:
        conversation.send(reply)
    return caught.value


def test_gemini_answer_gives_the_image_and_its_text_but_no_thought() -> None:
    draft = inline(thought=True)
    thinking = {"text": "Planning the dish", "thought": True}
    reply = answer(candidate(thinking, draft, {"text": "Here it is."}, inline(thoughtSignature="c2ln")))
    result = given(request("gemini", model=PRO), reply)
    assert [picture.data for picture in result.pictures] == [PNG]
    assert "Here it is." in (result.text or "")
    assert (result.usage.input_tokens, result.usage.output_tokens) == (17, 1424)
    assert result.usage.output_image_tokens == 1120


@pytest.mark.parametrize(
    ("headers", "more", "tier"),
    [
        ({"x_gemini_service_tier": "flex"}, {}, "flex"),
        ({"x_gemini_service_tier": "Standard"}, {}, "standard"),
        ({}, {"usageMetadata": {**USAGE, "serviceTier": "FLEX"}}, "flex"),
        ({}, {}, None),
    ],
)
def test_gemini_flex_price_is_booked_only_for_a_stated_tier(headers: Any, more: Any, tier: str | None) -> None:
    order = replace(request("gemini", model=PRO), mode=Mode.FLEX)
    usage = given(order, answer(candidate(inline(), **more), **headers)).usage
    assert usage.tier == tier
    full = 17 * 2_000 + 304 * 12_000 + 1120 * 120_000
    cost = charge(usage, order.task, order.model, Mode.FLEX)
    assert (cost.usd, cost.basis) == (full // 2 if tier == "flex" else full, Basis.PRICED)


@pytest.mark.parametrize(
    "reason", ["IMAGE_SAFETY", "PROHIBITED_CONTENT", "IMAGE_PROHIBITED_CONTENT", "RECITATION", "IMAGE_RECITATION"]
)
def test_gemini_finish_reasons_of_the_content_rules_are_refusals(reason: str) -> None:
    failure = refused(request("gemini", model=PRO), answer(candidate(reason=reason)))
    assert failure.fault.cause is Cause.REFUSED
    assert failure.usage is not None


@pytest.mark.parametrize("reason", ["NO_IMAGE", "IMAGE_OTHER", "MAX_TOKENS", "OTHER"])
def test_gemini_answers_without_an_image_are_empty(reason: str) -> None:
    fault = refused(request("gemini", model=PRO), answer(candidate(reason=reason))).fault
    assert fault.cause is Cause.EMPTY
    assert reason.lower() in fault.message


def test_gemini_blocked_prompt_is_a_free_refusal() -> None:
    document = {"promptFeedback": {"blockReason": "OTHER"}, "usageMetadata": {"promptTokenCount": 9}}
    fault = refused(request("gemini", model=PRO), answer(document)).fault
    assert (fault.cause, fault.charged) == (Cause.REFUSED, Charged.NO)


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "32s"}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
NO_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details.\n* Quota exceeded for metric: "
    "generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 0, model: gemini-3-pro-image"
)


@pytest.mark.parametrize(
    ("reply", "cause", "wait"),
    [
        (error(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", RETRY),
         Cause.THROTTLED, 32.0),
        (error(429, "RESOURCE_EXHAUSTED", NO_QUOTA, RETRY), Cause.MONEY, None),
        (error(402, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."), Cause.MONEY, None),
        (error(503, "UNAVAILABLE", "The model is overloaded. Please try again later."), Cause.THROTTLED, None),
        (error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", BAD_KEY),
         Cause.DENIED, None),
        (error(403, "PERMISSION_DENIED", "Your API key was reported as leaked."), Cause.DENIED, None),
        (error(404, "NOT_FOUND", "models/x is not found for API version v1beta"), Cause.DENIED, None),
        (error(400, "INVALID_ARGUMENT", "Image size 8K is not supported"), Cause.INVALID, None),
        (error(500, "INTERNAL", "An internal error has occurred."), Cause.ERROR, None),
        (error(504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."), Cause.ERROR, None),
    ],
)  # fmt: skip
def test_gemini_errors_by_cause_and_none_of_them_is_charged(reply: Reply, cause: Cause, wait: float | None) -> None:
    fault = fault_of(reply, profile("gemini"))
    assert (fault.cause, fault.charged, fault.retry_after) == (cause, Charged.NO, wait)


def test_gemini_probe_reads_the_list_of_models() -> None:
    probe = check_key(profile("gemini"), "k")
    call = next(probe)
    assert (call.url, call.billed, call.signed) == (
        "https://generativelanguage.googleapis.com/v1beta/models?pageSize=1000", False, True,
    )  # fmt: skip
    listed = {"models": [{"name": f"models/{model.wire}"} for model in profile("gemini").models.values()]}
    with pytest.raises(StopIteration) as end:
        probe.send(Reply(status=200, body=json.dumps(listed).encode()))
    catalogue = end.value.value.catalogue
    assert all(catalogue.offers(profile("gemini")).values())


@pytest.mark.parametrize(
    ("fields", "misfit"),
    [
        ({"resolution": "4K", "model": "gemini-2.5-flash-image"}, "resolution"),
        ({"size": "1:8"}, "size"),
        ({"n": 2}, "n"),
        ({"kind": Kind.EDIT, "images": (replace(SOURCE, size_bytes=8_000_000),)}, "images"),
        ({"kind": Kind.EDIT, "images": (SOURCE,), "mask": SOURCE}, "mask"),
    ],
)
def test_gemini_refuses_before_sending(fields: dict[str, Any], misfit: str) -> None:
    task = Task(**{"kind": Kind.GENERATE, "prompt": "p", "provider": "gemini", "model": PRO, **fields})
    assert misfit in [each.field for each in check(task, profile("gemini"))]


def test_model_without_the_mode_of_its_provider_is_refused_with_a_way_out() -> None:
    task = Task(kind=Kind.GENERATE, prompt="p", provider="gemini", model="gemini-3.1-flash-lite-image")
    (misfit,) = check(task, profile("gemini", {"modes": ["flex"]}))
    assert misfit.field == "model"
    assert "add standard to the modes of gemini" in misfit.hint
    assert "gemini-3-pro-image" in misfit.hint
    assert not check(task, profile("gemini", {"modes": ["flex", "standard"]}))


@pytest.mark.parametrize("written", ["0.5K", "512"])
def test_smallest_resolution_is_priced_under_either_name(written: str) -> None:
    for name in ("gemini", "openrouter"):
        model = profile(name).find("gemini-3.1-flash-image")[1]
        task = Task(kind=Kind.GENERATE, prompt="", provider=name, model="gemini-3.1-flash-image", resolution=written)
        assert estimate(task, model).expected.usd == 747 * 60_000 + 500  # one token of prompt
