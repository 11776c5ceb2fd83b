"""Ray clusters for tests: a head and more nodes, on this machine or on the hosts of ``hosts.network``.

Every node is a ``ray start --block`` whose processes are known by their ids: `ray stop` would end those of every other
cluster of the machine. Ray is started with a token, sends no usage statistics, and keeps its files in a short folder of
its own, because the paths of its sockets must not exceed 107 characters.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.needs import missing
from tests.timing import patience

from .hosts import Host, end

#: What Ray waits before it declares a node dead whose host cannot be reached: seconds instead of a minute.
FAST_HEALTH = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1500",
    "RAY_health_check_failure_threshold": "3",
}
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_COLOR_PREFIX": "0",
    "RAY_enable_worker_prestart": "0",
}
_MEMORY = 80_000_000  #: of the object store, through which no image passes


@dataclass(kw_only=True)
class Node:
    """One node of a cluster: the processes of a ``ray start``."""

    name: str
    host: Host | None
    process: subprocess.Popen[Any]
    output: Path
    _seen: set[int] = field(default_factory=set)

    def pids(self) -> list[int]:
        """Return the node's processes, also those whose parent has died."""
        alive = _parents()
        self._seen &= set(alive)
        self._seen |= {self.process.pid} if self.process.poll() is None else set()
        while more := {pid for pid, parent in alive.items() if parent in self._seen} - self._seen:
            self._seen |= more
        return sorted(self._seen)

    def find(self, title: str) -> list[int]:
        """Return the processes whose command line begins with *title*, such as "ray::" or ends so, as "raylet"."""
        return [pid for pid in self.pids() if _title(pid).startswith(title) or _title(pid).endswith(title)]

    def workers(self) -> list[int]:
        """Return the processes of actors and tasks on this node, not those that are idle."""
        return [pid for pid in self.find("ray::") if not _title(pid).startswith(("ray::IDLE", "ray::RuntimeEnv"))]

    def kill(self) -> None:
        """Kill the whole node at once, as a power cut does."""
        pids = self.pids()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        self.process.wait()
        end(self.pids)


@dataclass(kw_only=True)
class Cluster:
    """A running cluster. Workers inherit the environment of their node."""

    folder: Path
    env: dict[str, str]
    address: str = ""
    nodes: list[Node] = field(default_factory=list)
    token: str = field(default_factory=lambda: secrets.token_hex(16))

    def environment(self) -> dict[str, str]:
        """Return the variables with which a driver reaches this cluster."""
        return _QUIET | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}

    def add_node(
        self, name: str = "node", host: Host | None = None, cpus: int = 8, own_folder: Path | None = None, **env: str
    ) -> Node:
        """Start a node, the first one as the head; *env* are variables of its workers.

        *own_folder* is a folder that is another one, and empty, for this node.
        """
        head = not self.nodes
        address = host.address if host else "127.0.0.1"
        port = 6379 if host else _free_port()
        # Ray ends its processes on SIGTERM, which a test session that is killed sends like this.
        command = ["setpriv", "--pdeathsig", "TERM", str(_ray()), "start", "--block"]
        command += [f"--num-cpus={cpus}", f"--node-ip-address={address}"]
        command += ["--head", f"--port={port}"] if head else [f"--address={self.address}"]
        command += [f"--temp-dir={self.folder}", f"--object-store-memory={_MEMORY}", "--disable-usage-stats"]
        command += ["--include-log-monitor=false", "--min-worker-port=0", "--max-worker-port=0"]
        command += ["--dashboard-agent-listen-port=0", *(["--include-dashboard=false"] if head else [])]
        if own_folder is not None:
            mount = 'mount -t tmpfs none "$0" && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", mount, str(own_folder), *command]
        output = self.folder.with_suffix(f".{len(self.nodes)}")
        with output.open("wb") as stream:
            process = subprocess.Popen(
                host.command(*command) if host else command,
                env=os.environ | self.environment() | self.env | env,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        node = Node(name=name, host=host, process=process, output=output)
        self.nodes.append(node)
        _wait_for("Ray runtime started", node)
        if head:
            # Ray replaces a loopback address by the machine's own.
            self.address = f"{address}:{port}" if host else f"{_own_address(output)}:{port}"
        return node

    def end(self) -> None:
        for node in reversed(self.nodes):
            node.kill()
            node.output.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def cluster(env: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """Yield a cluster without nodes; *env* are variables of all its workers, such as API keys."""
    need_ray()
    made = Cluster(folder=Path(tempfile.mkdtemp(prefix="bgray", dir="/tmp")), env=dict(env or {}))
    try:
        yield made
    finally:
        made.end()


def need_ray() -> None:
    """Skip the test where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        missing("Ray is not installed (extra cluster)")


def _ray() -> Path:
    return Path(sys.executable).with_name("ray")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _own_address(output: Path) -> str:
    return output.read_text().partition("Local node IP: ")[2].split()[0]


def _wait_for(text: str, node: Node) -> None:
    last = time.monotonic() + patience(30)
    while text not in (output := node.output.read_text(errors="replace")):
        assert node.process.poll() is None, output
        assert time.monotonic() < last, f"Ray did not start in time: {output}"
        time.sleep(0.05)


def _parents() -> dict[int, int]:
    """Return the parent of every process that runs; a zombie does not."""
    result = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(") ")[2].split()[:2]
            if state != "Z":
                result[int(folder.name)] = int(parent)
    return result


def _title(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
    return ""
