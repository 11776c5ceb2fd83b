"""Presets: all load, overrides merge, and what cannot work is said clearly."""

from __future__ import annotations

import json
from datetime import time
from decimal import Decimal
from typing import Any

import pytest

from batchgen.errors import SettingsError
from batchgen.mode import Mode, ModeStep
from batchgen.providers import dialect, slot_profile
from batchgen.providers.addresses import join
from batchgen.providers.presets import PRESET_NAMES, flaws, preset_names, profile
from batchgen.providers.profile import Profile, UnknownModel
from batchgen.task import Kind

GATEWAY = {"preset": "gateway", "base_url": "https://gw.example.com"}


def test_names() -> None:
    assert preset_names() == PRESET_NAMES
    assert preset_names()[:7] == ("aigate", "gptimageapi", "aimlapi", "gateway", "openai", "openrouter", "sandbox")
    assert "fal" in preset_names()


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_every_preset_loads(name: str) -> None:
    spoken = profile(name, {"base_url": "https://gw.example.com"} if name in ("gateway", "azure") else None)
    assert (spoken.name, spoken.preset) == (name, name)
    assert spoken.limits.concurrency >= 2
    assert spoken.timeout.connect == 10
    assert spoken.find() == spoken.find(spoken.default_model)
    for model in spoken.models.values():
        assert dialect(model.dialect or spoken.dialect)
        for rules in filter(None, (model.generate, model.edit)):
            assert spoken.url(rules.path).startswith(spoken.origin + "/")


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("aigate", "AIGATE_API_KEY"),
        ("gptimageapi", "GPTIMAGEAPI_API_KEY"),
        ("aimlapi", "AIMLAPI_API_KEY"),
        ("openai", "OPENAI_API_KEY"),
        ("openrouter", "OPENROUTER_API_KEY"),
        ("xai", "XAI_API_KEY"),
        ("recraft", "RECRAFT_API_TOKEN"),
        ("ark", "ARK_API_KEY"),
    ],
)
def test_key_names(name: str, variable: str) -> None:
    assert profile(name).api_key_env == (variable,)


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        ("https://x", "/v1/images", "https://x/v1/images"),
        ("https://x/", "/v1/images", "https://x/v1/images"),
        ("https://x/v1", "/v1/images", "https://x/v1/images"),
        ("https://x/v1//", "/v1/images", "https://x/v1/images"),
        ("https://x/api/v1", "/api/v1/images", "https://x/api/v1/images"),
        ("https://x/api", "/api/v1/images", "https://x/api/v1/images"),
        ("https://x/v1", "/api/v1/images", "https://x/api/v1/images"),
        ("https://x/team/a", "/v1/images", "https://x/team/a/v1/images"),
        ("https://x/team/v1", "/v1/images", "https://x/team/v1/images"),
        ("https://v1", "/v1/images", "https://v1/v1/images"),
        ("http://127.0.0.1:8123/aigate", "/v1/images", "http://127.0.0.1:8123/aigate/v1/images"),
    ],
)
def test_urls(base: str, path: str, url: str) -> None:
    assert join(base, path) == url


