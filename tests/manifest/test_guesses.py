"""Guesses: what people write by analogy with other tools is accepted, or answered with the line to write."""

from __future__ import annotations

import pytest

from batchgen.errors import ManifestError
from batchgen.manifest import load
from batchgen.money import NANO

JOBS = "jobs: [{id: a, prompt: x, provider: openai}]\n"


@pytest.fixture
def read(tmp_path):
    def loaded(text: str):
        (tmp_path / "m.yaml").write_text(text, encoding="utf-8")
        return load(tmp_path / "m.yaml")

    return loaded


@pytest.mark.parametrize(("written", "usd"), [("20", 20), ("0.5", 0.5), ("{usd: 20}", 20)])
def test_a_plain_budget_is_in_usd(read, written, usd):
    [limit] = read(f"budget: {written}\n{JOBS}").budget
    assert limit.usd == usd * NANO


@pytest.mark.parametrize("written", ["./out", "'{{ name }}/x'", "{dir: ./out}"])
def test_a_plain_output_is_the_folder(read, tmp_path, written):
    folder = tmp_path / ("m/x" if "name" in written else "out")
    assert read(f"output: {written}\n{JOBS}").folder == folder


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("prompt: a red cube\n", "write  jobs: [{prompt: a red cube}]"),
        ("model: gpt-image-2\n", "write  defaults: {model: gpt-image-2}"),
        ("size: '16:9'\n", "write  defaults: {size: '16:9'}"),
        ("image: a.png\n", "write  images: a.png"),
        ("output_dir: ./out\n", "write  output: ./out"),
        ("Output-Folder: ./out\n", "write  output: ./out"),
        ("concurrency: 8\n", "{limits: {concurrency: 8}}"),
        ("max_retries: 3\n", "write  retry: {attempts: 3}"),
        ("max_cost: 5\n", "write  budget: 5"),
        ("budget: $20\n", "write  budget: 20"),
        ("budget: {per_day: 5 USD}\n", "write  per_day: 5"),
        ("defaults: {aspect_ratio: '16:9'}\n", "write  size: '16:9'"),
        ("defaults: {image: x.png}\n", "write  images: x.png"),
        ("budgett: 3\n", "did you mean 'budget'?"),
        ("prompt: sk-abcdefghijklmnopqrstuv\n", "API key"),
    ],
)
def test_a_wrong_key_is_answered_with_the_line_to_write(read, text, line):
    with pytest.raises(ManifestError) as caught:
        read(text + JOBS)
    assert line in str(caught.value)
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    ("jobs", "line"),
    [
        ("{a: {prompt: x}, b: {prompt: y}}", "jobs: [{id: a, prompt: ...}]"),
        ("[a red cube]", "write  {prompt: a red cube}"),
        ("list.csv", "jobs: [{from: list.csv}]"),
        ("[{prompt: x, image: a.png}]", "write  images: a.png"),
        ("[{prompt: x, negative_prompt: blurry}]", "into the prompt"),
        ("[{prompt: x, name: lamp}]", "write  id: lamp"),
        ("[{prompt: x, count: 3}]", "write  n: 3"),
        ("[{prompt: x, format: webp}]", "write  output_format: webp"),
        ("[{prompt: x, concurrency: 3}]", "for the whole manifest, write  providers:"),
        ("[{prompt: x, qualty: low}]", "did you mean 'quality'?"),
    ],
)
def test_a_wrong_job_is_answered_with_the_line_to_write(read, jobs, line):
    with pytest.raises(ManifestError) as caught:
        read(f"defaults: {{provider: openai}}\njobs: {jobs}\n")
    assert line in str(caught.value)


def test_a_list_at_the_top_is_answered_with_the_line_to_write(read):
    with pytest.raises(ManifestError, match="write  jobs:  above it"):
        read("- prompt: x\n- prompt: y\n")


@pytest.mark.parametrize(
    ("text", "provider"),
    [
        ("defaults: {provider: studio}\nproviders: {studio: {preset: openai}}\nprompts: [x]\n", "{studio: "),
        ("defaults: {provider: [openai, aimlapi]}\nprompts: [x]\n", "{openai: "),
        ("jobs: [{prompt: x, provider: openai}]\n", "{openai: "),
        ("providers: {studio: {preset: openai}}\nprompts: [x]\n", "{studio: "),
        ("jobs: [{prompt: x, provider: openai}, {prompt: y, provider: aimlapi}]\n", "the provider's name for NAME"),
    ],
)
def test_hints_name_the_provider_of_the_manifest(tmp_path, text, provider):
    for key in ("concurrency: 8", "rpm: 3", "timeout: 60"):
        (tmp_path / "m.yaml").write_text(f"{key}\n{text}", encoding="utf-8")
        with pytest.raises(ManifestError) as caught:
            load(tmp_path / "m.yaml")
        [problem] = [problem for problem in caught.value.problems if problem.code == "unknown_key"]
        assert provider in problem.hint
        assert problem.hint.startswith("write  providers: {")


def test_hints_to_texts_of_templates_can_be_pasted_between_double_quotes(tmp_path):
    for template in ("{{ none }}", "{{ many }}", "{{ row == 'x' }}", "{% if row %}", "{{ 3 < 'x' }}", "{{ x"):
        text = f'vars: {{none: null, many: [a]}}\njobs: [{{provider: openai, prompt: "{template}"}}]\n'
        (tmp_path / "m.yaml").write_text(text, encoding="utf-8")
        try:
            problems = load(tmp_path / "m.yaml").warnings
        except ManifestError as error:
            problems = error.problems
        assert problems
        assert not any('"' in problem.message + problem.hint for problem in problems if problem.code != "unused")


@pytest.mark.parametrize(
    "text", ["defaults: {on_bad_source: skip}\n" + JOBS, JOBS.replace("}]", ", on_bad_source: skip}]")]
)
def test_a_key_of_the_whole_manifest_is_sent_to_its_top(read, text):
    with pytest.raises(ManifestError, match=r"unknown key 'on_bad_source'.*it belongs at the top of the manifest"):
        read(text)
