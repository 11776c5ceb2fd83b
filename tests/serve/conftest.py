"""The sandbox and a project, as in the acceptance tests, and a server of its page."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.conftest import latency, project, sandbox, witness  # noqa: F401 - fixtures
from tests.acceptance.kit import Workspace

from .kit import Server

Serve = Callable[..., Server]


@pytest.fixture
def serve(project: Workspace) -> Iterator[Serve]:  # noqa: F811
    """Start servers of the project's page; they are ended with the test."""
    servers: list[Server] = []

    def start(*arguments: object) -> Server:
        servers.append(Server.start(project, *arguments))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def batch(project: Workspace) -> Workspace:  # noqa: F811
    """Return a project whose batch has run: three pictures and a refused job."""
    jobs = [{"id": f"cat-{number}", "prompt": f"Cat {number}"} for number in range(3)]
    refused = {"id": "bad", "prompt": "No [sandbox: refuse]"}
    path = project.manifest([*jobs, refused], defaults={"provider": "openai", "quality": "low"})
    assert project.run("run", path, "--yes").code == 3
    return project
