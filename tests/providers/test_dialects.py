"""Each dialect against the examples of the providers' own documents, as data: bodies out, answers in."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import pytest

from batchgen.errors import SettingsError
from batchgen.providers import dialect, dialect_names
from batchgen.providers.base import Call, DataUrl, Generation, Reply, Request
from batchgen.providers.presets import profile
from batchgen.task import Kind, Source, Task


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\0\xff\0\0"))
    + _chunk(b"IEND", b"")
)
B64 = base64.b64encode(PNG).decode()

GATEWAY = {"preset": "gateway", "base_url": "https://gw.example.com"}
SPEAKER = "A clean studio product photo of a matte black smart speaker on glass, softbox lighting"
CAT = "Add a small orange cat sitting on the table. Keep the original lighting and style."
CAT_CHAT = (
    "Edit this image: add a small orange cat sitting on the table. Keep the original lighting and style."
    " Return the edited image."
)
TABLE = "https://picsum.photos/seed/aigate-edit-test/800/600"
SODA = (
    "A photorealistic product photo of a citrus soda bottle on a wet studio table, soft reflections, premium"
    " lighting, minimal background."
)
REX = "A T-Rex relaxing on a beach, lying on a sun lounger and wearing sunglasses."
GEMINI = "gemini-3.1-flash-image"


def request(provider: str, override: dict[str, Any] | None = None, **fields: Any) -> Request:
    spoken = profile(provider, override)
    task = Task(**{"kind": Kind.GENERATE, "prompt": "p", "provider": provider, "model": "gpt-image-2", **fields})
    _, model = spoken.find(task.model)
    return Request(task=task, profile=spoken, model=model, attempt_id="a" * 32)


def start(order: Request) -> tuple[Any, Call]:
    conversation = dialect(order.model.dialect or order.profile.dialect).converse(order)
    return conversation, next(conversation)


def finish(conversation: Any, *replies: Reply) -> Generation:
    """Send the replies; the last one must end the conversation."""
    for reply in replies[:-1]:
        assert isinstance(conversation.send(reply), Call)
    with pytest.raises(StopIteration) as end:
        conversation.send(replies[-1])
    result = end.value.value
    assert isinstance(result, Generation)
    return result


def answer(document: Any, status: int = 200, **headers: Any) -> Reply:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, body=json.dumps(document).encode(), headers=names)


# --- what goes out: the documents' own request bodies -------------------------

BODIES = {
    "aigate generate": (
        request("aigate", prompt=SPEAKER, quality="medium", size="1024x1024"),
        "https://api.aigate.shop/v1/images/generations",
        {"model": "openai/gpt-image-2", "prompt": SPEAKER, "quality": "medium", "size": "1024x1024", "n": 1},
    ),
    "aigate edit": (
        request("aigate", kind=Kind.EDIT, prompt=CAT, images=(Source(url=TABLE),)),
        "https://api.aigate.shop/v1/images/edits",
        {"model": "openai/gpt-image-2", "prompt": CAT, "images": [{"image_url": TABLE}]},
    ),
    "aigate gemini": (
        request("aigate", kind=Kind.EDIT, model=GEMINI, prompt=CAT_CHAT, images=(Source(url=TABLE),)),
        "https://api.aigate.shop/v1/chat/completions",
        {
            "model": "google/gemini-3.1-flash-image-preview",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": CAT_CHAT},
                        {"type": "image_url", "image_url": {"url": TABLE}},
                    ],
                }
            ],
            "modalities": ["image", "text"],
        },
    ),
    "gptimageapi": (
        request("gptimageapi", prompt=SODA, size="4:3", quality="high", background="opaque"),
        "https://api.gptimageapi.dev/v1/images/generate",
        {
            "prompt": SODA,
            "model": "gpt-image-2",
            "size": "4:3",
            "quality": "high",
            "n": 1,
            "background": "opaque",
        },
    ),
    "gptimageapi curl": (
        request("gptimageapi", prompt=SODA, size="4:3", quality="high"),
        "https://api.gptimageapi.dev/v1/images/generate",
        {"prompt": SODA, "model": "gpt-image-2", "size": "4:3", "quality": "high", "n": 1},
    ),
    "aimlapi": (
        request("aimlapi", prompt=REX),
        "https://api.aimlapi.com/v1/images/generations",
        {"model": "openai/gpt-image-2", "prompt": REX},
    ),
    "gateway": (
        request("studio", GATEWAY, prompt="A simple red apple on a white table, photorealistic", size="1024x1024"),
        "https://gw.example.com/api/v1/images/generations",
        {
            "model": "gpt-image-2",
            "prompt": "A simple red apple on a white table, photorealistic",
            "size": "1024x1024",
            "n": 1,
        },
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_request_equals_the_documents(name: str) -> None:
    order, url, body = BODIES[name]
    _, call = start(order)
    assert (call.method, call.url, call.json) == ("POST", url, body)
    assert call.billed
    assert call.signed
    assert not call.form
    assert not call.files


def test_gateway_sends_the_required_size_where_the_user_set_none() -> None:
    _, call = start(request("studio", GATEWAY))
    assert call.json == {"model": "gpt-image-2", "prompt": "p", "size": "1024x1024", "n": 1}


def test_aimlapi_edit_is_multipart_with_the_array_name() -> None:
    images = (Source(path="/x/t-rex.png", mime="image/png"), Source(path="/x/crown.jpg", mime="image/jpeg"))
    mask = Source(path="/x/m.png", mime="image/png")
    prompt = "Put the crown on the T-rex's head"
    _, call = start(request("aimlapi", kind=Kind.EDIT, prompt=prompt, images=images, mask=mask, n=3, quality="low"))
    assert call.url == "https://api.aimlapi.com/v1/images/edits"
    assert call.json is None
    assert dict(call.form) == {"model": "openai/gpt-image-2", "prompt": prompt, "n": "3", "quality": "low"}
    assert [(part.name, part.filename, part.mime) for part in call.files] == [
        ("image[]", "image-1.png", "image/png"),
        ("image[]", "image-2.jpg", "image/jpeg"),
        ("mask", "mask.png", "image/png"),
    ]
    assert call.headers["X-Client-Request-Id"] == "a" * 32


def test_one_image_in_multipart_has_the_plain_name() -> None:
    _, call = start(request("openai", kind=Kind.EDIT, images=(Source(path="/x/a.webp", mime="image/webp"),)))
    assert [(part.name, part.filename) for part in call.files] == [("image", "image-1.webp")]


def test_local_files_are_data_urls_in_json() -> None:
    source = Source(path="/x/a.png", mime="image/png")
    _, call = start(request("aigate", kind=Kind.EDIT, images=(source,)))
    assert call.json is not None
    assert call.json["images"] == [{"image_url": DataUrl(source=source)}]
    _, chat = start(request("aigate", kind=Kind.EDIT, model=GEMINI, images=(source,)))
    assert chat.json is not None
    assert chat.json["messages"][0]["content"][1]["image_url"] == {"url": DataUrl(source=source)}


def test_a_mask_is_in_json_where_the_rules_allow_it() -> None:
    own = {"models": {"gpt-image-2": {"edit": {"body": "json", "mask": True}}}}
    images, mask = (Source(url=TABLE),), Source(path="/x/m.png")
    _, call = start(request("openai", own, kind=Kind.EDIT, images=images, mask=mask))
    assert call.json is not None
    assert call.json["mask"] == {"image_url": DataUrl(source=mask)}


def test_openrouter_says_size_and_resolution_in_image_config() -> None:
    _, call = start(request("openrouter", model=GEMINI, size="1920x1080", resolution="2k", prompt="hi"))
    assert call.json == {
        "model": "google/gemini-3.1-flash-image",
        "messages": [{"role": "user", "content": "hi"}],
        "modalities": ["image", "text"],
        "image_config": {"aspect_ratio": "16:9", "image_size": "2K"},
    }


def test_extra_goes_out_as_it_is_and_response_format_never_by_itself() -> None:
    _, call = start(request("aimlapi", extra={"response_format": "b64_json"}))
    assert call.json is not None
    assert call.json["response_format"] == "b64_json"
    for name in ("aigate", "aimlapi", "openai", "gptimageapi"):
        _, call = start(request(name))
        assert call.json is not None
        assert "response_format" not in call.json


def test_multipart_extra_is_text() -> None:
    source = Source(path="/x/a.png", mime="image/png")
    _, call = start(request("openai", kind=Kind.EDIT, images=(source,), extra={"flag": True, "list": [1]}))
    assert dict(call.form) == {"model": "gpt-image-2", "prompt": "p", "flag": "true", "list": "[1]"}


# --- what comes back: the documents' own answers ------------------------------

USAGE = {"input_tokens": 712, "output_tokens": 1372, "total_tokens": 2084}
CDN = "https://cdn.aimlapi.com/generations/openai-image-generation/1776996650097-ec0cd2e8.png"


@pytest.mark.parametrize("kind", [Kind.GENERATE, Kind.EDIT])
def test_aigate_answer(kind: Kind) -> None:
    images = (Source(url=TABLE),) if kind is Kind.EDIT else ()
    conversation, _ = start(request("aigate", kind=kind, images=images))
    result = finish(conversation, answer({"created": 1779703910, "data": [{"b64_json": B64}], "usage": USAGE}))
    assert [picture.data for picture in result.pictures] == [PNG]
    usage = result.usage
    assert (usage.images, usage.input_tokens, usage.output_tokens, usage.usd) == (1, 712, 1372, None)


def test_aigate_gemini_answer() -> None:
    conversation, _ = start(request("aigate", model=GEMINI))
    document = {
        "id": "gate-1779703910",
        "object": "chat.completion",
        "created": 1779703910,
        "model": "google/gemini-3.1-flash-image-preview",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None,
                    "images": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{B64}"}}],
                },
                "finish_reason": "stop",
            }
        ],
    }
    result = finish(conversation, answer(document))
    assert [picture.data for picture in result.pictures] == [PNG]
    assert result.usage.input_tokens is None
    assert result.text is None


def test_gptimageapi_answer_is_downloaded() -> None:
    conversation, _ = start(request("gptimageapi"))
    url = "https://cdn.gptimageapi.dev/renders/1234567890.png"
    call = conversation.send(answer({"code": 0, "message": "ok", "data": {"images": [{"url": url}]}}))
    assert (call.method, call.url, call.billed, call.signed) == ("GET", url, False, False)
    result = finish(conversation, Reply(status=200, body=PNG))
    assert result.pictures[0].data == PNG
    assert result.usage.images == 1


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize(
    ("credits_used", "usd", "milli", "nano"),
    [(107341, 0.0536705, 107_341_000, 53_670_500), (190450, 0.095225, 190_450_000, 95_225_000)],
)
def test_aimlapi_answer(status: int, credits_used: int, usd: float, milli: int, nano: int) -> None:
    conversation, _ = start(request("aimlapi"))
    document = {
        "created": None,
        "background": None,
        "data": [{"b64_json": None, "revised_prompt": None, "url": CDN}],
        "usage": None,
        "meta": {"usage": {"credits_used": credits_used, "usd_spent": usd}},
    }
    result = finish(conversation, answer(document, status), Reply(status=200, body=PNG))
    assert result.pictures[0].data == PNG
    assert (result.usage.credits, result.usage.usd) == (milli, nano)


def test_aimlapi_headers_have_the_price_where_the_body_does_not() -> None:
    conversation, _ = start(request("aimlapi"))
    headers: dict[str, Any] = {"x_aimlapi_usd_spent": "0.0536705", "x_aimlapi_credits_used": "107341"}
    result = finish(conversation, answer({"data": [{"b64_json": B64}], "meta": None}, **headers))
    assert (result.usage.credits, result.usage.usd) == (107_341_000, 53_670_500)


def test_gateway_answer_prefers_bytes_over_the_url() -> None:
    conversation, _ = start(request("studio", GATEWAY))
    item = {"url": "https://elsewhere.example/x.png", "b64_json": B64, "revised_prompt": "an apple"}
    result = finish(conversation, answer({"created": 1780000000, "data": [item], "usage": {}}))
    assert result.pictures[0].data == PNG
    assert result.pictures[0].revised_prompt == "an apple"
    assert result.usage.output_tokens is None


def test_openrouter_answer_reports_its_cost() -> None:
    conversation, _ = start(request("openrouter", model=GEMINI))
    document = {
        "choices": [
            {"message": {"content": "Here:", "images": [{"image_url": {"url": f"data:image/png;base64,{B64}"}}]}}
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 1130,
            "total_tokens": 1140,
            "completion_tokens_details": {"image_tokens": 1120},
            "cost": 0.067236,
        },
    }
    result = finish(conversation, answer(document))
    usage = result.usage
    assert (usage.usd, usage.input_tokens, usage.output_tokens, usage.output_image_tokens) == (
        67_236_000,
        10,
        1130,
        1120,
    )
    assert result.text == "Here:"


def test_dialects_by_name() -> None:
    assert dialect_names()[:3] == ("openai_images", "gptimageapi", "gemini_chat")
    for name in dialect_names():
        assert callable(dialect(name).converse)
    with pytest.raises(SettingsError, match="did you mean 'openai_images'"):
        dialect("openai_image")
