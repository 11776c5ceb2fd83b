"""One browser a module, one profile a test; real batches of the sandbox, made once by each worker."""

from __future__ import annotations

import pytest

from batchgen.sandbox import launch
from tests.acceptance.kit import CANARY, PROVIDERS, Workspace

from . import batches
from .browser import Visitor, chromium
from .looks import looks


def pytest_collection_modifyitems(items):
    """Tests of the page that open a browser are slow ones."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
            if item.get_closest_marker("timeout") is None:  # the first test of a worker also makes the batch
                item.add_marker(pytest.mark.timeout(120))


@pytest.fixture(scope="module")
def browser():
    # One a module, not one a session: the driver's loop would be in the way of the asyncio tests that follow.
    with chromium() as started:
        yield started


@pytest.fixture
def visitor(browser, tmp_path, request):
    visitor = Visitor(browser=browser, folder=tmp_path)
    try:
        yield visitor
        visitor.close()
    finally:
        visitor.leave()


@pytest.fixture(scope="session")
def providers(tmp_path_factory):
    """Return a sandbox whose pictures are drawn in full."""
    with launch.start(tmp_path_factory.mktemp("sandbox"), latency="none", idle_exit=300) as running:
        yield running


@pytest.fixture(scope="session")
def workspace(tmp_path_factory, providers):
    """Return a maker of folders of users of that sandbox."""

    def make(name: str) -> Workspace:
        keys = {f"{provider.upper()}_API_KEY": CANARY for provider in PROVIDERS}
        return Workspace(folder=tmp_path_factory.mktemp(name), url=providers.url, env=keys)

    return make


@pytest.fixture(scope="session")
def night_project(workspace):
    """Return a night's work that no test changes."""
    return batches.night(workspace("night"))


@pytest.fixture(scope="session")
def night_page(night_project):
    return batches.report(night_project)


@pytest.fixture(scope="session")
def looks_page(tmp_path_factory):
    """Return a page of pictures to look at closely."""
    return looks(tmp_path_factory.mktemp("looks"))
