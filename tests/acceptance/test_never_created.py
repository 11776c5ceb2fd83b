"""Batches whose creation never arrived: what is bought instead is what the next run may buy."""

from __future__ import annotations

import pytest
import yaml

from .kit import check_books
from .test_batch_troubles import relay
from .test_batches import events, nightly, states
from .test_changed_at_provider import prompts


def rewrite(path, change):
    document = yaml.safe_load(path.read_text())
    change(document)
    path.write_text(yaml.safe_dump(document))


@pytest.fixture
def lost(project, witness):
    """Return a manifest of two jobs whose batch never reached the provider."""
    with relay(project.url, lost=1) as url:
        project.url = url
        path = nightly(project, "", "", listing_grace=0.1)
        assert project.run("run", path, "--yes", "--no-wait").code == 9
        assert events(witness, "batch") == []
        yield path


def check(project, witness, bought, **expected):
    assert prompts(witness) == bought
    assert states(project) == expected
    check_books(project, events(witness, "charge"))


def test_cancelled_job_is_not_bought(project, witness, lost):
    assert project.run("cancel", "--id", "j0").code == 0
    done = project.run("run", lost, "--yes")
    assert done.code == 0, done.err
    check(project, witness, {"Cat 1": 1}, j0="cancelled", j1="done")


def test_job_that_was_removed_from_the_manifest_is_not_bought(project, witness, lost):
    rewrite(lost, lambda document: document["jobs"].pop(0))
    done = project.run("run", lost, "--yes")
    assert done.code == 0, done.err
    check(project, witness, {"Cat 1": 1}, j0="pending", j1="done")


def test_budget_of_the_batch_that_was_lowered_since_holds(project, witness, lost):
    rewrite(lost, lambda document: document.update(budget={"usd": 0.0001}))
    done = project.run("run", lost)
    assert done.code == 7, done.err
    check(project, witness, {}, j0="pending", j1="pending")


def test_budget_of_the_run_holds(project, witness, lost):
    done = project.run("run", lost, "--budget", "0.0001")
    assert done.code == 7, done.err
    check(project, witness, {}, j0="pending", j1="pending")


def test_jobs_that_are_not_selected_are_not_bought(project, witness, lost):
    done = project.run("run", lost, "--yes", "--id", "j1")
    assert done.code == 0, done.err
    check(project, witness, {"Cat 1": 1}, j0="pending", j1="done")


def test_run_that_does_not_wait_creates_a_batch_again_and_the_old_file_is_deleted(project, witness, lost):
    assert project.run("run", lost, "--yes", "--no-wait").code == 9
    assert project.run("run", lost, "--yes").code == 0
    assert len(events(witness, "batch")) == 1
    check(project, witness, {"Cat 0": 1, "Cat 1": 1}, j0="done", j1="done")
