"""OpenAI's images as data: Azure, xAI, Recraft and Ark, against the examples of their documents."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from batchgen.fault import Cause, Charged, Fault, ProviderError, Scope
from batchgen.providers.base import DataUrl, Reply, Request
from batchgen.providers.catalogue import read_catalogue
from batchgen.providers.model_changes import ChangeKind, model_changes
from batchgen.providers.presets import profile
from batchgen.providers.pricing import charge, estimate
from batchgen.providers.slot_profile import dump, load
from batchgen.providers.validation import check
from batchgen.task import Basis, Kind, Source, Task

from .test_dialects import B64, PNG, finish, request, start

AZURE = {"base_url": "https://studio.openai.azure.com"}
LOCAL = Source(path="/photos/a.png", mime="image/png")
LINK = Source(url="https://x.example/a.jpg", mime="image/jpeg")


def sent(provider: str, override: dict[str, Any] | None = None, **fields: Any) -> Any:
    return start(request(provider, override, **fields))[1]


def edit(provider: str, *images: Source, **fields: Any) -> Any:
    return sent(provider, kind=Kind.EDIT, images=images, **fields).json


def reply(body: object, status: int = 200, **headers: str) -> Reply:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, body=json.dumps(body).encode(), headers=names)


def fault(order: Request, answer: Reply) -> tuple[Fault, Any]:
    conversation, _ = start(order)
    with pytest.raises(ProviderError) as caught:
        conversation.send(answer)
    return caught.value.fault, caught.value.usage


def misfits(order: Request) -> list[str]:
    return [f"{misfit.field}: {misfit.message}" for misfit in check(order.task, order.profile)]


# --- xAI -----------------------------------------------------------------------------------------------------------

GROK = "grok-imagine-image-2.0"


def test_xai_generation_has_a_ratio_and_asks_for_base64():
    call = sent("xai", model=GROK, size="16:9", resolution="2k", quality="low", n=4)
    assert call.url == "https://api.x.ai/v1/images/generations"
    assert call.json == {
        "model": GROK,
        "prompt": "p",
        "n": 4,
        "aspect_ratio": "16:9",
        "resolution": "2k",
        "quality": "low",
        "response_format": "b64_json",
    }


@pytest.mark.parametrize(("size", "ratio"), [("1024x1024", "1:1"), ("19.5:9", "19.5:9"), ("1920x1080", "16:9")])
def test_xai_size_becomes_a_ratio(size, ratio):
    assert sent("xai", model=GROK, size=size).json["aspect_ratio"] == ratio


def test_xai_edit_names_one_image_or_several():
    one, many = edit("xai", LINK, model=GROK), edit("xai", LINK, LOCAL, model=GROK)
    assert one["image"] == {"type": "image_url", "url": LINK.url}
    assert "images" not in one
    assert many["images"] == [
        {"type": "image_url", "url": LINK.url},
        {"type": "image_url", "url": DataUrl(source=LOCAL)},
    ]
    assert "image" not in many


def test_xai_cost_is_what_the_answer_states_in_ticks():
    order = request("xai", model=GROK, quality="low")
    conversation, _ = start(order)
    answer = {"data": [{"b64_json": B64, "mime_type": "image/jpeg"}], "usage": {"cost_in_usd_ticks": 400_000_000}}
    made = finish(conversation, reply(answer))
    assert [picture.data for picture in made.pictures] == [PNG]
    assert charge(made.usage, order.task, order.model).usd == 40_000_000
    assert charge(made.usage, order.task, order.model).basis is Basis.REPORTED


def test_xai_image_that_was_held_back_is_refused_and_booked():
    answer = {"data": [{"url": "", "respect_moderation": False}], "usage": {"cost_in_usd_ticks": 600_000_000}}
    found, usage = fault(request("xai", model=GROK), reply(answer))
    assert (found.cause, found.charged) == (Cause.REFUSED, Charged.MAYBE)
    assert usage.usd == 60_000_000


def test_xai_image_that_was_held_back_beside_good_ones_explains_the_shortfall():
    order = request("xai", model=GROK, n=2)
    conversation, _ = start(order)
    answer = {"data": [{"b64_json": B64}, {"url": "", "respect_moderation": False}], "usage": {}}
    made = finish(conversation, reply(answer))
    assert len(made.pictures) == 1
    assert made.shortfall
    assert made.shortfall.cause is Cause.REFUSED  # buying the others once more would end alike


_INVALID = "Client specified an invalid argument"


@pytest.mark.parametrize(
    ("status", "code", "error", "cause"),
    [
        (400, _INVALID, "Incorrect API key provided: xa***. You can obtain one from https://console.x.ai.", "denied"),
        (400, _INVALID, "Generated image rejected by content moderation.", "refused"),
        (403, "permission-denied", "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO", "refused"),
        (400, _INVALID, "Argument not supported: size", "invalid"),
        (429, "Some resource has been exhausted", "Too many requests for team x", "throttled"),
        (
            429,
            "Some resource has been exhausted",
            "Your team 16f2151a has either used all available credits or reached its monthly spending limit.",
            "money",
        ),
        (403, "permission-denied", "Your newly created team doesn't have any credits yet.", "money"),
    ],
)
def test_xai_errors(status, code, error, cause):
    found, _ = fault(request("xai", model=GROK), reply({"code": code, "error": error}, status))
    assert found.cause.value == cause
    if cause == "denied":
        assert found.scope is Scope.ACCOUNT
    if cause == "refused":
        assert found.charged is Charged.MAYBE  # a fee for violations, by its price list


def test_xai_estimates_by_quality_resolution_and_source_images():
    one = request("xai", model=GROK, quality="medium", resolution="2k", n=2)
    assert estimate(one.task, one.model).high.usd == 160_000_000
    two = request("xai", model=GROK, kind=Kind.EDIT, images=(LINK, LOCAL), quality="low")
    assert estimate(two.task, two.model).expected.usd == 60_000_000
    unset = request("xai", model=GROK)
    assert estimate(unset.task, unset.model).high.usd == 80_000_000


# --- Recraft -------------------------------------------------------------------------------------------------------


def test_recraft_generation():
    call = sent("recraft", model="recraftv4_1", size="16:9", seed=7, extra={"style_id": "a-b"})
    assert call.url == "https://external.api.recraft.ai/v1/images/generations"
    expected = {"size": "16:9", "random_seed": 7, "style_id": "a-b", "response_format": "b64_json"}
    assert call.json == {"model": "recraftv4_1", "prompt": "p"} | expected


def test_recraft_edit_is_image_to_image_with_a_strength():
    body = edit("recraft", LOCAL, model="recraftv4_1", extra={"strength": 0.5})
    assert body == {
        "model": "recraftv4_1",
        "prompt": "p",
        "image_url": DataUrl(source=LOCAL),
        "strength": 0.5,
        "response_format": "b64_json",
    }
    assert edit("recraft", LOCAL, model="recraftv4_1")["strength"] == 0.2
    call = sent("recraft", kind=Kind.EDIT, images=(LINK,), model="recraftv4_1")
    assert call.url == "https://external.api.recraft.ai/v1/images/imageToImage"


def test_recraft_credits_are_those_of_the_whole_request():
    order = request("recraft", model="recraftv4", n=2)
    conversation, _ = start(order)
    data = [{"image_id": "a1", "b64_json": B64}, {"image_id": "b2", "b64_json": B64, "revised_prompt": "Fox"}]
    made = finish(conversation, reply({"created": 1748140800, "credits": 80, "data": data}))
    cost = charge(made.usage, order.task, order.model)
    assert (cost.credits, cost.usd) == (80_000, 80_000_000)


def test_recraft_refuses_what_its_model_refuses():
    order = request("recraft", model="recraftv4_1", size="1000x1000", extra={"negative_prompt": "text"})
    assert [words.partition(":")[0] for words in misfits(order)] == ["extra", "size"]
    two = request("recraft", model="recraftv4_1", kind=Kind.EDIT, images=(LOCAL, LINK))
    assert misfits(two) == ["images: 2 images; at most 1 are accepted"]


@pytest.mark.parametrize(
    ("status", "code", "cause"),
    [(400, "not_enough_credits", "money"), (401, "unauthorized", "denied"), (400, "invalid_parameter", "invalid")],
)
def test_recraft_errors(status, code, cause):
    found, _ = fault(request("recraft", model="recraftv4_1"), reply({"code": code, "message": "no"}, status))
    assert found.cause.value == cause


# --- Ark -----------------------------------------------------------------------------------------------------------


def test_ark_size_is_a_resolution_or_pixels():
    assert sent("ark", model="seedream-4.5", resolution="4K").json == {
        "model": "seedream-4-5-251128",
        "prompt": "p",
        "size": "4K",
        "response_format": "b64_json",
        "watermark": False,
    }
    assert sent("ark", model="seedream-4.5", size="2560x1440").json["size"] == "2560x1440"
    call = sent("ark", model="seedream-4.5", extra={"watermark": True})
    assert call.url == "https://ark.ap-southeast.bytepluses.com/api/v3/images/generations"
    assert call.json["watermark"] is True


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"size": "1024x1024"}, "it has fewer than 3686400 pixels"),
        ({"size": "8192x4096"}, "it has more than 16777216 pixels"),
        ({"size": "16384x512"}, "its shape is beyond 16:1"),
        ({"size": "2560x1440", "resolution": "2K"}, "takes either size or resolution, not both"),
        ({"resolution": "8K"}, "does not know resolution '8K'"),
        ({"n": 2}, "gives at most 1 per request"),
    ],
)
def test_ark_bounds(fields, words):
    (found,) = misfits(request("ark", model="seedream-4.5", **fields))
    assert words in found


def test_ark_edit_is_a_generation_with_an_image_or_a_list():
    assert edit("ark", LINK, model="seedream-4.5")["image"] == LINK.url
    assert edit("ark", LINK, LOCAL, model="seedream-4.5")["image"] == [LINK.url, DataUrl(source=LOCAL)]


def test_ark_answer_is_priced_per_image():
    order = request("ark", model="seedream-5.0-lite")
    conversation, _ = start(order)
    usage = {"generated_images": 1, "output_tokens": 6240, "total_tokens": 6240}
    answer = {"model": "seedream-5-0-260128", "created": 1768518000, "data": [{"b64_json": B64, "size": "2048x2048"}]}
    made = finish(conversation, reply({**answer, "usage": usage}))
    cost = charge(made.usage, order.task, order.model)
    assert (cost.usd, cost.basis) == (35_000_000, Basis.PRICED)


def test_ark_unknown_price_stays_unknown():
    order = request("ark", model="seedream-5.0-pro", resolution="1.5K")
    assert estimate(order.task, order.model).high.usd is None


@pytest.mark.parametrize(
    ("status", "code", "cause"),
    [
        (401, "AuthenticationError", "denied"),
        (403, "AccountOverdueError", "money"),
        (429, "SetLimitExceeded", "money"),
        (429, "ModelAccountIpmRateLimitExceeded", "throttled"),
        (404, "ModelNotOpen", "denied"),
        (400, "InputTextSensitiveContentDetected", "refused"),
        (400, "OutputImageSensitiveContentDetected", "refused"),
        (400, "InvalidParameter", "invalid"),
    ],
)
def test_ark_errors(status, code, cause):
    body = {"error": {"code": code, "message": "The request failed.", "param": "", "type": ""}}
    found, _ = fault(request("ark", model="seedream-4.5"), reply(body, status))
    assert found.cause.value == cause


def test_ark_picture_that_failed_alone_is_an_error_of_the_answer():
    body = {"data": [{"error": {"code": "OutputImageSensitiveContentDetected", "message": "sensitive"}}]}
    found, _ = fault(request("ark", model="seedream-4.5"), reply(body))
    assert found.cause is Cause.REFUSED


# --- Azure ---------------------------------------------------------------------------------------------------------


def test_azure_generation_names_the_deployment():
    call = sent(
        "azure", {**AZURE, "models": {"gpt-image-2": {"wire": "studio-images"}}}, size="1024x1024", quality="high"
    )
    assert call.url == "https://studio.openai.azure.com/openai/v1/images/generations?api-version=preview"
    assert call.json == {"model": "studio-images", "prompt": "p", "size": "1024x1024", "quality": "high"}


def test_azure_edit_is_a_form():
    call = sent("azure", AZURE, kind=Kind.EDIT, images=(LOCAL, LOCAL), mask=LOCAL, quality="high")
    assert call.url == "https://studio.openai.azure.com/openai/v1/images/edits?api-version=preview"
    assert dict(call.form) == {"model": "gpt-image-2", "quality": "high", "prompt": "p"}
    assert [part.name for part in call.files] == ["image[]", "image[]", "mask"]


def test_azure_settings_may_change_version_and_address():
    call = sent("azure", {"base_url": "https://r.services.ai.azure.com/openai/v1/", "query": {"api-version": "latest"}})
    assert call.url == "https://r.services.ai.azure.com/openai/v1/images/generations?api-version=latest"


def test_azure_has_no_webp_and_no_moderation():
    order = request("azure", AZURE, output_format="webp", moderation="low")
    assert [words.partition(":")[0] for words in misfits(order)] == ["output_format", "moderation"]


@pytest.mark.parametrize(
    ("status", "code", "message", "cause"),
    [
        (400, "contentFilter", "Your task failed as a result of our safety system.", "refused"),
        (400, "contentFilter", "Generated image was filtered.", "refused"),
        (404, "DeploymentNotFound", "The API deployment for this resource does not exist.", "denied"),
        (401, "401", "Access denied due to invalid subscription key", "denied"),
        (
            403,
            "Forbidden",
            "Your resource has been temporarily blocked because of behavior that may violate our content policy.",
            "denied",
        ),
        (429, "429", "Requests have exceeded the rate limit. Please retry after 6 seconds.", "throttled"),
    ],
)
def test_azure_errors(status, code, message, cause):
    found, _ = fault(request("azure", AZURE), reply({"error": {"code": code, "message": message}}, status))
    assert found.cause.value == cause


def test_azure_unset_quality_is_priced_as_high():
    order = request("azure", AZURE, size="1024x1024")
    assert estimate(order.task, order.model).expected.usd == pytest.approx(0.211e9, rel=0.01)


# --- what a model takes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "value", "takes"),
    [
        ("gpt-image-1.5", "high", True),
        ("gpt-image-1.5", "extreme", False),
        ("gpt-image-1-mini", "low", True),
        ("gpt-image-1-mini", "high", False),
        ("gpt-image-2", "low", False),
    ],
)
def test_input_fidelity_by_model(model, value, takes):
    order = request("openai", model=model, kind=Kind.EDIT, images=(LOCAL,), extra={"input_fidelity": value})
    assert (misfits(order) == []) is takes


def test_value_in_extra_is_checked_where_the_values_are_known():
    order = request("openai", extra={"complexity": "extreme"})
    assert misfits(order) == ["extra: openai (gpt-image-2) does not know complexity 'extreme'"]
    assert misfits(request("openai", extra={"complexity": "low"})) == []


# --- a provider of one's own ---------------------------------------------------------------------------------------

OWN = {
    "dialect": "openai_images",
    "base_url": "https://gw.example",
    "auth": {"header": "x-api-key", "value": "{key}"},
    "cost": {"path": "meta.price", "unit": "credits", "scale": 0.1},
    "tariff": {"usd_per_credit": 0.01},
    "default_model": "mine",
    "models": {
        "mine": {
            "generate": {
                "sends": {"response_format": "b64_json"},
                "names": {"seed": "random_seed"},
                "fields": ["seed"],
            },
            "edit": {"path": "generate", "images": {"one": "image", "many": "image", "item": "{image}"}},
        }
    },
}


def test_own_provider_is_described_as_data():
    body = sent("studio", OWN, model="mine", seed=3).json
    assert body == {"model": "mine", "prompt": "p", "size": "1024x1024", "n": 1} | {
        "random_seed": 3,
        "response_format": "b64_json",
    }
    assert sent("studio", OWN, kind=Kind.EDIT, images=(LINK,), model="mine").json["image"] == LINK.url


def test_own_cost_is_read_and_priced():
    order = request("studio", OWN, model="mine")
    conversation, _ = start(order)
    made = finish(conversation, reply({"data": [{"b64_json": B64}], "meta": {"price": 35}}))
    cost = charge(made.usage, order.task, order.model)
    assert (cost.credits, cost.usd) == (3_500, 35_000_000)


@pytest.mark.parametrize("amount", [None, True, "x", "NaN", -1, 10**80, {"usd": 1}, [3]])
def test_amount_that_is_none_is_no_cost(amount):
    order = request("studio", OWN, model="mine")
    conversation, _ = start(order)
    made = finish(conversation, reply({"data": [{"b64_json": B64}], "meta": {"price": amount}}))
    assert charge(made.usage, order.task, order.model).usd is None


@pytest.mark.parametrize("provider", ["xai", "recraft", "ark"])
def test_answer_in_the_spool_is_priced_like_any_other(provider):
    order = request(provider, model=profile(provider).default_model)
    kept = json.loads(json.dumps(dump(order.profile, order.model, order.task.model)))
    again, model = load(order.task, {"profile": kept})
    assert (again.cost, again.auth, model) == (order.profile.cost, order.profile.auth, order.model)


def test_list_of_models_proves_nothing_where_deployments_have_names_of_their_own():
    azure = profile("azure", AZURE)
    catalogue = read_catalogue({"data": [{"id": "gpt-image-2"}, {"id": "gpt-image-3"}]})
    assert catalogue
    assert catalogue.offers(azure) == {}
    changes = model_changes(azure, catalogue, date(2026, 11, 30))
    assert not [change for change in changes if change.kind is ChangeKind.GONE]


def test_task_of_another_provider_is_fitted():
    task = Task(kind=Kind.GENERATE, prompt="p", provider="xai", model="grok-imagine-image", quality="low")
    order = request("xai", model="grok-imagine-image")
    assert [misfit.absent for misfit in check(task, order.profile)] == [True]
