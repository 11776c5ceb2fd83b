"""``status`` of a job database that several runners share: it names every run, and how each shard ended."""

from __future__ import annotations

import json
import os
import socket

import pytest

from batchgen.database_url import parse_database
from batchgen.store import run_lock

from .kit import finish, wait_for


@pytest.fixture(scope="module")
def latency():
    return "0.6"


@pytest.fixture
def shared(project, postgres_database):
    """A project whose job database is on PostgreSQL."""
    project.env["BATCHGEN_DB"] = postgres_database.url
    return project


def jobs(count: int, name: str = "j") -> list[dict[str, object]]:
    return [
        {"id": f"{name}{number:03}", "provider": "aigate", "quality": "low", "prompt": f"{name} number {number}"}
        for number in range(count)
    ]


def test_status_names_every_run_in_progress(shared, witness):
    """Also that of a batch that is still being prepared, which the job database does not know yet."""
    runs = []
    for name in ("a", "b"):
        manifest = shared.manifest(jobs(40, name), name=f"{name}.yaml")
        manifest.write_text(manifest.read_text().replace("name: shop", f"name: {name}"))
        runs.append(shared.start("run", manifest, "--yes"))
    wait_for(lambda: {line["prompt"][0] for line in witness.now()} == {"a", "b"}, seconds=60)
    for run, batch, other in zip(runs, ("a", "b"), ("b", "a"), strict=True):
        shown = shared.run("status", batch).out
        assert f"a run is in progress (process {run.pid}" in shown
        assert f"others    {other}: process" in shown
    with run_lock.hold(parse_database(shared.env["BATCHGEN_DB"]), command="batchgen run c.yaml", batch="c"):
        limited = shared.run("limit", "aigate", "concurrency=3").err
        assert "3 runs are in progress (" in limited
        for run, batch in zip(runs, ("a", "b"), strict=True):
            assert f"{batch}: process {run.pid}" in limited
        assert f"process {os.getpid()} on {socket.gethostname()}, preparing a run" in limited
    assert [finish(run, 120).code for run in runs] == [0, 0]
    with run_lock.hold(parse_database(shared.env["BATCHGEN_DB"]), command="batchgen run c.yaml", batch="c"):
        shown = shared.run("status").out
        assert f"others    process {os.getpid()} on {socket.gethostname()}" in shown
        assert ": preparing a run" in shown
        [each] = json.loads(shared.run("status", "--json").out)["preparing"]
        assert each["pid"] == os.getpid()
    assert "preparing" not in shared.run("status").out


def test_status_after_shards_states_how_each_of_them_ended(shared):
    manifest = shared.manifest(jobs(4), budget={"usd": 5})
    for number in (2, 1):
        assert shared.run("run", manifest, "--yes", "--shard", f"{number}/2").code == 0
    shown = shared.run("status", "shop").out
    assert "last run  shard 1/2 ended" in shown
    assert "          shard 2/2 ended" in shown
    assert "the budgets when shard 1/2 ended: " in shown


def test_run_whose_backend_does_not_start_leaves_no_runner(shared, postgres_database):
    manifest = shared.manifest(jobs(2))
    assert shared.run("run", manifest, "--yes", "--backend", "ray", "--address", "127.0.0.1:9").code == 2
    assert postgres_database.rows("select * from runners") == []
    assert "cut off" not in shared.run("status").out
    assert shared.run("run", manifest, "--yes").code == 0
