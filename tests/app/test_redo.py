"""Redo: what a kill between its steps leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from batchgen.app import plan, run
from batchgen.app.project import Project
from batchgen.planning.selection import Selection
from tests.faults import kit
from tests.faults.kit import Site, Stage, shows, site

from .test_run_failures import carry_out


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[Site]:
    with site(tmp_path, monkeypatch) as made:
        yield made


def shop(folder: Site) -> Stage:
    stage = folder.serve(shows())
    jobs = [{"id": key, "prompt": f"p {key}", "provider": "studio"} for key in ("a", "b")]
    folder.write(jobs, {"studio": kit.studio(stage)})
    assert carry_out(folder)[0].exit_code == 0
    return stage


def prepare(folder: Site, **options: object) -> None:
    """Take the steps of a redo of all jobs up to the one that loads the plan, and none after it."""
    place = Project.of(folder.folder, None)
    batch = plan.read_manifest(place, folder.folder / "m.yaml")
    terms = run.RunOptions(redo=True, requeue=Selection(ids=("*",)), selection=Selection(ids=("*",)), **options)
    with ExitStack() as resources:
        run.prepare_run(place, batch, terms, lambda _batch, _plan: None, report=print, resources=resources)


def states(folder: Site) -> set[str]:
    return {row["state"] for row in folder.rows("select state from jobs")}


def test_redo_with_other_parameters_requeues_and_stores_them_together(folder: Site):
    stage = shop(folder)
    prepare(folder, overrides={"prompt": "q"})
    # A run that begins now must not send these jobs as the manifest requests them.
    assert states(folder) == {"done"}
    assert carry_out(folder)[0].exit_code == 0
    assert len(stage.posts) == 2


def test_redo_with_the_same_parameters_is_finished_by_a_run(folder: Site):
    stage = shop(folder)
    prepare(folder)
    assert states(folder) == {"pending"}
    assert carry_out(folder)[0].exit_code == 0
    assert carry_out(folder)[0].exit_code == 0
    assert (states(folder), len(stage.posts)) == ({"done"}, 4)
    folder.check()
