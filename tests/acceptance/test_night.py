"""A night from cron: the same line twelve times, and all that may come between."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import pytest

from .kit import CANARY, SECRET, check_books

JOBS = 30


class Relay:
    """The way to the simulated provider, which can be cut: then nobody is there at its address."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = self._listening(0)
        self.port = self._listener.getsockname()[1]

    def cut(self) -> None:
        """Let nobody through."""
        listener, self._listener = self._listener, None
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()

    def mend(self) -> None:
        """Let everybody through again."""
        self._listener = self._listening(self.port)

    def close(self) -> None:
        if self._listener is not None:
            self.cut()

    def _listening(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._serve, args=(listener,), daemon=True).start()
        return listener

    def _serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        with near, suppress(OSError), socket.create_connection(("127.0.0.1", self._to)) as far:
            back = threading.Thread(target=_pump, args=(far, near), daemon=True)
            back.start()
            _pump(near, far)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def latency():
    return "0.3"


@pytest.fixture
def relay(sandbox):
    with closing(Relay(int(sandbox.url.rpartition(":")[2]))) as found:
        yield found


class Cron:
    """Runs one line as cron does: a bare environment, no terminal, output to be mailed."""

    def __init__(self, project, line: str) -> None:
        self._project, self._line = project, line
        self.key = CANARY
        self.mails: list[str] = []
        self.codes: list[int] = []

    def strike(self, *, killed_after: float | None = None) -> int:
        """Run the line to its end, or kill it; return its exit code."""
        environment = {"HOME": str(self._project.folder), "PATH": "/usr/bin:/bin", "OPENAI_API_KEY": self.key}
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {self._line}"],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if killed_after is not None:
            time.sleep(killed_after)
            process.send_signal(signal.SIGKILL)
        said, _ = process.communicate(timeout=60)
        self.mails.append(said.decode())
        self.codes.append(process.returncode)
        return process.returncode


@pytest.mark.slow
@pytest.mark.timeout(180)  # twenty starts of the program, at most
def test_twelve_runs_and_mail_only_where_the_user_is_needed(project, witness, relay):
    jobs = [{"id": f"j{number:02}", "prompt": f"a heron, number {number}"} for number in range(JOBS)]
    jobs.append({"id": "refused", "prompt": "a heron [sandbox: refuse]"})

    def manifest(budget: float) -> Path:
        providers = {
            "openai": {
                "base_url": f"http://127.0.0.1:{relay.port}/openai",
                "limits": {"concurrency": 2},
                "timeout": {"connect": 2},
            }
        }
        top = {"defaults": {"provider": "openai", "quality": "low"}, "budget": {"usd": budget}, "providers": providers}
        return project.manifest(jobs, on_unknown="hold", **top)

    path = manifest(5)
    line = f"{sys.executable} -m batchgen -q -C {project.folder} run {path} --wait-lock 0 --max-time 0.6s"
    cron = Cron(project, line)
    assert cron.strike() == 8  # 1: the bound of time
    assert cron.strike(killed_after=1.0) == -9  # 2: killed
    left = project.state / "spool"
    (project.folder / "output" / "shop").mkdir(parents=True, exist_ok=True)
    (project.folder / "output" / "shop" / ".bg-0123456789abcdef.part").write_bytes(b"half an image")  # a reboot
    assert left.is_dir()
    third = cron.strike()  # 3: goes on where the second was killed
    relay.cut()
    fourth = cron.strike()  # 4: nobody is there
    relay.mend()
    cron.strike()  # 5: there again
    cron.key = f"revoked-{CANARY}"
    sixth = cron.strike()  # 6: the key is refused
    cron.key = CANARY
    spent = sum(float(line["usd"] or 0) for line in witness.charges())
    manifest(round(spent + 0.001, 4))
    seventh = cron.strike()  # 7: the budget is used up
    manifest(5)
    rest = [cron.strike() for _ in range(5)]  # 8 to 12
    while rest[-1] == 8 and len(rest) < 20:  # a slow machine needs more of them
        rest.append(cron.strike())
    states = Counter(row["state"] for row in project.jobs().values())
    assert states["done"] + states["unknown"] == JOBS
    assert states["failed"] == 1
    assert third in (8, 3)
    assert (fourth, sixth, seventh) == (8, 5, 7)
    assert rest[-1] == 3
    mailed = [bool(mail) for mail in cron.mails]
    # a bound, a kill, an outage: nobody has to do anything
    assert not any(mailed[number] for number in (0, 1, 3, 4))
    assert "Incorrect API key" in cron.mails[5]
    assert "the budget of this batch is used up" in cron.mails[6]
    assert sum("job refused: Your request was rejected" in mail for mail in cron.mails[7:]) == 1  # told once
    assert sum(mailed) <= 5
    check_books(project, witness.charges())
    charged = Counter(line["prompt"] for line in witness.charges())
    assert max(charged.values()) == 1
    assert SECRET not in "".join(cron.mails)
