"""Models that a provider counts together: as a manifest states them, and what is wrong with them, where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from batchgen.errors import ManifestError, SettingsError
from batchgen.manifest import load
from batchgen.manifest.schema import schema
from batchgen.providers.presets import profile

MINI = "gpt-image-1-mini"


def manifest(folder: Path, groups: str) -> Path:
    file = folder / "m.yaml"
    jobs = "jobs:\n  - {id: a, prompt: a cat, provider: openai}\n"
    file.write_text(f"version: 1\nproviders:\n  openai:\n    groups:\n{groups}\n{jobs}")
    return file


def test_groups_match_models_or_globs_and_the_first_wins(tmp_path):
    text = (
        "      mini: {models: '*-mini', requests_per_minute: 5}\n"
        "      images: {models: [gpt-image-1*, gpt-image-2], images_per_minute: 20, concurrency: 3}"
    )
    known = load(manifest(tmp_path, text)).profiles["openai"]
    assert known.grouped == {"mini": {MINI}, "images": {"gpt-image-1.5", "gpt-image-2"}}
    assert (known.groups["mini"].requests_per_minute, known.groups["mini"].concurrency) == (5, None)
    assert (known.groups["images"].images_per_minute, known.groups["images"].concurrency) == (20, 3)


def test_a_provider_s_own_name_of_a_model_serves_as_well():
    known = profile("aigate", {"groups": {"google": {"models": ["google/*"]}, "gpt": {"models": ["openai/*"]}}})
    assert known.grouped["gpt"] == {"gpt-image-2"}
    assert known.grouped["google"]
    assert not known.grouped["google"] & known.grouped["gpt"]


@pytest.mark.parametrize(
    ("group", "line", "said"),
    [
        ("x: {models: [gpt-imge-2]}", 4, "groups.x: no model fits 'gpt-imge-2'; did you mean 'gpt-image-2'?"),
        ("x: {models: [dall-e-*]}", 4, "groups.x: no model fits 'dall-e-*'; there are: chatgpt-image-latest, "),
        ("x: {requests_per_minute: 5}", 5, "'models' is missing here"),
        ("x: {models: []}", 5, "is empty"),
        ("x: {models: ['*'], requests_per_minute: 0}", 5, "should be more than 0.0, is 0"),
        ("x: {models: ['*'], concurrency: 0}", 5, "should be at least 1, is 0"),
        ("x: {models: ['*'], requests_per_minutes: 5}", 5, "unknown key 'requests_per_minutes'"),
        ("x: 5", 5, "should be a mapping (key: value), is the number 5"),
        (
            "x: {models: ['*']}\n      y: {models: [gpt-image-2]}",
            4,
            "groups.y: groups before it have all of its models",
        ),
    ],
    ids=["typo", "stranger", "no models", "no model", "no request", "no call", "unknown key", "number", "shadowed"],
)
def test_what_is_wrong_is_reported_with_its_place(tmp_path, group, line, said):
    with pytest.raises(ManifestError) as caught:
        load(manifest(tmp_path, f"      {group}"))
    (problem,) = caught.value.problems
    assert said in problem.message
    assert problem.line == line


def test_an_unknown_key_is_reported_with_the_nearest_of_a_group(tmp_path):
    with pytest.raises(ManifestError) as caught:
        load(manifest(tmp_path, "      x: {models: ['*'], requests_per_minutes: 5}"))
    assert caught.value.problems[0].hint == "did you mean 'requests_per_minute'?"


def test_groups_of_the_project_s_settings_are_checked_as_well():
    with pytest.raises(SettingsError, match=r"^provider openai: groups\.x\.models: Field required$"):
        profile("openai", {"groups": {"x": {"concurrency": 2}}})
    with pytest.raises(SettingsError, match=r"^provider openai: groups\.x: no model fits 'a'"):
        profile("openai", {"groups": {"x": {"models": "a"}}})


@pytest.mark.parametrize(
    ("group", "fine"),
    [({"models": ["gpt-image-*"], "requests_per_minute": 5}, True), ({"models": "gpt-image-*"}, True),
     ({"requests_per_minute": 5}, False), ({"models": ["a"], "requests": 5}, False), ([], False)],
    ids=["whole", "one glob", "no models", "unknown key", "list"],
)  # fmt: skip
def test_editors_know_groups(group, fine):
    document = {"version": 1, "providers": {"openai": {"groups": {"images": group}}}, "prompts": ["a cat"]}
    assert Draft7Validator(schema()).is_valid(document) is fine
