"""Workers of batchgen on a Ray cluster of the test session: each test takes new ones, and none stays."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .cluster import Cluster, cluster

#: Reads a line for each order: ends every worker that is there, and answers how many there were.
_RELEASE = """
import sys, ray
ray.init(address=sys.argv[1], namespace="batchgen", log_to_driver=False)
print("ready", flush=True)
for _ in sys.stdin:
    names = ray.util.list_named_actors()
    for name in names:
        try:
            ray.kill(ray.get_actor(name), no_restart=True)
        except ValueError:
            pass
    print(len(names), flush=True)
"""
#: Of a run. Both are processes of this machine.
WORKERS = 2


class Pool:
    """A cluster of one node, and a process that ends the workers on it."""

    def __init__(self, running: Cluster, spools: Path) -> None:
        self.cluster = running
        self.spools = spools
        self._process = subprocess.Popen(
            [sys.executable, "-c", _RELEASE, running.address],
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

    def release(self) -> int:
        """End all workers; return how many there were."""
        self._stream(self._process.stdin).write("\n")
        self._stream(self._process.stdin).flush()
        return int(self._read())

    def close(self) -> None:
        self._stream(self._process.stdin).close()
        self._process.wait()
        self._stream(self._process.stdout).close()

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
        started.add_node(cpus=8)
        pool = Pool(started, spools)
        try:
            yield pool
        finally:
            pool.close()
