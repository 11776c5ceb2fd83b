"""A job in another provider's terms: its model, and what is left out because the image is the same without."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchgen.providers.presets import PRESET_NAMES, profile
from batchgen.providers.validation import HARMLESS, check, translate
from batchgen.task import Kind, Source, Task

BASES = {name: {"base_url": "https://gw.example.com"} for name in ("gateway", "azure")}
PROFILES = {name: profile(name, BASES.get(name)) for name in PRESET_NAMES}
TASK = Task(kind=Kind.GENERATE, prompt="a cat", provider="openai", model="gpt-image-2", size="1024x1024", quality="low")


@pytest.mark.parametrize("name", [name for name in PRESET_NAMES if "gpt-image-2" in PROFILES[name].models])
def test_the_same_picture_is_asked_for(name):
    there = translate(TASK, PROFILES[name])
    assert there == replace(TASK, provider=name)


@pytest.mark.parametrize("spelled", ["gpt-image-2", "openai/gpt-image-2"])
@pytest.mark.parametrize("name", ["aigate", "aimlapi", "openai"])
def test_model_is_named_as_its_provider_names_it(name, spelled):
    there = translate(replace(TASK, model=spelled), PROFILES[name])
    assert there.model in PROFILES[name].models


@pytest.mark.parametrize("name", PRESET_NAMES)
@pytest.mark.parametrize("kind", Kind)
def test_unsupported_parameters_are_left_out(name, kind):
    known = PROFILES[name]
    for model, facts in known.models.items():
        rules = facts.rules(kind)
        if rules is None:
            continue
        asked = replace(TASK, kind=kind, model=model, moderation="low", output_compression=80)
        there = translate(asked, known)
        kept = {field for field in HARMLESS if getattr(there, field) is not None}
        assert kept == set(HARMLESS) & set(rules.fields), (model, kind)


def test_what_would_change_the_picture_is_never_left_out():
    asked = replace(
        TASK, background="transparent", output_format="png", seed=7, resolution="4k", n=3, extra={"style": "vivid"}
    )
    for name, known in PROFILES.items():
        there = translate(asked, known)
        assert replace(there, provider=asked.provider, model=asked.model) == asked, name


def test_a_job_that_a_provider_cannot_do_is_left_for_the_check():
    edit = replace(TASK, kind=Kind.EDIT, images=(Source(path="/a.png", sha256="0"),), moderation="low")
    there = translate(edit, PROFILES["gptimageapi"])
    assert there == replace(edit, provider="gptimageapi", model=there.model)
    assert check(there, PROFILES["gptimageapi"])


def test_unknown_model_keeps_its_name():
    asked = replace(TASK, model="nobodys-model", moderation="low")
    assert translate(asked, PROFILES["aigate"]) == replace(asked, provider="aigate")


def test_a_job_without_a_model_gets_the_default():
    known = PROFILES["aigate"]
    assert translate(replace(TASK, model=""), known).model == known.default_model
