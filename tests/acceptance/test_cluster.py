"""Runs on a Ray cluster: the same outcomes as on one machine, and every paid call sent once."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from tests.servers.cluster import cluster
from tests.timing import patience

from .kit import CANARY, PROVIDERS, SECRET, check_files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

JOB = {"provider": "openai", "model": "gpt-image-2", "quality": "low", "size": "1024x1024"}


@pytest.fixture(scope="module")
def ray_cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    keys = {f"{name.upper()}_API_KEY": CANARY for name in PROVIDERS}
    with cluster({"BATCHGEN_WORKER_DIR": str(folder), **keys}) as running:
        running.add_node(cpus=8)
        running.spools = folder
        yield running


@pytest.fixture
def ray_project(project, ray_cluster):
    project.env |= ray_cluster.environment()
    return project


def on(running, workers=2):
    return "--backend", "ray", "--address", running.address, "--workers", workers


def test_cluster_gives_the_same_outcomes_as_this_machine(ray_project, ray_cluster, witness):
    prompts = ["One", "Two", "Refused [sandbox: refuse]", "Spoiled [sandbox: corrupt]", "Lost [sandbox: drop]"]
    jobs = [JOB | {"id": f"j{number}", "prompt": prompt} for number, prompt in enumerate(prompts)]
    ray_project.manifest(jobs, on_unknown="hold")
    ended = ray_project.run("run", "m.yaml", "--yes", *on(ray_cluster), seconds=120)
    assert ended.code == 3, ended.err
    states = [job["state"] for job in ray_project.jobs().values()]
    assert states == ["done", "done", "failed", "failed", "unknown"]
    attempts = [attempt for job in ray_project.jobs().values() for attempt in job["attempts"]]
    assert len(witness.arrivals()) == len(attempts)
    assert len(ray_project.ledger()) == len(attempts)
    check_files(ray_project)
    assert not list((ray_project.folder / "output").rglob("attempts/*.json")), "markers go with the settlement"
    assert not list(ray_cluster.spools.rglob("*.slot"))
    assert not list((ray_project.state / "spool").glob("*.slot"))
    places = (ray_project.state, ray_project.folder / "output", ray_cluster.spools, ray_cluster.folder)
    kept = [file for place in places for file in place.rglob("*") if file.is_file() and not file.is_symlink()]
    assert len(kept) > 20
    assert not [file for file in kept if SECRET.encode() in file.read_bytes()], "keys never leave their environment"


def test_cluster_serves_resume_retry_and_redo(ray_project, ray_cluster, witness):
    ray_project.manifest([JOB | {"id": "a", "prompt": "A"}, JOB | {"id": "b", "prompt": "B [sandbox: refuse once]"}])
    cluster_options = ("--backend", "ray", "--address", ray_cluster.address, "--workers", "2")
    assert ray_project.run("run", "m.yaml", "--yes", *cluster_options, seconds=120).code in {0, 3}
    for command in ("retry shop --cause refused", "redo shop --id a", "resume shop"):
        ended = ray_project.run(*command.split(), "--yes", *cluster_options, seconds=120)
        assert ended.code in {0, 3, 10}, ended.err
    assert Counter(witness.prompts())["A"] == 2, "once by the run, once by redo"


def test_cluster_stays_in_the_commands_that_are_suggested(ray_project, ray_cluster, witness):
    ray_project.manifest([JOB | {"id": name, "prompt": name} for name in "abc"])
    done = ray_project.run("run", "m.yaml", "--budget", "1", "--limit", "1", *on(ray_cluster), seconds=120)
    assert done.code == 0, done.err
    command = f"batchgen run m.yaml --budget 1 --backend ray --address {ray_cluster.address} --workers 2"
    assert f"{command}    resumes the 2 pending jobs" in done.err
    assert f"{command}    resumes the 2 pending jobs" in ray_project.run("status").out
    again = ray_project.run(*command.split()[1:], seconds=120)
    assert again.code == 0, again.err
    assert witness.prompts() == ["a", "b", "c"]


def test_cluster_serves_python_programs(ray_project, ray_cluster, witness):
    ray_project.manifest([JOB | {"id": "a", "prompt": "A"}])
    arguments = f"yes=True, backend='ray', address='{ray_cluster.address}', workers=1"
    program = f"import batchgen; result = batchgen.run('m.yaml', {arguments}); print(result.exit_code)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        env=ray_project.environment(),
        cwd=ray_project.folder,
        capture_output=True,
        text=True,
        timeout=patience(120),
    )
    assert (done.returncode, done.stdout.strip()) == (0, "0"), done.stderr
    assert witness.prompts() == ["A"]
    assert list(ray_cluster.spools.iterdir())


def test_cluster_that_requires_another_token_is_refused_with_its_variables(ray_project, ray_cluster, witness):
    ray_project.manifest([JOB | {"id": "a", "prompt": "A"}])
    done = ray_project.run("run", "m.yaml", "--yes", *on(ray_cluster), seconds=120, RAY_AUTH_TOKEN="another-token")
    assert done.code == 2, done
    assert "RAY_AUTH_MODE, RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH)" in done.err
    assert "another-token" not in done.err
    assert witness.arrivals() == []


def test_cluster_options_need_the_backend(project):
    project.manifest([JOB | {"id": "a", "prompt": "A"}])
    ended = project.run("run", "m.yaml", "--yes", "--workers", 2)
    assert (ended.code, "--workers needs --backend ray" in ended.err) == (2, True)


def test_cluster_without_a_key_on_its_machines_is_refused(project, witness, tmp_path):
    project.manifest([JOB | {"id": "a", "prompt": "A"}])
    with cluster({"BATCHGEN_WORKER_DIR": str(tmp_path / "workers"), "OPENAI_API_KEY": ""}) as running:
        running.add_node(cpus=2)
        ended = project.run("run", "m.yaml", "--yes", *on(running), seconds=120, **running.environment())
    assert ended.code == 5, ended.err
    assert "set the environment variable OPENAI_API_KEY" in ended.err
    assert "keys are never sent to a worker" in ended.err
    assert not witness.arrivals()


def test_cluster_publishes_into_an_object_store(project, witness, bucket, tmp_path):
    prompts = ["One", "Two", "Three"]
    jobs = [JOB | {"id": f"j{number}", "prompt": prompt} for number, prompt in enumerate(prompts)]
    project.manifest(jobs, output={"dir": f"{bucket.url}/shop"})
    keys = {f"{name.upper()}_API_KEY": CANARY for name in PROVIDERS}
    with cluster({"BATCHGEN_WORKER_DIR": str(tmp_path / "workers"), **keys, **bucket.env}) as running:
        running.add_node(cpus=2)
        env = running.environment() | bucket.env
        ended = project.run("run", "m.yaml", "--yes", *on(running), seconds=120, **env)
        assert ended.code == 0, ended.err
    assert sorted(name for name in bucket.names() if name.endswith(".png")) == [f"shop/j{n}.png" for n in range(3)]
    assert not [name for name in bucket.names() if "attempts/" in name], "markers go with the settlement"
    assert len(witness.charges()) == 3
