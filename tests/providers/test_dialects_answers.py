"""Answers in every shape that was seen in the wild: where the picture may be, and how a paid answer may be spoiled."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any

import pytest

from batchgen.fault import Cause, Charged, Fault, ProviderError
from batchgen.providers import jsonbody
from batchgen.providers.base import Call, Reply
from batchgen.providers.base64_images import decode
from batchgen.task import Usage

from .test_dialects import B64, CDN, GATEWAY, GEMINI, PNG, answer, finish, request, start

DATA_URL = f"data:image/png;base64,{B64}"
LINK = "https://openrouter.ai/x.png"


def failure(provider: str, reply: Reply, *more: Reply, **fields: Any) -> ProviderError:
    conversation, _ = start(request(provider, GATEWAY if provider == "studio" else None, **fields))
    for part in (reply, *more)[:-1]:
        conversation.send(part)
    with pytest.raises(ProviderError) as caught:
        conversation.send((reply, *more)[-1])
    return caught.value


def chat(message: dict[str, Any], **choice: Any) -> Reply:
    return answer({"choices": [{"message": message, "finish_reason": "stop", **choice}]})


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": None, "images": [{"type": "image_url", "image_url": {"url": DATA_URL}}]}, None),
        ({"content": "", "images": [{"image_url": DATA_URL}]}, None),
        ({"images": [{"url": DATA_URL}]}, None),
        ({"images": [{"b64_json": B64}]}, None),
        ({"images": [DATA_URL]}, None),
        ({"content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": DATA_URL}}]}, "see"),
        ({"content": [{"type": "output_image", "image_url": DATA_URL}]}, None),
        ({"content": [{"type": "inline_data", "inline_data": {"mime_type": "image/png", "data": B64}}]}, None),
        ({"content": [{"inlineData": {"mimeType": "image/png", "data": B64}}]}, None),
        ({"content": f"Here it is ![image]({DATA_URL}) enjoy"}, "Here it is  enjoy"),
        ({"content": DATA_URL}, None),
        ({"content": f"![x]({DATA_URL})", "images": [{"image_url": {"url": DATA_URL}}]}, None),
        ({"content": f"data:image/png;base64,{B64[:-8]}\n{B64[-8:]}"}, None),
    ],
)
def test_chat_pictures_are_found_wherever_they_stand(message: dict[str, Any], text: str | None) -> None:
    conversation, _ = start(request("aigate", model=GEMINI))
    result = finish(conversation, chat(message))
    assert [picture.data for picture in result.pictures] == [PNG]
    assert result.text == text


@pytest.mark.parametrize("message", [{"content": f"![x]({LINK})"}, {"images": [{"image_url": {"url": LINK}}]}])
def test_chat_links_are_downloaded(message: dict[str, Any]) -> None:
    conversation, _ = start(request("openrouter", model=GEMINI))
    call = conversation.send(chat(message))
    assert (call.url, call.signed, call.billed) == (LINK, False, False)
    assert finish(conversation, Reply(status=200, body=PNG)).pictures[0].data == PNG


@pytest.mark.parametrize(
    ("data", "pictures"),
    [
        ([{"b64_json": "", "url": CDN}], 1),
        ([{"b64_json": None, "url": CDN}], 1),
        ([{"b64_json": "!!!", "url": CDN}], 1),
        ([{"b64_json": DATA_URL}], 1),
        ([{"url": DATA_URL}], 1),
        ({"b64_json": B64}, 1),
        ([{"b64_json": B64}, {"b64_json": B64}], 1),  # twice the same where one was asked for
    ],
)
def test_items_in_every_shape(data: Any, pictures: int) -> None:
    conversation, _ = start(request("aimlapi"))
    try:
        step = conversation.send(answer({"data": data}))
        assert isinstance(step, Call)
        result = finish(conversation, Reply(status=200, body=PNG))
    except StopIteration as end:
        result = end.value
    assert [picture.data for picture in result.pictures] == [PNG] * pictures


def test_one_bad_picture_does_not_lose_the_good_ones() -> None:
    conversation, _ = start(request("openai", n=2))
    result = finish(conversation, answer({"data": [{"b64_json": B64}, {"b64_json": "%%%"}]}))
    assert len(result.pictures) == 1
    assert result.usage.images == 2
    assert result.note == "an image's base64 is broken"


META = {"meta": {"usage": {"credits_used": 107341, "usd_spent": 0.0536705}}}
PAID = Usage(images=1, usd=53_670_500, credits=107_341_000)


@pytest.mark.parametrize(
    "download", [Reply(status=403, body=b"expired"), Reply(status=503, body=b""), Reply(status=200, body=b"")]
)
def test_a_failed_download_keeps_the_price_and_names_the_url(download: Reply) -> None:
    error = failure("aimlapi", answer({"data": [{"url": CDN}], **META}), download)
    assert (error.fault.cause, error.fault.charged, error.usage) == (Cause.SPOILED, Charged.YES, PAID)
    assert CDN in error.fault.message


def test_a_download_that_the_driver_gave_up_keeps_the_price_too() -> None:
    conversation, _ = start(request("aimlapi"))
    conversation.send(answer({"data": [{"url": CDN}], **META}))
    with pytest.raises(ProviderError) as caught:
        conversation.throw(ProviderError(Fault(cause=Cause.UNREACHED, message="no route")))
    assert (caught.value.fault.cause, caught.value.usage) == (Cause.SPOILED, PAID)
    assert "no route" in caught.value.fault.message


def test_broken_base64_is_spoiled_and_paid() -> None:
    error = failure("aigate", answer({"data": [{"b64_json": "%%%"}], "usage": {"input_tokens": 5, "output_tokens": 9}}))
    assert (error.fault.cause, error.fault.charged) == (Cause.SPOILED, Charged.YES)
    assert error.usage == Usage(images=1, input_tokens=5, output_tokens=9)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><title>Welcome</title></html>",
        b'{"data": [',
        b'{"data": [{"b64_json": "' + b"A" * 9000,
        b'{"data": ' + b"[" * 200_000,
        b'{"data": "\xff\xfe',
    ],
)
@pytest.mark.parametrize("provider", ["aigate", "gptimageapi", "openrouter"])
def test_an_unreadable_paid_answer_is_spoiled(provider: str, body: bytes) -> None:
    model = GEMINI if provider == "openrouter" else "gpt-image-2"
    reply = Reply(status=200, body=body, headers={"x-litellm-response-cost": "0.05"})
    error = failure(provider, reply, model=model)
    assert (error.fault.cause, error.fault.charged) == (Cause.SPOILED, Charged.YES)
    assert error.usage == Usage(usd=50_000_000)


def test_a_web_page_points_at_base_url() -> None:
    assert "base_url" in failure("aigate", Reply(status=200, body=b"<!doctype html><p>hi")).fault.hint


@pytest.mark.parametrize("document", [{"data": []}, {"data": None}, {}, {"data": [{"url": None, "b64_json": None}]}])
def test_an_answer_without_image_is_empty(document: dict[str, Any]) -> None:
    error = failure("aigate", answer(document))
    assert (error.fault.cause, error.fault.charged) == (Cause.EMPTY, Charged.MAYBE)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, (None, None)),
        ({}, (None, None)),
        ({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, (None, None)),
        ({"input_tokens": "12", "output_tokens": "34"}, (12, 34)),
        ({"input_tokens": 12.0, "output_tokens": 34.0}, (12, 34)),
        ({"input_tokens": -1, "output_tokens": 10**30}, (None, None)),
        ({"input_tokens": True, "output_tokens": 1.5}, (None, None)),
        ({"input_tokens": 10, "total_tokens": 50}, (10, 40)),
        ("many", (None, None)),
    ],
)
def test_usage_is_read_with_tolerance_and_never_made_up(usage: Any, expected: tuple[int | None, int | None]) -> None:
    conversation, _ = start(request("aigate"))
    result = finish(conversation, answer({"data": [{"b64_json": B64}], "usage": usage}))
    assert (result.usage.input_tokens, result.usage.output_tokens) == expected


# --- reading JSON -----------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        {"a": "x" * 5000},
        {"x" * 5000: 1, "b": "y" * 5000},
        {"a": '"\\' * 4000, "b": ["\\" * 5001, "z" * 4096, "z" * 4097]},
        {"a": "\ue000cut:0", "b": "y" * 5000},
        {"a": "ü\n/" * 3000, "b": None, "c": True},
        ["", '"', "\\"],
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_long_strings_come_back_as_they_were(document: Any, ascii_only: bool) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only).encode()
    assert jsonbody.read(body) == document
    assert jsonbody.read(b"\xef\xbb\xbf" + body) == document


def test_slashes_escaped_by_the_server_do_not_break_base64() -> None:
    raw = bytes(range(256)) * 40
    text = base64.b64encode(raw).decode().replace("/", "\\/")
    assert decode(jsonbody.read(f'{{"b":"{text}"}}'.encode())["b"]) == raw


def test_money_keeps_its_decimals() -> None:
    assert jsonbody.read(b'{"usd": 0.0536705}') == {"usd": Decimal("0.0536705")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (B64, PNG),
        (DATA_URL, PNG),
        (DATA_URL.replace("png;", "PNG;charset=x;"), PNG),
        (f"  {B64[:20]}\n{B64[20:]}  ", PNG),
        ("_-__", b"\xff\xef\xff"),
        ("_-8", b"\xff\xef"),
        ("a", None),
        ("é", None),
        ("data:image/png,raw", None),
    ],
)
def test_base64(text: str, expected: bytes | None) -> None:
    assert decode(text) == expected


@pytest.mark.parametrize(
    "content", ["![" * 300_000, "![a](data:image/" + "A" * 2_000_000, "![a](https://x" + " " * 500_000]
)
def test_hostile_content_costs_one_pass(content: str) -> None:
    assert failure("aigate", chat({"content": content}), model=GEMINI).fault.cause is Cause.EMPTY
