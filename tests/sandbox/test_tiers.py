"""Twins of Gemini's own API and of OpenRouter's images endpoint: strict by the documents, with tiers of service."""

from __future__ import annotations

import base64
import io
from decimal import Decimal
from typing import Any

import httpx
import pytest
from PIL import Image

from batchgen.sandbox.launch import start
from batchgen.sandbox.log import read_log

from ..timing import patience

PRO = "gemini-3-pro-image"
TEXT = {"contents": [{"parts": [{"text": "A cat"}]}]}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    with start(tmp_path_factory.mktemp("sandbox"), latency="none", idle_exit=60) as running:
        yield running


@pytest.fixture
def ask(sandbox):
    """Return a function that posts to a provider with a key in its own header, and the charges since."""
    with httpx.Client(trust_env=False, timeout=patience(20)) as client:
        seen = len(read_log(sandbox.log))

        def post(path: str, body: Any, **headers: str) -> httpx.Response:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            return client.post(f"{sandbox.url}{path}", json=body, headers=names)

        post.charges = (
            lambda: [  # type: ignore[attr-defined]
                Decimal(line["usd"]) for line in read_log(sandbox.log)[seen:] if line["event"] == "charge"
            ]
        )
        yield post


def gemini(ask: Any, body: Any, model: str = PRO, key: str = "k-1234") -> httpx.Response:
    return ask(f"/gemini/v1beta/models/{model}:generateContent", body, x_goog_api_key=key)


def router(ask: Any, body: Any) -> httpx.Response:
    return ask("/openrouter/api/v1/images", body, authorization="Bearer k-1234")


def size_of(data: str) -> tuple[int, int]:
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
        return image.size


def test_gemini_draws_and_states_usage_and_tier(ask):
    config = {"imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"}}
    reply = gemini(ask, TEXT | {"generationConfig": config})
    assert reply.status_code == 200
    (candidate,) = reply.json()["candidates"]
    assert candidate["finishReason"] == "STOP"
    assert candidate["content"]["parts"][0]["inlineData"]["mimeType"] == "image/png"
    usage = reply.json()["usageMetadata"]
    assert usage["candidatesTokensDetails"] == [{"modality": "IMAGE", "tokenCount": 1120}]
    assert reply.headers["x-gemini-service-tier"] == "standard"
    assert ask.charges() == [Decimal("0.134404")]


@pytest.mark.parametrize("name", ["service_tier", "serviceTier"])
def test_gemini_flex_costs_half_under_either_name(ask, name):
    reply = gemini(ask, TEXT | {name: "FLEX"})
    assert reply.headers["x-gemini-service-tier"] == "flex"
    assert ask.charges() == [Decimal("0.067202")]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"contents": []}, "contents is not specified"),
        (TEXT | {"prompt": "A cat"}, 'Unknown name "prompt"'),
        (TEXT | {"generationConfig": {"imageConfig": {"aspectRatio": "7:3"}}}, "aspect ratio"),
        (TEXT | {"generationConfig": {"imageConfig": {"imageSize": "512"}}}, "not supported"),
        (TEXT | {"generationConfig": {"candidateCount": 2}}, "Multiple candidates"),
        (TEXT | {"generationConfig": {"responseModalities": ["TEXT"]}}, "response modalities"),
        (TEXT | {"serviceTier": "cheap"}, "service_tier"),
        ({"contents": [{"parts": [{"text": "x"}, {"inlineData": {"mimeType": "image/png", "data": "?"}}]}]}, "Base64"),
        ({"contents": [{"parts": [{"inlineData": {"mimeType": "image/gif", "data": ""}}]}]}, "Unsupported MIME"),
    ],
)
def test_gemini_refuses_what_its_documents_refuse(ask, body, words):
    reply = gemini(ask, body)
    error = reply.json()["error"]
    assert (reply.status_code, error["status"]) == (400, "INVALID_ARGUMENT")
    assert words in error["message"]
    assert ask.charges() == []


def test_gemini_refuses_flex_for_models_without_it(ask):
    assert gemini(ask, TEXT | {"serviceTier": "flex"}, "gemini-3.1-flash-lite-image").status_code == 400


