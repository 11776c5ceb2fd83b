"""Workers of batchgen on a Ray cluster of the test session: each test takes new ones, and none stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .cluster import Cluster, cluster

#: Reads a line for each order, "end" or "pids" and how the names of the workers begin: ends these, or asks Ray for
#: their processes, which is the answer.
_CONTROL = """
import json, sys, ray
from ray._private.state import actors
ray.init(address=sys.argv[1], namespace="batchgen", log_to_driver=False)
print("ready", flush=True)
for line in sys.stdin:
    order, _, prefix = line.rstrip("\\n").partition(" ")
    names = {name for name in ray.util.list_named_actors() if name.startswith(prefix)}
    processes = []
    if order == "pids":
        alive = [each for each in actors().values() if each["Name"] in names and each["State"] == "ALIVE"]
        processes = [each["Pid"] for each in alive]
    for name in names if order == "end" else ():
        try:
            ray.kill(ray.get_actor(name), no_restart=True)
        except ValueError:
            pass
    print(json.dumps(processes), flush=True)
"""
#: Of a run. Both are processes of this machine.
WORKERS = 2


class Pool:
    """A cluster of one node, and a process that finds and ends the workers on it."""

    def __init__(self, running: Cluster, spools: Path) -> None:
        self.cluster = running
        self.spools = spools
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CONTROL, running.address],
            env=dict(os.environ) | running.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._read() == "ready"

    def environment(self) -> dict[str, str]:
        """Return the variables with which a run sends its calls from the workers."""
        return self.cluster.environment() | {
            f"BATCHGEN_{command}_{name}".upper(): value
            for command in ("run", "resume", "retry", "redo")
            for name, value in self.options().items()
        }

    def options(self) -> dict[str, str]:
        return {"backend": "ray", "address": self.cluster.address, "workers": str(WORKERS)}

    def release(self, batch: str = "") -> None:
        """End the workers of a batch, or all."""
        self._order("end", batch)

    def pids(self, batch: str = "") -> list[int]:
        """Return the processes of the workers of a batch, or of all."""
        return self._order("pids", batch)

    def close(self) -> None:
        self._stream(self._process.stdin).close()
        self._process.wait()
        self._stream(self._process.stdout).close()

    def _order(self, what: str, batch: str) -> list[int]:
        with self._lock:
            self._stream(self._process.stdin).write(f"{what} {batch}\n")
            self._stream(self._process.stdin).flush()
            processes: list[int] = json.loads(self._read())
        return processes

    def _read(self) -> str:
        line = self._stream(self._process.stdout).readline().strip()
        assert line, "the process that ends the workers is gone"
        return line

    @staticmethod
    def _stream(stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream


@contextmanager
def running(spools: Path, env: Mapping[str, str] | None = None) -> Iterator[Pool]:
    """Run a cluster whose workers keep their spools below *spools*; *env* are their variables, such as keys."""
    with cluster({"BATCHGEN_WORKER_DIR": str(spools), **(env or {})}) as started:
        started.add_node(cpus=32)
        pool = Pool(started, spools)
        try:
            yield pool
        finally:
            pool.close()
