"""The Ray clusters of the tests: what a test relies on when it kills a worker or pulls out a cable."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest

from tests.acceptance.kit import wait_for
from tests.timing import patience

from .cluster import FAST_HEALTH, cluster
from .hosts import PROVIDERS, network

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

HOSTNAMES = """
import json, socket, sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
@ray.remote(num_cpus=1, scheduling_strategy="SPREAD")
def name(): return socket.gethostname()
alive = [node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]]
print(json.dumps([sorted(alive), sorted({ray.get(name.remote()) for _ in range(8)})]))
"""


def test_cluster_runs_a_task_and_leaves_no_process():
    with cluster() as running:
        node = running.add_node()
        command = [sys.executable, "-c", HOSTNAMES, running.address]
        alive, names = json.loads(subprocess.check_output(command, env=environment(running), timeout=patience(60)))
        assert len(alive) == 1
        assert names == [socket.gethostname()]
        assert node.find("raylet")
    assert not node.pids()
    assert not running.folder.exists()


def test_cluster_refuses_a_driver_without_its_token():
    with cluster() as running:
        running.add_node()
        env = environment(running) | {"RAY_AUTH_TOKEN": "another"}
        command = [sys.executable, "-c", HOSTNAMES, running.address]
        ended = subprocess.run(command, env=env, capture_output=True, timeout=patience(60), check=False)
        assert ended.returncode != 0
        assert running.token not in ended.stderr.decode()


def test_two_hosts_have_names_addresses_and_links_of_their_own():
    with network("one", "two") as net, cluster(FAST_HEALTH) as running:
        one, two = net.hosts
        head = running.add_node("one", one, cpus=2)
        running.add_node("two", two, cpus=2)
        command = one.command(sys.executable, "-c", HOSTNAMES, running.address)
        answer = subprocess.check_output(command, env=environment(running), timeout=patience(60))
        assert json.loads(answer) == [[one.address, two.address], ["one", "two"]]
        assert not can_reach(one, PROVIDERS, 6379), "nothing listens there"
        assert can_reach(two, one.address, 6379)
        net.set_link(two, up=False)
        assert not can_reach(two, one.address, 6379)
        net.set_link(two, up=True)
        wait_for(lambda: can_reach(two, one.address, 6379))  # the neighbour is looked up again
        assert set(head.pids()) <= set(one.pids())
    assert one.pids() == two.pids() == []


def can_reach(host, address, port):
    script = f"import socket; socket.create_connection(({address!r}, {port}), 2).close()"
    return subprocess.run(host.command(sys.executable, "-c", script), capture_output=True, check=False).returncode == 0


def environment(running):
    return os.environ | running.environment()
