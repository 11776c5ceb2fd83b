"""Google's own client against the twin of Gemini: images, edits, tiers and errors are as it expects them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from PIL import Image

from batchgen.sandbox.launch import Sandbox, start
from batchgen.sandbox.log import read_log

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_proxies")]
PRO = "gemini-3-pro-image"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with start(tmp_path_factory.mktemp("sandbox"), latency="none", idle_exit=60) as running:
        yield running


def connected(sandbox: Sandbox, key: str = "k-test-1234") -> Any:
    from google import genai

    options = genai.types.HttpOptions(base_url=f"{sandbox.url}/gemini", api_version="v1beta", timeout=20_000)
    return genai.Client(api_key=key, vertexai=False, http_options=options)


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Any]:
    with connected(sandbox) as client:
        yield client


def pictures(answer: Any) -> list[Image.Image]:
    """Return the images of an answer, decoded from what the client took for inline data."""
    parts = answer.candidates[0].content.parts
    return [Image.open(io.BytesIO(part.inline_data.data)) for part in parts if part.inline_data]


def test_genai_client_makes_an_image_of_the_configured_shape(client: Any) -> None:
    from google.genai import types

    image = types.ImageConfig(aspect_ratio="16:9", image_size="2K")
    config = types.GenerateContentConfig(response_modalities=["TEXT", "IMAGE"], image_config=image)
    answer = client.models.generate_content(model=PRO, contents="A cat on the moon", config=config)
    (picture,) = pictures(answer)
    assert picture.size == (2688, 1536)
    assert answer.candidates[0].finish_reason is types.FinishReason.STOP
    usage = answer.usage_metadata
    assert usage.candidates_token_count == 1120
    assert usage.candidates_tokens_details[0].modality is types.MediaModality.IMAGE
    assert answer.sdk_http_response.headers["x-gemini-service-tier"] == "standard"


def test_genai_client_edits_an_image(client: Any) -> None:
    source = Image.new("RGB", (64, 48), (200, 30, 30))
    assert pictures(client.models.generate_content(model=PRO, contents=["Make it darker", source]))


def test_genai_client_buys_flex_at_half_the_price(client: Any, sandbox: Sandbox) -> None:
    answers = [
        client.models.generate_content(model=PRO, contents="A cat", config={"service_tier": tier})
        for tier in ("standard", "flex")
    ]
    tiers = [answer.sdk_http_response.headers["x-gemini-service-tier"] for answer in answers]
    assert tiers == ["standard", "flex"]
    full, half = [Decimal(line["usd"]) for line in read_log(sandbox.log) if line["event"] == "charge"][-2:]
    assert half * 2 == full


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        ("[sandbox: throttle retry-after=3]", 429, "RESOURCE_EXHAUSTED"),
        ("[sandbox: overloaded]", 503, "UNAVAILABLE"),
        ("[sandbox: error500]", 500, "INTERNAL"),
        ("[sandbox: money]", 402, "RESOURCE_EXHAUSTED"),
    ],
)
def test_genai_client_reads_each_error(client: Any, words: str, code: int, status: str) -> None:
    from google.genai.errors import APIError

    with pytest.raises(APIError) as caught:
        client.models.generate_content(model=PRO, contents=f"A cat {words}")
    assert (caught.value.code, caught.value.status) == (code, status)


def test_genai_client_reads_a_blocked_prompt_and_a_bad_key(client: Any, sandbox: Sandbox) -> None:
    from google.genai import types
    from google.genai.errors import ClientError

    answer = client.models.generate_content(model=PRO, contents="A cat [sandbox: refuse]")
    assert answer.prompt_feedback.block_reason is types.BlockedReason.PROHIBITED_CONTENT
    with connected(sandbox, "bad-key") as other, pytest.raises(ClientError, match="API key not valid"):
        other.models.generate_content(model=PRO, contents="A cat")


def test_genai_client_lists_the_models(client: Any) -> None:
    names = {model.name for model in client.models.list()}
    assert {f"models/{PRO}", "models/gemini-nano-banana-2.1"} <= names
