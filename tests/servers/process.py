"""A server as a child process: it can be stopped, killed and started again, and never outlives the test session."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.timing import patience

#: Ends a server whose test session was killed. Linux only, as are the tests that need a server.
SETPRIV = "setpriv"


#: A process counts as orphaned when the thread that started it ends; this one ends with the session.
_PARENT = ThreadPoolExecutor(1)


def free_port() -> int:
    """Return a port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A process that listens on a port of its own, which stays the same when it is started again."""

    #: The signal that ends it in order, and the one for the death of the test session.
    end_signal = signal.SIGTERM
    orphan_signal = "KILL"

    def __init__(self, command: Sequence[str], log: Path, *, port: int, user: str | None = None, **env: str) -> None:
        self.port = port
        self.log = log
        drop = ["--reuid", user, "--regid", str(_group(user)), "--clear-groups"] if user else []
        self._command = [SETPRIV, *drop, "--pdeathsig", self.orphan_signal, "--", *command]
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self.log.open("ab") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            environment = dict(os.environ) | self._env
            self._process = _PARENT.submit(subprocess.Popen, self._command, env=environment, **streams).result()
        self.wait()

    def wait(self) -> None:
        """Wait until it answers."""
        assert self._process is not None
        end = time.monotonic() + patience(20)
        while not self.answers():
            assert self._process.poll() is None, f"{self._command}: {self.log.read_text()[-2000:]}"
            assert time.monotonic() < end, f"no answer: {self.log.read_text()[-2000:]}"
            time.sleep(0.02)

    def answers(self) -> bool:
        """Return whether the port accepts connections."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def stop(self) -> None:
        """End it in order; by force if that takes long."""
        self._end(self.end_signal)

    def kill(self) -> None:
        """Kill it and its children at once, as a power cut does."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stop all its processes for a while: connections stay open, and nothing answers."""
        stopped = self.pids()
        for pid in stopped:
            _signal(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                _signal(pid, signal.SIGCONT)

    def children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def pids(self) -> list[int]:
        return [self.pid, *self.children()]

    def _end(self, number: int) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        pids = self.pids()
        for pid in pids if number == signal.SIGKILL else [self.pid]:
            _signal(pid, number)
        _signal(self.pid, signal.SIGCONT)
        try:
            self._process.wait(patience(5))
        except subprocess.TimeoutExpired:
            for pid in pids:
                _signal(pid, signal.SIGKILL)
            self._process.wait()
        end = time.monotonic() + patience(5)
        while any(lives(pid) for pid in pids) and time.monotonic() < end:
            time.sleep(0.01)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def lives(pid: int) -> bool:
    """Return whether a process is there that is not just waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _group(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
