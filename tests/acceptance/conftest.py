"""One simulated world a module, one folder a test."""

from __future__ import annotations

import pytest

from batchgen.sandbox import launch
from tests.axes import MODULES

from .kit import CANARY, PROVIDERS, Witness, Workspace


def pytest_collection_modifyitems(config, items):
    """With ``--axis``, leave the tests that are about it."""
    axis = config.option.axis
    if axis is None:
        return
    chosen = [
        item for item in items if item.path.stem.removeprefix("test_") in MODULES[axis] and "axis" in item.fixturenames
    ]
    chosen = [item for item in chosen if not any(axis in mark.kwargs for mark in item.iter_markers("not_on"))]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


@pytest.fixture(scope="module")
def latency():
    """How long the simulated providers take; a module may say otherwise."""
    return "none"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory, latency):
    folder = tmp_path_factory.mktemp("sandbox")
    with launch.start(folder, latency=latency, idle_exit=300, extra=["--draw", "small"]) as running:
        yield running


@pytest.fixture
def witness(sandbox):
    return Witness(sandbox.log)


@pytest.fixture
def project(tmp_path, sandbox, axis):
    keys = {f"{name.upper()}_API_KEY": CANARY for name in PROVIDERS}
    project = Workspace(folder=tmp_path, url=sandbox.url, env=keys, axis=axis)
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
