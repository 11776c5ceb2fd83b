"""Azure, xAI, Recraft and Ark in the sandbox: as strict as their documents."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from batchgen.sandbox.dialects import DIALECTS
from batchgen.sandbox.values import Form, Order, Refusal, Trace, Upload

from .test_strict import png, read, refused, upload

TRACE = Trace(serial=1, now=1_780_000_000.5, path="/p/v1/x", request_id="abc")
AZURE = {"model": "studio-images", "prompt": "A cat"}
GROK = {"model": "grok-imagine-image-2.0", "prompt": "A cat"}
RECRAFT = {"model": "recraftv4_1", "prompt": "A cat"}
ARK = {"model": "seedream-4-5-251128", "prompt": "A cat"}
LINK = "https://picsum.photos/300/200"
SOURCE = {"type": "image_url", "url": LINK}


def fetched(provider: str, kind: str, fields: dict[str, Any], *files: Upload) -> Order:
    form = Form(fields=fields, files=files, multipart=bool(files))
    return DIALECTS[provider].read(form, kind, lambda _: png())


@pytest.mark.parametrize(
    ("provider", "kind", "fields", "edges"),
    [
        ("azure", "generation", {**AZURE, "size": "1024x640", "quality": "low"}, (1024, 640)),
        ("azure", "generation", {**AZURE, "model": "gpt-image-1.5", "size": "auto"}, (1024, 1024)),
        ("xai", "generation", {**GROK, "aspect_ratio": "16:9", "resolution": "2k", "n": 10}, (2560, 1440)),
        ("xai", "edit", {**GROK, "image": SOURCE}, (1024, 1024)),
        ("xai", "edit", {**GROK, "images": [SOURCE, SOURCE], "quality": "medium"}, (1024, 1024)),
        ("recraft", "generation", {**RECRAFT, "size": "16:9", "n": 6}, (1344, 768)),
        ("recraft", "generation", {**RECRAFT, "model": "recraftv4_pro", "size": "3072x1536"}, (3072, 1536)),
        ("recraft", "edit", {**RECRAFT, "strength": 0.2, "image_url": LINK}, (1216, 896)),
        ("ark", "image", {**ARK, "size": "4K"}, (4096, 4096)),
        ("ark", "image", {**ARK, "model": "doubao-seedream-4-5-251128", "size": "2560x1440"}, (2560, 1440)),
        ("ark", "image", {**ARK, "image": LINK, "watermark": False}, (4096, 4096)),
        ("ark", "image", {**ARK, "image": [LINK, LINK], "size": "2K"}, (2048, 2048)),
    ],
)
def test_documented_request_is_carried_out(provider, kind, fields, edges):
    order = fetched(provider, kind, fields)
    assert (order.width, order.height) == edges
    assert len(order.sources) == len(fields.get("images", ())) or order.sources


@pytest.mark.parametrize(
    ("provider", "kind", "fields"),
    [
        ("azure", "generation", {**AZURE, "output_format": "webp"}),
        ("azure", "generation", {**AZURE, "quality": "max"}),
        ("azure", "generation", {**AZURE, "response_format": "url"}),
        ("azure", "generation", {**AZURE, "model": "gpt-image-1.5", "size": "1024x640"}),
        ("azure", "generation", {**AZURE, "model": "no such deployment"}),
        ("azure", "edit", {**AZURE, "images": [{"image_url": LINK}]}),
        ("xai", "generation", {**GROK, "size": "1024x1024"}),
        ("xai", "generation", {**GROK, "model": "grok-imagine-image", "quality": "low"}),
        ("xai", "generation", {**GROK, "aspect_ratio": "7:5"}),
        ("xai", "generation", {**GROK, "n": 11}),
        ("xai", "edit", GROK),
        ("xai", "edit", {**GROK, "image": LINK}),
        ("xai", "edit", {**GROK, "image": SOURCE, "images": [SOURCE]}),
        ("xai", "edit", {**GROK, "images": [SOURCE] * 4}),
        ("recraft", "generation", {**RECRAFT, "size": "1000x1000"}),
        ("recraft", "generation", {**RECRAFT, "negative_prompt": "text"}),
        ("recraft", "generation", {**RECRAFT, "n": 7}),
        ("recraft", "edit", {**RECRAFT, "image_url": LINK}),
        ("recraft", "edit", {**RECRAFT, "image_url": LINK, "strength": 2}),
        ("recraft", "edit", {**RECRAFT, "strength": 0.2}),
        ("ark", "image", {**ARK, "size": "1024x1024"}),
        ("ark", "image", {**ARK, "n": 2}),
        ("ark", "image", {**ARK, "output_format": "png"}),
        ("ark", "image", {**ARK, "image": []}),
        ("ark", "image", {**ARK, "model": "seedream-9"}),
    ],
)
def test_undocumented_request_is_refused(provider, kind, fields):
    with pytest.raises(Refusal) as caught:
        fetched(provider, kind, fields)
    answer = DIALECTS[provider].refuse(caught.value, TRACE, kind)
    assert 400 <= answer.status < 500


def test_azure_edit_is_a_form_and_its_version_is_known():
    order = read("azure", "edit", AZURE, upload("image[]", png()), upload("image[]", png()))
    assert (len(order.sources), order.quality) == (2, "high")
    form = Form(fields=AZURE, query={"api-version": "1999-01-01"})
    with pytest.raises(Refusal):
        DIALECTS["azure"].read(form, "generation", lambda _: png())


def test_recraft_takes_a_file_too():
    order = read("recraft", "edit", {**RECRAFT, "strength": "0.2"}, upload("image", png()))
    assert len(order.sources) == 1
    refused("recraft", "edit", {**RECRAFT, "strength": "0.2", "image_url": LINK}, upload("image", png()))


@pytest.mark.parametrize(
    ("provider", "kind", "fields", "usd", "states"),
    [
        (
            "xai",
            "generation",
            {**GROK, "quality": "medium", "resolution": "2k"},
            "0.16",
            ("usage", "cost_in_usd_ticks"),
        ),
        ("xai", "edit", {**GROK, "images": [SOURCE, SOURCE]}, "0.1", ("usage", "cost_in_usd_ticks")),
        ("recraft", "generation", RECRAFT, "0.07", ("credits",)),
        ("ark", "image", ARK, "0.08", ("usage", "generated_images")),
    ],
)
def test_charge_of_two_images_is_stated_as_documented(provider, kind, fields, usd, states):
    order, dialect = fetched(provider, kind, fields), DIALECTS[provider]
    bill = dialect.price(order, 2)
    assert bill.usd == Decimal(usd)
    stated: Any = dialect.answer(order, bill, (), TRACE, None).payload
    for name in states:
        stated = stated[name]
    assert stated == {"xai": int(Decimal(usd) * 10**10), "recraft": 70, "ark": 2}[provider]


@pytest.mark.parametrize(
    ("provider", "status", "words"),
    [
        ("azure", 401, "invalid subscription key"),
        ("xai", 400, "Incorrect API key provided"),
        ("recraft", 401, "Invalid token"),
        ("ark", 401, "doesn't exist"),
    ],
)
def test_wrong_key_has_the_providers_own_answer(provider, status, words):
    answer = DIALECTS[provider].refuse(Refusal("denied"), TRACE, "generation")
    assert answer.status == status
    assert words in str(answer.payload)
