"""Dropped defaults: a default that a job's only provider does not take is not sent, and changes nothing else."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from batchgen.app.project import CommandFlags
from batchgen.cli.render.plan import plan_lines
from batchgen.errors import ManifestError
from batchgen.manifest import load
from batchgen.planning.compare import compare
from batchgen.planning.estimate import PlanContext
from batchgen.providers.validation import check, wire_fields

GEMINI = "provider: aigate, model: gemini-3.1-flash-image"


def batch(folder: Path, text: str, **files: str):
    for name, content in {"m": text, **files}.items():
        (folder / f"{name}.yaml").write_text(content, encoding="utf-8")
    return load(folder / "m.yaml")


def sent(batch, key: str):
    [task] = [job.task for job in batch.jobs if job.key == key]
    _, model = batch.profiles[task.provider].find(task.model)
    return wire_fields(task, model, model.rules(task.kind))


def test_a_default_that_the_provider_lacks_is_not_sent(tmp_path):
    loaded = batch(tmp_path, f"defaults: {{quality: high, size: 1024x1024, {GEMINI}}}\njobs: [{{id: a, prompt: x}}]\n")
    assert not {"quality", "size"} & sent(loaded, "a").keys()
    [job] = loaded.jobs
    assert job.recipe.dropped == (("size", "1024x1024"), ("quality", "high"))
    assert job.task.quality == "high"


def test_a_default_of_an_included_file_is_not_sent_either(tmp_path):
    text = f"include: [d.yaml]\njobs: [{{id: a, prompt: x, {GEMINI}}}]\n"
    assert "quality" not in sent(batch(tmp_path, text, d="defaults: {quality: high}\n"), "a")


@pytest.mark.parametrize(
    "job",
    ["{id: a, prompt: x, quality: high}", "{id: a, prompt: x, matrix: {quality: [high]}}",
     "{id: a, prompt: '{{ prompt }}', from: l.csv}"],
)  # fmt: skip
def test_a_value_of_the_job_itself_stays_an_error(tmp_path, job):
    (tmp_path / "l.csv").write_text("prompt,quality\nx,high\n", encoding="utf-8")
    text = f"defaults: {{quality: high, {GEMINI}}}\njobs:\n  - {{id: d, prompt: y}}\n  - {job}\n"
    with pytest.raises(ManifestError, match="takes no quality") as caught:
        batch(tmp_path, text)
    assert len(caught.value.problems) == 1


def test_a_default_with_an_unknown_value_stays_an_error(tmp_path):
    text = "defaults: {quality: hgih, provider: openai}\njobs: [{id: a, prompt: x}]\n"
    with pytest.raises(ManifestError, match="does not know quality 'hgih'"):
        batch(tmp_path, text)


def test_a_dropped_default_does_not_hide_other_mistakes(tmp_path):
    text = f"defaults: {{quality: high, {GEMINI}}}\njobs: [{{id: a, prompt: x, extra: {{model: y}}}}]\n"
    with pytest.raises(ManifestError, match="extra must not set 'model'") as caught:
        batch(tmp_path, text)
    assert "quality" not in str(caught.value)


def test_the_fingerprint_keeps_the_default(tmp_path):
    def fingerprint(defaults: str) -> str:
        [job] = batch(tmp_path, f"defaults: {{{defaults}}}\njobs: [{{id: a, prompt: x}}]\n").jobs
        return job.fingerprint

    with_default = fingerprint(f"quality: high, {GEMINI}")
    assert with_default != fingerprint(GEMINI)
    assert with_default == fingerprint("quality: high, provider: openrouter, model: gemini-3.1-flash-image")


def test_a_provider_that_takes_the_default_goes_before_one_that_does_not(tmp_path):
    text = "defaults: {output_format: webp, provider: [gptimageapi, openai]}\njobs: [{id: a, prompt: x}]\n"
    [job] = batch(tmp_path, text).jobs
    assert (job.task.provider, job.recipe.dropped) == ("openai", ())
    assert [name for name, _ in job.recipe.without] == ["gptimageapi"]
    only = "defaults: {quality: high, provider: [aigate, openrouter], model: gemini-3.1-flash-image}\n"
    [job] = batch(tmp_path, f"{only}jobs: [{{id: a, prompt: x}}]\n").jobs
    assert (job.task.provider, job.recipe.route.others) == ("aigate", ("openrouter",))


def test_the_plan_names_dropped_defaults_in_one_line(tmp_path):
    loaded = batch(tmp_path, f"defaults: {{quality: high, {GEMINI}}}\nprompts: [x, y, z]\n")
    plan = compare(loaded, None, context=PlanContext(today=date(2026, 11, 29)))
    assert plan.as_json()["dropped"] == [{"field": "quality", "value": "high", "provider": "aigate", "jobs": 3}]
    assert "dropped   quality: high of defaults is not sent to aigate (3 jobs)" in plan_lines(
        "m", plan, None, CommandFlags(), "m.yaml"
    )
    [first, *_] = loaded.jobs
    assert check(first.task, loaded.profiles["aigate"])[0].absent