def test_gemini_wants_its_key_in_its_own_header(ask):
    path = f"/gemini/v1beta/models/{PRO}:generateContent"
    assert ask(path, TEXT, authorization="Bearer k-1234").status_code == 400
    reply = gemini(ask, TEXT, key="bad-key")
    assert reply.json()["error"]["details"][0]["reason"] == "API_KEY_INVALID"
    assert gemini(ask, TEXT, "gemini-9").status_code == 404


def test_gemini_sheds_flex_and_nothing_else(ask):
    shed = {"contents": [{"parts": [{"text": "A cat [sandbox: flex-shed]"}]}]}
    assert gemini(ask, shed | {"serviceTier": "flex"}).status_code == 503
    assert gemini(ask, shed).status_code == 200


def test_gemini_edits_the_image_that_came_inline(ask):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 30)).save(buffer, "PNG")
    inline = {"inline_data": {"mime_type": "image/png", "data": base64.b64encode(buffer.getvalue()).decode()}}
    reply = gemini(ask, {"contents": [{"parts": [{"text": "Darker"}, inline]}]})
    assert reply.json()["usageMetadata"]["promptTokensDetails"][1]["modality"] == "IMAGE"


def test_openrouter_images_draws_and_states_its_cost(ask):
    reply = router(ask, {"model": "openai/gpt-image-2", "prompt": "A cat", "n": 2, "size": "1024x1536"})
    document = reply.json()
    assert [size_of(each["b64_json"]) for each in document["data"]] == [(1024, 1536)] * 2
    assert {each["media_type"] for each in document["data"]} == {"image/png"}
    assert Decimal(str(document["usage"]["cost"])) == Decimal("0.106")
    assert ask.charges() == [Decimal("0.106")]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"model": "bytedance-seed/seedream-4.5", "quality": "high"}, 400),
        ({"model": "bytedance-seed/seedream-4.5", "n": 2}, 400),
        ({"model": "bytedance-seed/seedream-4.5", "aspect_ratio": "7:3"}, 400),
        ({"model": "openai/gpt-image-2", "size": "1024x1024", "aspect_ratio": "1:1"}, 400),
        ({"model": "openai/gpt-image-2", "images": []}, 400),
        ({"model": "no-company/no-model"}, 404),
        ({}, 400),
    ],
)
def test_openrouter_images_refuses_unsupported_parameters(ask, fields, status):
    reply = router(ask, {"prompt": "A cat", **fields})
    assert reply.status_code == status
    assert reply.json()["error"]["code"] == status
    assert ask.charges() == []


def test_openrouter_lists_its_image_models_with_their_parameters(sandbox):
    with httpx.Client(trust_env=False, timeout=patience(20)) as client:
        listed = client.get(f"{sandbox.url}/openrouter/api/v1/images/models").json()["data"]
    described = {model["id"]: model["supported_parameters"] for model in listed}
    assert described["bytedance-seed/seedream-4.5"]["resolution"] == {"type": "enum", "values": ["1K", "2K", "4K"]}
    assert described["openai/gpt-image-2"]["n"] == {"type": "range", "min": 1, "max": 10}
    assert "quality" not in described["recraft/recraft-v4.1"]


def test_openrouter_chat_has_flex_where_its_endpoints_do(ask):
    body = {
        "model": "google/gemini-3-pro-image",
        "messages": [{"role": "user", "content": "A cat"}],
        "modalities": ["image", "text"],
    }
    chat = "/openrouter/api/v1/chat/completions"
    plain = ask(chat, body, authorization="Bearer k").json()
    flex = ask(chat, body | {"service_tier": "flex"}, authorization="Bearer k").json()
    assert (plain["service_tier"], flex["service_tier"]) == ("standard", "flex")
    assert flex["usage"]["cost"] == pytest.approx(plain["usage"]["cost"] / 2)
    lite = body | {"model": "google/gemini-3.1-flash-lite-image", "service_tier": "flex"}
    assert ask(chat, lite, authorization="Bearer k").status_code == 404
