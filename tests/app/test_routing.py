"""Who of a job's providers can do it, and what is said of those that cannot; limits taken back while a run is on."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest

from batchgen import manifest
from batchgen.app.project import CommandFlags, Project
from batchgen.app.supervisor import Supervisor
from batchgen.cli.render.plan import plan_lines
from batchgen.engine.lane import Lane
from batchgen.engine.limits.gate import Gate
from batchgen.engine.retry import Policy
from batchgen.engine.runner import Runner
from batchgen.errors import ManifestError
from batchgen.planning.compare import compare
from batchgen.planning.estimate import PlanContext
from batchgen.store import migrate

STUDIO = 'providers: {studio: {preset: gateway, base_url: "https://gw.example.com", tariff: {usd_per_image: 0.05}}}\n'


def load(folder: Path, text: str) -> manifest.Batch:
    path = folder / "m.yaml"
    path.write_text(text)
    return manifest.load(path)


def test_a_provider_that_is_named_and_cannot_is_told_with_its_reason(tmp_path):
    providers = "provider: [studio, openai, gptimageapi]"
    text = f"defaults: {{{providers}, size: 1536x1024, quality: low}}\njobs: [{{prompt: x, n: 3}}]\n"
    batch = load(tmp_path, STUDIO + text)
    assert {(job.task.provider, job.recipe.route) for job in batch.jobs} == {("openai", None)}
    wish = compare(batch, None, context=PlanContext(today=date(2026, 3, 1), free_bytes=10**12))
    assert [(name, jobs) for name, _, jobs in wish.without] == [("studio", 3), ("gptimageapi", 3)]
    lines = plan_lines("m", wish, tmp_path, CommandFlags(), "m.yaml")
    assert "excluded  studio, for 3 jobs: studio (gpt-image-2) takes no quality" in lines
    assert wish.as_json()["left_out"][0]["provider"] == "studio"
    assert not any(line.startswith("fallback") for line in lines)


def test_a_provider_named_twice_counts_once(tmp_path):
    batch = load(tmp_path, "jobs: [{prompt: x, provider: [openai, openai]}]\n")
    assert [job.recipe.route for job in batch.jobs] == [None]


def test_weights_that_would_count_for_nothing_are_a_mistake(tmp_path):
    text = "jobs: [{prompt: x, provider: [openai, aigate], route: {weights: {openai: 3}}}]\n"
    with pytest.raises(ManifestError) as caught:
        load(tmp_path, text)
    assert "weights are used only with strategy: weighted" in caught.value.problems[0].message


@asynccontextmanager
async def unseen():
    """Show nothing."""
    yield


async def test_a_width_that_is_taken_back_is_that_of_the_runs_start(tmp_path):
    batch = load(tmp_path, "jobs: [{prompt: x, provider: openai}]\n")
    place = Project.of(tmp_path, None)
    place.state.mkdir()
    migrate.ensure(place.db)
    gate = Gate(width=2)  # as --concurrency 2 makes it, whatever the settings say
    runner = Runner(
        batch_id=1,
        lanes=[Lane(provider="openai", policy=Policy(), account_gate=gate)],
        reader=None,  # type: ignore[arg-type]
        attempts=SimpleNamespace(),  # type: ignore[arg-type]
    )
    attendance = Supervisor(project=place, batch=batch, runner=runner, writer=None, show_message=lambda _text: None)  # type: ignore[arg-type]
    limits = batch.profiles["openai"].limits
    async with attendance.around(unseen()):
        await attendance._apply({"openai": 2}, "openai", limits.model_copy(update={"concurrency": 1}), False)
        assert gate.width == 1
        await attendance._apply({"openai": 2}, "openai", limits, False)
        assert gate.width == 2
