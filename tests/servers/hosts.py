"""Hosts of a network without a second machine: network namespaces with a name and an address of their own.

Every host is joined by a veth pair to a switch, which lives in a namespace too, together with the simulated providers:
nothing that listens there can be reached from outside, and a link can be pulled out. The providers' address belongs to
127.0.0.0/8, for which batchgen accepts plain HTTP, and is routed to them all the same. Needs root and Linux.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchgen.sandbox.launch import Sandbox
from tests.needs import missing
from tests.timing import patience

#: The address of the providers, as all hosts reach them.
PROVIDERS = "127.77.0.3"
_NETWORK = "10.77.0."


@dataclass(frozen=True, kw_only=True)
class Host:
    """One host: a namespace with a hostname of its own."""

    name: str
    namespace: str
    address: str
    port: str = ""  #: the switch's end of its cable

    def command(self, *arguments: str) -> list[str]:
        """Return the command that runs another one on this host."""
        become = 'hostname "$0" && exec "$@"'
        inside = ["ip", "netns", "exec", self.namespace, "unshare", "--uts", "sh", "-c", become, self.name]
        return [*inside, *arguments]

    def pids(self) -> list[int]:
        """Return the processes that run on this host."""
        listed = subprocess.run(["ip", "netns", "pids", self.namespace], capture_output=True, text=True, check=False)
        return [int(line) for line in listed.stdout.split()]


@dataclass(kw_only=True)
class Network:
    """Hosts on one switch."""

    hosts: Sequence[Host]
    switch: Host  #: the providers run here

    def set_link(self, host: Host, *, up: bool) -> None:
        """Plug the cable of *host* in or pull it out: packets get lost without an error."""
        _ip("-n", self.switch.namespace, "link", "set", host.port, "up" if up else "down")

    def remove_route(self, host: Host) -> None:
        """Keep *host* from reaching the providers; connections fail at once."""
        _ip("-n", host.namespace, "route", "replace", "unreachable", f"{PROVIDERS}/32")


@contextmanager
def network(*names: str) -> Iterator[Network]:
    """Build a network with hosts of these *names*; at the end, end all that still runs on them."""
    _require_namespaces()
    mark = f"bg{os.getpid()}"
    switch = Host(name="providers", namespace=f"{mark}s", address=PROVIDERS)
    hosts = [
        Host(name=name, namespace=f"{mark}h{number}", address=f"{_NETWORK}{number}", port=f"p{number}")
        for number, name in enumerate(names, 11)
    ]
    try:
        _build(switch, hosts)
        yield Network(hosts=hosts, switch=switch)
    finally:
        for host in (*hosts, switch):
            end(host.pids)
            subprocess.run(["ip", "netns", "delete", host.namespace], capture_output=True, check=False)


@contextmanager
def providers(net: Network, folder: Path, *options: str) -> Iterator[Sandbox]:
    """Run the simulated providers where all hosts of *net* reach them; *options* as of ``batchgen.sandbox``."""
    ready = folder / "ready.json"
    command = [sys.executable, "-m", "batchgen.sandbox", "--host", PROVIDERS, "--ready-file", str(ready)]
    command += ["--log", str(folder / "charges.jsonl"), "--draw", "small", *options]
    with (folder / "sandbox.out").open("wb") as output:
        process = subprocess.Popen(
            net.switch.command(*command), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        last = time.monotonic() + patience(20)
        while not ready.exists():
            assert process.poll() is None, (folder / "sandbox.out").read_text()
            assert time.monotonic() < last, "the providers did not start in time"
            time.sleep(0.02)
        facts = json.loads(ready.read_text())
        yield Sandbox(url=facts["url"], pid=process.pid, log=Path(facts["log"]), process=process)
    finally:
        process.terminate()
        process.wait()


def _build(switch: Host, hosts: Sequence[Host]) -> None:
    for host in (switch, *hosts):
        _ip("netns", "add", host.namespace)
        _ip("-n", host.namespace, "link", "set", "lo", "up")
        _run("ip", "netns", "exec", host.namespace, "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
    inside = ("-n", switch.namespace)
    _ip(*inside, "link", "add", "switch", "type", "bridge")
    _ip(*inside, "link", "set", "switch", "up")
    _ip(*inside, "address", "add", f"{_NETWORK}3/24", "dev", "switch")
    for host in hosts:
        own, device = ("-n", host.namespace), "eth0"
        _ip("link", "add", device, "netns", host.namespace, "type", "veth",
            "peer", "name", host.port, "netns", switch.namespace)  # fmt: skip
        _ip(*inside, "link", "set", host.port, "master", "switch", "up")
        _ip(*own, "link", "set", device, "up")
        _ip(*own, "address", "add", f"{host.address}/24", "dev", device)
        # Only 127.0.0.1 stays on this host, so that the providers' address can lead elsewhere.
        _ip(*own, "address", "del", "127.0.0.1/8", "dev", "lo")
        _ip(*own, "address", "add", "127.0.0.1/32", "dev", "lo")
        _ip(*own, "route", "add", f"{PROVIDERS}/32", "dev", device, "src", host.address)


def end(pids: Any) -> None:
    """Kill the processes that the function *pids* returns, until it returns none."""
    last = time.monotonic() + patience(10)
    while left := pids():
        assert time.monotonic() < last, f"processes {left} do not end"
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _require_namespaces() -> None:
    if os.geteuid() != 0:
        missing("network namespaces need root")
    for program in ("ip", "unshare", "sysctl"):
        if shutil.which(program) is None:
            missing(f"{program} is not installed")
    tried = subprocess.run(["unshare", "--net", "--uts", "true"], capture_output=True, check=False)
    if tried.returncode != 0:
        missing("this machine allows no network namespaces")


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    subprocess.run(command, capture_output=True, text=True, check=True)
