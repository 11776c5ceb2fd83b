"""OpenAI's own clients against the sandbox's Azure, xAI, Recraft and Ark."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from PIL import Image

from batchgen.sandbox.launch import Sandbox, start
from batchgen.sandbox.log import read_log

CROWN = Path(__file__).parents[2] / "jobs" / "photos" / "crown.png"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("sandbox")
    with start(folder, latency="none", idle_exit=60, extra=["--draw", "small"]) as running:
        yield running


def azure(sandbox: Sandbox, key: str = "k-1234") -> openai.AzureOpenAI:
    return openai.AzureOpenAI(
        azure_endpoint=sandbox.base_url("azure"),
        api_key=key,
        api_version="2025-04-01-preview",
        max_retries=0,
        timeout=20,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    )


def client(sandbox: Sandbox, base: str, key: str = "k-1234") -> openai.OpenAI:
    transport = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(api_key=key, base_url=f"{sandbox.url}{base}", max_retries=0, timeout=20, http_client=transport)


def picture(answer: openai.types.ImagesResponse) -> Image.Image:
    assert answer.data
    assert answer.data[0].b64_json
    with Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json))) as image:
        image.load()
        return image


def test_azure_client_makes_an_image_and_edits_one(sandbox):
    with azure(sandbox) as studio:
        made = studio.images.generate(model="studio-images", prompt="A cat", size="1024x1024", quality="low", n=2)
        assert len(made.data or ()) == 2
        assert picture(made).format == "PNG"
        assert made.usage
        assert made.usage.output_tokens > 0
        with CROWN.open("rb") as one:
            edited = studio.images.edit(model="studio-images", image=one, prompt="Gold", quality="low")
        with CROWN.open("rb") as one, CROWN.open("rb") as two:
            both = studio.images.edit(model="studio-images", image=[one, two], prompt="Gold", output_format="jpeg")
    assert (picture(edited).format, picture(both).format) == ("PNG", "JPEG")
    assert {line["key_tail"] for line in read_log(sandbox.log) if line["provider"] == "azure"} == {"1234"}


def test_azure_client_gets_azures_errors(sandbox):
    with azure(sandbox, "bad-1234") as studio, pytest.raises(openai.AuthenticationError):
        studio.images.generate(model="studio-images", prompt="A cat")
    with azure(sandbox) as studio:
        with pytest.raises(openai.NotFoundError, match="deployment"):
            studio.images.generate(model="missing-images", prompt="A cat")
        with pytest.raises(openai.BadRequestError) as caught:
            studio.images.generate(model="studio-images", prompt="A cat [sandbox: refuse]")
    assert caught.value.code == "contentFilter"


def test_azure_does_not_take_a_bearer(sandbox):
    with client(sandbox, "/azure/openai/v1") as studio, pytest.raises(openai.AuthenticationError):
        studio.images.generate(model="studio-images", prompt="A cat")


@pytest.mark.parametrize(
    ("base", "model", "extra", "kind"),
    [
        ("/xai/v1", "grok-imagine-image-2.0", {"aspect_ratio": "16:9", "resolution": "2k"}, "JPEG"),
        ("/recraft/v1", "recraftv4_1", {"random_seed": 7}, "WEBP"),
        ("/ark/api/v3", "seedream-5-0-260128", {"watermark": False, "size": "2K", "output_format": "png"}, "PNG"),
    ],
)
def test_openai_client_makes_an_image(sandbox, base, model, extra, kind):
    with client(sandbox, base) as studio:
        made = studio.images.generate(model=model, prompt="A cat", response_format="b64_json", extra_body=extra)
    assert picture(made).format == kind


def test_image_of_ark_is_edited_by_a_generation(sandbox):
    source = f"data:image/png;base64,{base64.b64encode(CROWN.read_bytes()).decode()}"
    with client(sandbox, "/ark/api/v3") as studio:
        made = studio.images.generate(
            model="seedream-4-5-251128",
            prompt="Gold",
            response_format="b64_json",
            extra_body={"image": [source, source]},
        )
    assert picture(made).format == "JPEG"


@pytest.mark.parametrize(
    ("base", "model", "error"),
    [
        ("/xai/v1", "grok-imagine-image-2.0", openai.BadRequestError),
        ("/recraft/v1", "recraftv4_1", openai.AuthenticationError),
        ("/ark/api/v3", "seedream-4-5-251128", openai.AuthenticationError),
    ],
)
def test_openai_client_gets_each_providers_answer_to_a_wrong_key(sandbox, base, model, error):
    with client(sandbox, base, "bad-1234") as studio, pytest.raises(error):
        studio.images.generate(model=model, prompt="A cat")
