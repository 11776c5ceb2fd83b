"""One simulated world a module, one folder a test."""

from __future__ import annotations

import pytest

from batchgen.sandbox import launch

from .kit import CANARY, PROVIDERS, Witness, Workspace


@pytest.fixture(scope="module")
def latency():
    """How long the simulated providers take; a module may say otherwise."""
    return "none"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory, latency):
    folder = tmp_path_factory.mktemp("sandbox")
    with launch.start(folder, latency=latency, idle_exit=90, extra=["--draw", "small"]) as running:
        yield running


@pytest.fixture
def witness(sandbox):
    return Witness(sandbox.log)


@pytest.fixture
def project(tmp_path, sandbox):
    keys = {f"{name.upper()}_API_KEY": CANARY for name in PROVIDERS}
    project = Workspace(folder=tmp_path, url=sandbox.url, env=keys)
    yield project
    project.end()


@pytest.fixture
def bare(tmp_path):
    """Return a folder without a world around it; a sandbox that a run left there is stopped."""
    project = Workspace(folder=tmp_path)
    yield project
    project.end()
    left = launch.find(project.state / "sandbox")
    if left is not None:
        left.stop()
