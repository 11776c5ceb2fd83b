"""Kit of the tests on two hosts: a run on the first one, a worker on each, and figures from the charge log alone."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.acceptance.kit import CANARY, PROVIDERS, Line, Witness, Workspace, wait_for
from tests.forkserver import Popen
from tests.servers.cluster import FAST_HEALTH, Cluster, Node, cluster
from tests.servers.hosts import Host, Network, network, providers

#: Title of the process of a worker.
WORKER = "ray::WorkerActor"
KEYS = {f"{name.upper()}_API_KEY": CANARY for name in PROVIDERS}


@dataclass(kw_only=True)
class TwoHosts:
    """Two hosts with a Ray node each, and a project on the first one."""

    net: Network
    cluster: Cluster
    project: Workspace
    witness: Witness
    nodes: Sequence[Node]

    @property
    def one(self) -> Host:
        return self.net.hosts[0]

    @property
    def two(self) -> Host:
        return self.net.hosts[1]

    def manifest(self, jobs: int, *, concurrency: int, **settings: Any) -> Path:
        """Write a manifest of so many jobs, of which so many may be in flight."""
        limits = {"concurrency": concurrency, "adaptive": False} | settings.pop("limits", {})
        lines = [{"id": f"j{n}", "provider": "openai", "quality": "low", "prompt": f"Tree {n}"} for n in range(jobs)]
        openai = {"limits": limits} | settings
        return self.project.manifest(lines, providers={"openai": openai})

    def start(self, manifest: Path) -> Popen:
        """Start a run on the cluster, on the first host."""
        ray = ["--backend", "ray", "--address", self.cluster.address, "--workers", "2"]
        return self.project.start("run", manifest, "--yes", "--metrics-file", "metrics", *ray)

    def worker(self, number: int) -> int:
        """Return the process of the worker on a host, once it is there."""
        wait_for(lambda: self.nodes[number].find(WORKER), seconds=30)
        [pid] = self.nodes[number].find(WORKER)
        return pid

    def sources(self) -> Counter[str]:
        """Return how many requests came from each host by now."""
        return Counter(line["source"] for line in self.witness.now() if line["event"] == "arrival")


@contextmanager
def two_hosts(folder: Path, *options: str, latency: str = "none", **env: str) -> Iterator[TwoHosts]:
    """Start everything; *options* are those of the sandbox, *env* are variables of Ray."""
    with (
        network("one", "two") as net,
        providers(net, folder, "--latency", latency, *options) as sandbox,
        cluster(KEYS | (env or FAST_HEALTH)) as running,
    ):
        nodes = [
            # One CPU each: a worker takes one, so that each host gets one worker.
            running.add_node(host.name, host, cpus=1, BATCHGEN_WORKER_DIR=str(folder / host.name))
            for host in net.hosts
        ]
        shop = folder / "shop"
        shop.mkdir()
        project = Workspace(folder=shop, url=sandbox.url, env=KEYS | running.environment())
        project.program = tuple(net.hosts[0].command(sys.executable, "-m", "batchgen"))
        try:
            yield TwoHosts(net=net, cluster=running, project=project, witness=Witness(sandbox.log), nodes=nodes)
        finally:
            for started in project.started:
                kill_session(started)
            project.end()


def kill_session(process: Popen) -> None:
    """Kill a run and what it started, which is a session of its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What the providers saw."""

    arrivals: int
    attempts_sent_twice: int
    charges: int
    jobs_charged: int
    by_source: Counter[str]
    busiest_second: int
    busiest_minute: int
    seconds: float  #: from the first arrival to the last answer
    gap: float  #: longest time without an arrival

    @classmethod
    def of(cls, lines: Sequence[Line]) -> Figures:
        arrivals = [line for line in lines if line["event"] == "arrival"]
        charges = [line for line in lines if line["event"] == "charge"]
        times = sorted(line["at"] for line in arrivals)
        ids = Counter(line["attempt"] for line in arrivals)
        return cls(
            arrivals=len(arrivals),
            attempts_sent_twice=sum(number > 1 for number in ids.values()),
            charges=len(charges),
            jobs_charged=len({line["prompt"] for line in charges}),
            by_source=Counter(line["source"] for line in arrivals),
            busiest_second=busiest(times, 1.0),
            busiest_minute=busiest(times, 60.0),
            seconds=max((line["at"] for line in lines), default=0.0) - (times[0] if times else 0.0),
            gap=max((b - a for a, b in pairwise(times)), default=0.0),
        )


def busiest(times: Sequence[float], window: float) -> int:
    """Return the most events in any window of so many seconds; *times* are sorted."""
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= window:
            first += 1
        most = max(most, last - first + 1)
    return most


def stop_for(pid: int, seconds: float) -> None:
    """Stop a process for a while."""
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)
