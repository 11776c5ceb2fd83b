"""``providers new``: settings that are valid as they are, and the place of whatever is wrong in them."""

from __future__ import annotations

import re

import pytest

MANIFEST = """version: 1
defaults: {provider: studio}
jobs:
  - {id: apple, prompt: a red apple, size: "3:2", output_format: png}
"""


@pytest.fixture
def project(bare):
    (bare.folder / "m.yaml").write_text(MANIFEST)
    written = bare.run("providers", "new", "studio", "-o", "batchgen.yaml")
    assert written.code == 0, written.err
    return bare


def test_new_provider_is_valid_as_it_is(project):
    checked = project.run("validate", "m.yaml")
    assert (checked.code, checked.err) == (0, checked.err)
    plan = project.run("plan", "m.yaml", "--json")
    assert plan.json["usd"]["expected"] == "0.08"
    listed = project.run("providers", "list", "--json")
    (studio,) = [row for row in listed.json["providers"] if row["name"] == "studio"]
    assert (studio["api_key_env"], list(studio["models"])) == (["STUDIO_API_KEY"], ["my-model"])


def test_new_provider_prints_what_it_writes(project):
    printed = project.run("providers", "new", "studio")
    assert printed.out == (project.folder / "batchgen.yaml").read_text()
    assert project.run("providers", "new", "studio", "--json").json["settings"] == printed.out


def test_new_provider_never_replaces_a_file(project):
    again = project.run("providers", "new", "other", "-o", "batchgen.yaml")
    assert again.code == 1
    assert "exists and stays as it is" in again.err
    assert "studio" in (project.folder / "batchgen.yaml").read_text()


@pytest.mark.parametrize(("name", "words"), [("fal", "is a preset"), ("My Studio", "small letters")])
def test_new_provider_needs_a_free_name(bare, name, words):
    refused = bare.run("providers", "new", name)
    assert refused.code == 2
    assert words in refused.err


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("state: status ", 'state: "a b" ', "is not a path into an answer"),
        ('prompt: "{prompt}"', 'prompt: "{promt}"', "did you mean 'prompt'"),
        ("status: urls.get", "status: ftp://x y", "is not a path"),
        ("failed: [failed]", "failed: [completed]", "is in both done and failed"),
        ("charged_when: {failed: maybe", "charged_when: {failed: perhaps", "charged_when.failed"),
        ("patience: 1800", "patience: -1", "greater than 0"),
    ],
)
def test_mistake_in_the_rules_is_named_with_its_place(project, old, new, words):
    file = project.folder / "batchgen.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    checked = project.run("validate", "m.yaml")
    assert checked.code == 4
    assert words in checked.err
    (place,) = re.findall(
        r"^batchgen\.yaml:\d+:\d+: providers\.studio\.task\.|/batchgen\.yaml:\d+:\d+: ", checked.err, re.MULTILINE
    )
    assert place
