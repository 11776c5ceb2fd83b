"""OpenRouter's images endpoint against the examples of its documents: bodies out, answers in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from batchgen.fault import Cause, Charged, ProviderError
from batchgen.mode import Mode
from batchgen.providers.base import DataUrl
from batchgen.providers.presets import profile
from batchgen.providers.pricing import charge
from batchgen.providers.validation import check
from batchgen.task import Basis, Kind, Source, Task

from .test_dialects import B64, PNG, answer, finish, request, start

PANDA = "a red panda astronaut floating in space, studio lighting"
SOURCE = Source(path="/panda.png", sha256="ab", mime="image/png", size_bytes=9)
USAGE = {"prompt_tokens": 0, "completion_tokens": 4175, "total_tokens": 4175, "cost": 0.04}


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"model": "seedream-4.5"}, {"model": "bytedance-seed/seedream-4.5"}),
        (
            {"model": "seedream-4.5", "size": "16:9", "resolution": "2k", "seed": 7},
            {"model": "bytedance-seed/seedream-4.5", "aspect_ratio": "16:9", "resolution": "2K", "seed": 7},
        ),
        (
            {"model": "gpt-image-2", "size": "1536x1024", "quality": "high", "n": 3, "output_format": "jpg"},
            {"model": "openai/gpt-image-2", "size": "1536x1024", "quality": "high", "n": 3, "output_format": "jpeg"},
        ),
    ],
)
def test_openrouter_images_sends_each_field_under_its_name(fields: dict[str, Any], sent: dict[str, Any]) -> None:
    _, call = start(request("openrouter", prompt=PANDA, **fields))
    assert (call.method, call.url) == ("POST", "https://openrouter.ai/api/v1/images")
    assert call.json == {**sent, "prompt": PANDA}


def test_openrouter_images_sends_sources_as_references() -> None:
    web = Source(url="https://example.com/a.png")
    order = request("openrouter", model="flux.2-pro", prompt=PANDA, kind=Kind.EDIT, images=(SOURCE, web))
    _, call = start(order)
    assert call.json is not None
    assert call.json["input_references"] == [
        {"type": "image_url", "image_url": {"url": DataUrl(source=SOURCE)}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]


def test_openrouter_images_answer_states_its_exact_cost() -> None:
    order = request("openrouter", model="flux.2-pro", prompt=PANDA)
    conversation, _ = start(order)
    document = {"created": 1748372400, "data": [{"b64_json": B64, "media_type": "image/png"}], "usage": USAGE}
    result = finish(conversation, answer(document))
    assert [picture.data for picture in result.pictures] == [PNG]
    cost = charge(result.usage, order.task, order.model)
    assert (cost.usd, cost.basis) == (40_000_000, Basis.REPORTED)


def test_openrouter_images_errors_are_free() -> None:
    order = request("openrouter", model="seedream-4.5", prompt=PANDA)
    for status, message, cause in (
        (400, "Parameter 'quality' is not supported", Cause.INVALID),
        (402, "Insufficient credits", Cause.MONEY),
        (502, "Provider returned error", Cause.ERROR),
        (529, "Provider overloaded", Cause.THROTTLED),
    ):
        conversation, _ = start(order)
        with pytest.raises(ProviderError) as caught:
            conversation.send(answer({"error": {"code": status, "message": message}}, status=status))
        assert (caught.value.fault.cause, caught.value.fault.charged) == (cause, Charged.NO)


def test_openrouter_images_endpoint_has_no_tier() -> None:
    order = request("openrouter", model="seedream-4.5", prompt=PANDA)
    _, plain = start(order)
    _, flex = start(replace(order, mode=Mode.FLEX))
    assert plain.json == flex.json
    assert not order.model.modes


@pytest.mark.parametrize(
    ("fields", "misfit"),
    [
        ({"model": "seedream-4.5", "quality": "high"}, "quality"),
        ({"model": "recraft-v4.1", "resolution": "2K"}, "resolution"),
        ({"model": "recraft-v4.1", "kind": Kind.EDIT, "images": (SOURCE, SOURCE)}, "images"),
        ({"model": "flux.2-pro", "n": 2}, "n"),
        ({"model": "gpt-image-2", "kind": Kind.EDIT, "images": (SOURCE,), "mask": SOURCE}, "mask"),
    ],
)
def test_openrouter_images_refuses_unsupported_parameters_before_sending(fields: dict[str, Any], misfit: str) -> None:
    task = Task(**{"kind": Kind.GENERATE, "prompt": PANDA, "provider": "openrouter", **fields})
    assert misfit in [each.field for each in check(task, profile("openrouter"))]


def test_model_of_the_user_speaks_the_images_format_by_its_dialect() -> None:
    own = profile("openrouter", {"models": {"sourceful/riverflow-v2.5-pro": {"dialect": "openrouter_images"}}})
    model = own.find("riverflow-v2.5-pro")[1]
    assert (model.dialect, model.generate and model.generate.path) == ("openrouter_images", "images")
