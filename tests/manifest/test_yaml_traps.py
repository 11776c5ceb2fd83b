"""Traps of YAML and JSON: words that YAML takes for syntax, and characters that JSON writes in two halves."""

from __future__ import annotations

import pytest

from batchgen.errors import ManifestError
from batchgen.manifest import load

HEAD = "defaults: {provider: aigate}\n"


@pytest.fixture
def read(tmp_path):
    def loaded(text: str):
        (tmp_path / "m.yaml").write_text(text, encoding="utf-8")
        return load(tmp_path / "m.yaml")

    return loaded


@pytest.mark.parametrize(
    ("jobs", "place", "text"),
    [
        ("jobs:\n  - id: a\n    prompt: &Sons bakery storefront\n", (4, 13), "bakery storefront"),
        ("prompts: [&co a sign, x]\n", (2, 11), "a sign"),
        ("vars: {v: &b b}\njobs: [{prompt: 'x {{ v }}'}]\n", (2, 11), "b"),
    ],
)
def test_an_anchor_that_takes_a_word_is_a_warning(read, jobs, place, text):
    [warning] = read(HEAD + jobs).warnings
    assert (warning.line, warning.column, warning.code) == (*place, "anchor")
    assert repr(text) in warning.message
    assert "quotes" in warning.hint


@pytest.mark.parametrize(
    "jobs",
    [
        "vars: {v: &b blue, w: *b}\njobs: [{prompt: 'x {{ v }} {{ w }}'}]\n",
        "prompts: ['&Sons bakery']\n",
        "jobs: [&job {id: a, prompt: x}]\n",
    ],
)
def test_an_anchor_that_is_used_or_quoted_is_no_warning(read, jobs):
    assert read(HEAD + jobs).warnings == ()


@pytest.mark.parametrize("prompt", ["*bold* red", "!important red", "red: cube", "'a' cube", "@home", "[red] cube"])
def test_text_that_yaml_takes_for_syntax_is_an_error_that_names_quotes(read, prompt):
    with pytest.raises(ManifestError, match="quote"):
        read(f"{HEAD}jobs:\n  - id: a\n    prompt: {prompt}\n")


def test_surrogate_pairs_of_json_are_one_character(read):
    text = r'{"defaults":{"provider":"aigate"},"jobs":[{"id":"a","prompt":"x \ud83d\ude00 \\ud83d\\ude00"},{"ID":"b"}]}'
    with pytest.raises(ManifestError) as caught:
        read(text)
    assert caught.value.problems[0].column == text.index('{"ID"') + 1
    [job] = read(text.replace(',{"ID":"b"}', "")).jobs
    assert job.prompt == "x \U0001f600 \\ud83d\\ude00"


def test_half_of_a_surrogate_pair_is_an_error(read):
    with pytest.raises(ManifestError, match="not a character"):
        read(r'{"defaults":{"provider":"aigate"},"jobs":[{"id":"a","prompt":"x \ud83d"}]}')
