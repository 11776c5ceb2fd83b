"""Faults of a cluster: workers and drivers die or stand still, and every paid call is still sent at most once."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

import pytest

from batchgen.sandbox import launch
from tests.servers.cluster import cluster
from tests.timing import patience

from .kit import CANARY, PROVIDERS, Witness, finish, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

JOB = {"provider": "openai", "model": "gpt-image-2", "quality": "low", "size": "1024x1024"}


@pytest.fixture(scope="module")
def latency():
    return "4"


@pytest.fixture(scope="module")
def ray_cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    keys = {f"{name.upper()}_API_KEY": CANARY for name in PROVIDERS}
    with cluster({"BATCHGEN_WORKER_DIR": str(folder), **keys}) as running:
        running.add_node(cpus=8)
        yield running


@pytest.fixture
def ray_project(project, ray_cluster):
    project.env |= ray_cluster.environment()
    return project


def fill(project, count, **limits):
    jobs = [JOB | {"id": f"j{number}", "prompt": f"Picture {number}"} for number in range(count)]
    project.manifest(jobs, providers={"openai": {"limits": {"concurrency": 500} | limits}}, on_unknown="hold")


def command(running, workers=2):
    return "run", "m.yaml", "--yes", "--backend", "ray", "--address", running.address, "--workers", workers


def workers(running):
    return running.nodes[0].find("ray::WorkerActor")


def states(project):
    return Counter(job["state"] for job in project.jobs().values())


def test_cluster_continues_without_a_killed_worker(ray_project, ray_cluster, witness):
    fill(ray_project, 240, concurrency=160)
    process = ray_project.start(*command(ray_cluster))
    wait_for(lambda: witness.arrived >= 100, process, seconds=90)
    os.kill(workers(ray_cluster)[0], signal.SIGKILL)
    ended = finish(process, seconds=120)
    found = states(ray_project)
    assert found["done"] + found["unknown"] == 240, ended.err
    assert found["done"] >= 160, "the other worker continues"
    assert max(Counter(witness.prompts()).values()) == 1
    assert len(ray_project.ledger()) == len([a for job in ray_project.jobs().values() for a in job["attempts"]])
    assert not workers(ray_cluster)


def test_cluster_collects_the_calls_of_a_killed_driver(ray_project, ray_cluster, witness):
    fill(ray_project, 150)
    process = ray_project.start(*command(ray_cluster))
    wait_for(lambda: witness.arrived >= 100, process, seconds=90)
    process.kill()
    process.communicate()
    in_flight = witness.arrived
    ended = ray_project.run(*command(ray_cluster), seconds=150)
    assert ended.code == 0, ended.err
    assert states(ray_project) == {"done": 150}
    assert max(Counter(witness.prompts()).values()) == 1, "no call is sent again"
    assert len(witness.charges()) == 150
    assert in_flight >= 100


def test_cluster_collects_the_calls_of_a_worker_that_stands_still(ray_project, ray_cluster, witness):
    fill(ray_project, 60)
    process = ray_project.start(*command(ray_cluster))
    wait_for(lambda: witness.arrived >= 60, process, seconds=90)
    stopped = workers(ray_cluster)[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        process.kill()
        process.communicate()
        process = ray_project.start(*command(ray_cluster))
        wait_for(lambda: states(ray_project)["done"], process, seconds=90)
        time.sleep(2)
        assert process.poll() is None, "its calls must not be settled without it"
    finally:
        os.kill(stopped, signal.SIGCONT)
    ended = finish(process, seconds=120)
    assert ended.code == 0, ended.err
    assert states(ray_project) == {"done": 60}
    assert len(witness.arrivals()) == len(witness.charges()) == 60


def test_cluster_collects_the_calls_of_an_earlier_run_for_a_shard(ray_project, ray_cluster, witness):
    fill(ray_project, 40)
    process = ray_project.start(*command(ray_cluster))
    wait_for(lambda: witness.arrived >= 40, process, seconds=90)
    process.kill()
    process.communicate()
    ended = ray_project.run(*command(ray_cluster), "--shard", "1/2", seconds=150)
    assert ended.code == 0, ended.err
    assert states(ray_project) == {"done": 40}
    assert len(witness.arrivals()) == len(witness.charges()) == 40


def test_cluster_waits_for_calls_in_flight_when_it_is_interrupted(ray_project, ray_cluster, witness):
    fill(ray_project, 80, concurrency=40)
    others = workers(ray_cluster)  # those of killed runs leave when their lease ends
    process = ray_project.start(*command(ray_cluster))
    wait_for(lambda: witness.arrived >= 20, process, seconds=90)
    process.send_signal(signal.SIGINT)
    ended = finish(process, seconds=90)
    assert ended.code == 130, ended.err
    found = states(ray_project)
    assert set(found) == {"done", "pending"}
    assert found["done"] == len(witness.charges())
    assert {*workers(ray_cluster)} <= {*others}, "workers leave once nothing is open"


def test_cluster_keeps_its_limits_when_a_worker_stands_still(ray_project, ray_cluster, tmp_path):
    limit = 40
    with launch.start(tmp_path / "sandbox", latency="0.2", idle_exit=90, extra=["--draw", "small"]) as sandbox:
        ray_project.url, witness = sandbox.url, Witness(sandbox.log)
        others = workers(ray_cluster)
        fill(ray_project, limit * 25, requests_per_second=limit, requests_per_minute=60 * limit)
        process = ray_project.start(*command(ray_cluster))
        wait_for(lambda: witness.arrived >= 5 * limit, process, seconds=90)
        stopped = next(pid for pid in workers(ray_cluster) if pid not in others)
        os.kill(stopped, signal.SIGSTOP)
        try:
            time.sleep(8)
        finally:
            os.kill(stopped, signal.SIGCONT)
        ended = finish(process, seconds=patience(120))
        assert ended.code == 0, ended.err
        times = sorted(line["at"] for line in witness.arrivals())
    assert len(times) == limit * 25
    assert fullest(times, 1.0) <= 1.5 * limit
    assert fullest(times, 60.0) <= 60 * limit


def fullest(times, seconds):
    first, most = 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_cluster_grows_and_shrinks_under_a_run(project, witness, tmp_path):
    keys = {f"{name.upper()}_API_KEY": CANARY for name in PROVIDERS}
    with cluster({"BATCHGEN_WORKER_DIR": str(tmp_path / "workers"), **keys}) as running:
        running.add_node("head", cpus=1)
        project.env |= running.environment()
        fill(project, 120, concurrency=30)
        process = project.start(*command(running, workers=2))
        wait_for(lambda: witness.arrived >= 10, process, seconds=90)
        node = running.add_node("second", cpus=1)
        wait_for(lambda: node.find("ray::WorkerActor.call"), process, seconds=60)
        node.kill()
        ended = finish(process, seconds=200)
    found = states(project)
    assert found["done"] + found["unknown"] == 120, ended.err
    assert found["done"] >= 90
    assert max(Counter(witness.prompts()).values()) == 1