@pytest.mark.parametrize(
    ("base", "origin"),
    [
        ("https://GW.example.com:443/v1", "https://gw.example.com"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_origin(base: str, origin: str) -> None:
    assert profile("gateway", {"base_url": base}).origin == origin


@pytest.mark.parametrize(
    ("name", "override", "words"),
    [
        ("aigat", None, "Did you mean 'aigate'"),
        ("studio", {"preset": "gatewy"}, "Did you mean 'gateway'"),
        ("studio", {"base_url": "https://x.example"}, "needs preset and base_url, or dialect"),
        ("gateway", None, "base_url is missing"),
        ("aigate", {"base_url": "http://api.aigate.shop"}, "plain http"),
        ("aigate", {"base_url": "http://127.0.0.1.evil.com"}, "plain http"),
        ("aigate", {"base_url": "https://u:p@x.com"}, "name or password"),
        ("aigate", {"base_url": "https://x.com?k=v"}, "query"),
        ("aigate", {"base_url": "https://x.com/#"}, "fragment"),
        ("aigate", {"base_url": "api.aigate.shop"}, "must start with https"),
        ("aigate", {"base_url": "ftp://x.com"}, "must start with https"),
        ("aigate", {"base_url": "https://x.com:99999"}, "not a URL"),
        ("aigate", {"base_url": "https://[::1"}, "not a URL"),
        ("aigate", {"base_url": "https://x .com"}, "blanks"),
        ("aigate", {"base_url": 7}, "missing"),
        ("aigate", {"limit": {}}, "Did you mean 'limits'"),
        ("aigate", {"limits": {"concurrency": 0}}, "limits.concurrency"),
        ("aigate", {"limits": {"speed": 1}}, "limits.speed"),
        ("aigate", {"paths": {"generate": "https://evil.com/x"}}, "must start with a single /"),
        ("aigate", {"default_model": "gpt-image-9"}, "not among the models"),
        ("aigate", {"models": {"x": {"generate": {"path": "nowhere"}}}}, "not among the paths"),
        ("aigate", {"models": {"x": 3}}, "must be a mapping"),
        ("aigate", {"tariff": 3}, "must be a mapping"),
        ("aigate", {"tariff": {"usd_per_image": -1}}, "greater than or equal"),
    ],
)
def test_what_cannot_work_is_stated(name: str, override: dict[str, Any] | None, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        profile(name, override)
    assert name in str(caught.value)


@pytest.mark.parametrize("base", ["http://localhost:1", "http://127.0.0.1", "http://127.9.9.9:5/v1", "http://[::1]:7"])
def test_plain_http_to_loopback(base: str) -> None:
    assert profile("aigate", {"base_url": base}).base_url == base


def test_overrides_merge_deeply() -> None:
    override = {
        "limits": {"concurrency": 32, "images_per_minute": 60},
        "timeout": {"total": 500},
        "api_key_env": "MY_KEY",
        "on_unknown": "hold",
        "models": {"openai/gpt-image-2": {"generate": {"n_max": 4}}},
        "default_model": "google/gemini-3-pro-image-preview",
    }
    spoken = profile("aigate", override)
    assert (spoken.limits.concurrency, spoken.limits.images_per_minute) == (32, 60)
    assert (spoken.timeout.connect, spoken.timeout.total) == (10, 500)
    assert (spoken.api_key_env, spoken.on_unknown) == (("MY_KEY",), "hold")
    assert spoken.default_model == "gemini-3-pro-image"
    _, model = spoken.find("gpt-image-2")
    assert model.generate is not None
    assert (model.generate.n_max, model.generate.path) == (4, "generate")
    assert profile("aigate").limits.concurrency == 4, "an override must not leak into the preset"


def test_a_model_of_ones_own_inherits_rules_but_no_price() -> None:
    spoken = profile("openrouter", {"models": {"flux-9": {"wire": "black/flux-9"}, "google/nano": {}}})
    canonical, model = spoken.find("black/flux-9")
    assert (canonical, model.wire) == ("flux-9", "black/flux-9")
    assert model.generate == spoken.find()[1].generate
    assert model.tariff.usd_per_million_tokens is None
    assert spoken.find("nano")[1].wire == "google/nano"
    chat = profile("aigate", {"models": {"google/new": {"dialect": "gemini_chat"}}}).find("google/new")[1]
    assert chat.generate is not None
    assert chat.generate.path == "chat"


def test_a_provider_without_a_preset() -> None:
    spoken = profile("my-shop", {"dialect": "openai_images", "base_url": "https://a.example/v1"})
    assert (spoken.preset, spoken.api_key_env) == ("gateway", ("MY_SHOP_API_KEY",))
    chat = profile("chat", {"dialect": "gemini_chat", "base_url": "https://a.example"})
    assert (chat.preset, chat.charges_errors) == ("openrouter", None)
    assert chat.api_key_env == ("CHAT_API_KEY",), "another company's key must not go there"
    assert chat.find()[1].tariff.usd_per_image is None
    assert profile("x", {"dialect": "acme", "base_url": "https://a.example"}).dialect == "acme"


def test_a_tariff_of_ones_own_reaches_every_model() -> None:
    flat = profile("aigate", {"tariff": {"usd_per_image": 0.04}})
    for model in flat.models.values():
        assert model.tariff.usd_per_image == Decimal("0.04")
        assert model.tariff.usd_per_million_tokens is None, "the user's flat price replaces the preset's table"
    rate = profile("gptimageapi", {"tariff": {"usd_per_credit": 0.01}}).find()[1].tariff
    assert rate.credits_per_image == {"low": 2, "medium": 6, "high": 12}
    assert rate.usd_per_credit == Decimal("0.01")
    tokens = profile("openai", {"tariff": {"usd_per_million_tokens": {"image_out": 15}}}).find()[1].tariff
    assert tokens.usd_per_million_tokens is not None
    assert (tokens.usd_per_million_tokens.image_out, tokens.usd_per_million_tokens.text_in) == (Decimal(15), Decimal(5))


@pytest.mark.parametrize(
    ("provider", "name", "wire"),
    [
        ("aigate", "gpt-image-2", "openai/gpt-image-2"),
        ("aigate", "openai/gpt-image-2", "openai/gpt-image-2"),
        ("aigate", "google/gemini-3.1-flash-image-preview", "google/gemini-3.1-flash-image-preview"),
        ("gptimageapi", "openai/gpt-image-2", "gpt-image-2"),
        ("aimlapi", "gpt-image-2", "openai/gpt-image-2"),
        ("openai", "openai/gpt-image-1.5", "gpt-image-1.5"),
        ("openrouter", None, "google/gemini-3.1-flash-image"),
        ("openrouter", "google/gemini-3.1-flash-image-preview", "google/gemini-3.1-flash-image"),
        ("openrouter", "gemini-3-pro-image-preview", "google/gemini-3-pro-image"),
        ("aigate", "gemini-3.1-flash-image", "google/gemini-3.1-flash-image-preview"),
    ],
)
def test_either_name_is_understood(provider: str, name: str | None, wire: str) -> None:
    assert profile(provider).find(name)[1].wire == wire


@pytest.mark.parametrize(
    ("provider", "url", "allowed"),
    [
        ("gptimageapi", "https://cdn.gptimageapi.dev/renders/1.png", True),
        ("gptimageapi", "https://CDN.gptimageapi.dev:443/1.png", True),
        ("gptimageapi", "https://api.gptimageapi.dev/1.png", True),
        ("gptimageapi", "http://cdn.gptimageapi.dev/1.png", False),
        ("gptimageapi", "https://cdn.gptimageapi.dev:8443/1.png", False),
        ("gptimageapi", "https://u@cdn.gptimageapi.dev/1.png", False),
        ("gptimageapi", "https://cdn.gptimageapi.dev.evil.com/1.png", False),
        ("gptimageapi", "https://evilgptimageapi.dev/1.png", False),
        ("gptimageapi", "https://x:99999/", False),
        ("gptimageapi", "file:///etc/passwd", False),
        ("aimlapi", "https://eu.cdn.aimlapi.com/1.png", True),
        ("openai", "https://elsewhere.example/1.png", False),
        ("openai", "https://api.openai.com/1.png", True),
        ("aigate", "https://anything.example/1.png", True),
        ("aigate", "https://169.254.169.254/", False),
        ("aigate", "https://[::1]/", False),
        ("aigate", "https://intranet/", False),
        ("sandbox", "http://127.0.0.1:8765/cdn/1.png", True),
        ("sandbox", "http://127.0.0.1:9999/cdn/1.png", False),
    ],
)
def test_where_results_may_come_from(provider: str, url: str, allowed: bool) -> None:
    assert profile(provider).may_fetch(url) is allowed


def test_unknown_model_has_a_suggestion() -> None:
    with pytest.raises(UnknownModel, match="gpt-image-2") as caught:
        profile("aimlapi").find("gpt-imgae-2")
    assert caught.value.suggestion.endswith("gpt-image-2")


def test_facts_of_the_documents() -> None:
    aimlapi = profile("aimlapi")
    assert (aimlapi.charges_errors, aimlapi.request_id_header) == (False, "X-Client-Request-Id")
    assert "cdn.aimlapi.com" in aimlapi.url_hosts
    edit = aimlapi.find()[1].rules(Kind.EDIT)
    assert edit is not None
    assert (edit.body, edit.n_max, edit.images_max, edit.mask, edit.image_urls) == ("multipart", 10, 16, True, False)
    assert "moderation" not in edit.fields
    assert profile("gptimageapi").find()[1].edit is None
    assert profile("gateway", {"base_url": "https://x.example"}).find()[1].edit is None
    assert "cdn.gptimageapi.dev" in profile("gptimageapi").url_hosts


FLEX = {"models": {"gemini-3-pro-image": {"modes": {"flex": {"factor": 0.5, "total": 1200}}}}}


def test_modes_of_a_provider_are_read_and_survive_a_slot() -> None:
    settings = {**FLEX, "modes": [{"flex": "until 06:00"}, "standard"]}
    made = profile("openrouter", settings)
    assert [(step.mode, step.until) for step in made.modes] == [(Mode.FLEX, time(6)), (Mode.STANDARD, None)]
    name, found = made.find("gemini-3-pro-image")
    again = Profile.model_validate(json.loads(json.dumps(slot_profile.dump(made, found, name))))
    assert again.modes == made.modes
    assert again.models[name].modes == found.modes
    assert profile("openrouter", {**FLEX, "modes": "flex"}).modes == (ModeStep(mode=Mode.FLEX),)


@pytest.mark.parametrize(
    ("settings", "path", "message"),
    [
        ({"modes": ["batch"]}, ("modes", 0), "openrouter has no mode batch"),
        ({**FLEX, "modes": ["flex", "standard", "flex"]}, ("modes", 2), "flex is named twice"),
        ({"modes": ["felx"]}, ("modes", 0), "there is no mode 'felx'"),
        ({"modes": [{"flex": 360}]}, ("modes", 0), "a time is missing"),
        ({"modes": ["standard", "batch"]}, ("modes", 1), "batch comes first"),
    ],
)
def test_modes_that_cannot_work_are_refused_with_their_place(
    settings: dict[str, Any], path: tuple[str | int, ...], message: str
) -> None:
    found = flaws("openrouter", settings)
    assert message in found[path]


def test_models_of_another_company_inherit_no_modes() -> None:
    other = profile("own", {"dialect": "gemini_chat", "base_url": "https://gw.example.com", **FLEX})
    assert [name for name, each in other.models.items() if each.modes] == ["gemini-3-pro-image"]  # the user's own
