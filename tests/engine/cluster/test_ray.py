"""Workers as actors of a real Ray: they leave after their lease, and come back after their death."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.servers.cluster import cluster
from tests.timing import patience

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SCRIPT = """
import asyncio, json, os, signal, sys
from batchgen.app.cluster_worker import open_worker
from batchgen.engine.cluster import ray_backend
from batchgen.engine.cluster.call import Fenced, Setup, WorkerLost
from batchgen.version import __version__

def setup(lease):
    return Setup(name="b-0", batch="b", root="/", profiles={}, sandbox=True, version=__version__, lease=lease)

async def hello(handle, epoch, lease):
    while True:
        try:
            return await handle.call("hello", epoch, setup(lease))
        except WorkerLost:
            await asyncio.sleep(0.2)

async def main():
    ray = ray_backend.connect(sys.argv[1])
    handle = ray_backend.actors(ray, open_worker, {"b-0": setup(600)}, 10)["b-0"]
    first = await hello(handle, 2, 600)
    same = await hello(ray_backend.actors(ray, open_worker, {"b-0": setup(600)}, 10)["b-0"], 2, 600)
    try:
        fenced = not await handle.call("hello", 1, setup(600))
    except Fenced:
        fenced = True
    os.kill(first.pid, signal.SIGKILL)
    second = await hello(handle, 2, 600)
    named = ray_backend.left_behind(ray, "b")
    await hello(handle, 3, 0.5)
    while ray_backend.left_behind(ray, "b"):
        await asyncio.sleep(0.2)
    nowhere = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy("a" * 56, soft=False)
    actor = ray.remote(ray_backend.WorkerActor).options(scheduling_strategy=nowhere).remote(open_worker, setup(600))
    try:
        await ray_backend.RayHandle(ray=ray, actor=actor).call("hello", 1, setup(600))
    except WorkerLost as error:
        unschedulable = bool(str(error))
    print(json.dumps({
        "unschedulable": unschedulable,
        "same": first.incarnation == same.incarnation, "fenced": fenced, "restarted": first.pid != second.pid,
        "spool": first.spool == second.spool, "named": named}))

asyncio.run(main())
"""


def test_actor_is_found_again_restarted_and_leaves_after_its_lease(tmp_path):
    with cluster({"BATCHGEN_WORKER_DIR": str(tmp_path)}) as running:
        node = running.add_node(cpus=2)
        command = [sys.executable, "-c", SCRIPT, running.address]
        env = os.environ | running.environment()
        found = json.loads(subprocess.check_output(command, env=env, timeout=patience(100)))
        assert not node.find("ray::WorkerActor"), "Ray does not start it again"
    assert found == {
        "same": True,
        "fenced": True,
        "restarted": True,
        "spool": True,
        "named": ["b-0"],
        "unschedulable": True,
    }
