"""Kit for faults of this machine: small disks, read-only folders, errors of single calls, signals, fast forks.

A run is a fork of a process that has imported batchgen already, entered at the command line's ``main``; everything else
is real: the job table, the spool, the output folder, the sandbox as a process and its charge log as the witness.
A *hook* is a function of a test module that a run calls first; a *fault* is an order to the shim of tests/torture.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import errno
import functools
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from batchgen.sandbox import launch
from tests.acceptance.kit import CANARY, PROVIDERS, Done, Witness, Workspace, check_books, check_files
from tests.forkserver import prepare, to_the_end
from tests.timing import patience
from tests.torture.stand import build_shim

ROOT = Path(__file__).parents[2]
NOBODY = 65534
RETRY = {"first_wait": 0.01, "max_wait": 0.05}
Hook = Callable[..., None]
_SHIM = "FAULTS_LOCAL_SHIM"


#: Number of the test: the sandbox counts how often it misbehaved by prompt.
_test = [0]


def job(key: str = "a", **fields: Any) -> dict[str, Any]:
    """Return a job of a manifest; ``sandbox="drop x1"`` makes its provider misbehave."""
    order = fields.pop("sandbox", None)
    prompt = f"Picture {key} {_test[0]}" + (f" [sandbox: {order}]" if order else "")
    return {"id": key, "provider": "openai", "quality": "low", "prompt": prompt} | fields


# --- runs -------------------------------------------------------------------------------------------------------------


def serve() -> None:
    """Fork runs as ordered, line by line; end with the caller."""
    prepare()
    print("{}", flush=True)
    while line := sys.stdin.readline():
        order = json.loads(line)
        if "poll" in order:
            pid, status, used = os.wait4(order["poll"], os.WNOHANG)
            answer = {"code": os.waitstatus_to_exitcode(status), "peak": used.ru_maxrss * 1024} if pid else {}
        else:
            answer = {"pid": os.fork()}
            if answer["pid"] == 0:
                _become(order)
                return
        print(json.dumps(answer), flush=True)


def _become(order: dict[str, Any]) -> None:
    """Turn this fork into a run of batchgen."""
    os.setsid()
    os.chdir(order["folder"])
    for number, name, flags in (
        (0, "/dev/null", os.O_RDONLY),
        (1, order["out"], os.O_WRONLY),
        (2, order["err"], os.O_WRONLY),
    ):
        os.dup2(os.open(name, flags), number)
    os.environ.clear()
    os.environ.update(order["env"])
    if order["hook"]:
        module, name, arguments = order["hook"]
        getattr(importlib.import_module(module), name)(*arguments)
    if order["fault"]:
        arm(order["fault"])
    os.umask(order["umask"])
    for name, value in order["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (value, value))
    if order["user"]:
        os.setgroups([])
        os.setgid(order["user"])
        os.setuid(order["user"])
    sys.argv = ["batchgen", *order["argv"]]
    from batchgen.cli import main

    to_the_end(main)


def arm(order: str) -> None:
    """Give the shim its order, in this process from now on."""
    library = ctypes.CDLL(SHIM[0])
    library.torture_arm(order.encode())


#: In a fork: the shim's path.
SHIM = [os.environ.get(_SHIM, "")]


@dataclass
class Run:
    """A run under way."""

    pid: int
    out: Path
    err: Path
    began: float
    code: int | None = None
    peak: int = 0  #: bytes of memory

    def poll(self) -> int | None:
        if self.code is None:
            answer = _server().ask(poll=self.pid)
            self.code, self.peak = answer.get("code"), answer.get("peak", 0)
        return self.code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, seconds: float = 20) -> Done:
        end = time.monotonic() + patience(seconds)
        while self.poll() is None:
            if time.monotonic() > end:
                os.kill(self.pid, 9)
                pytest.fail(f"the run did not end:\n{self.err.read_text()}")
            time.sleep(0.004)
        assert self.code is not None
        said = [path.read_text(errors="replace") for path in (self.out, self.err)]
        return Done(code=self.code, out=said[0], err=said[1], seconds=time.monotonic() - self.began)

    def communicate(self) -> tuple[bytes, bytes]:
        """Behave as a Popen where the acceptance kit looks at one."""
        return self.out.read_bytes(), self.err.read_bytes()


class _Server:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="faults-local-"))
        self.folder.chmod(0o755)
        self.shim = build_shim(self.folder)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), _SHIM: str(self.shim or "")}
        if self.shim:
            environment["LD_PRELOAD"] = str(self.shim)
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=ROOT,
        )
        self.ask(None)

    def ask(self, order: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if order is not None or fields:
            self._process.stdin.write(json.dumps((order or {}) | fields) + "\n")
            self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        with self._process as process:
            process.communicate()
        for path in self.folder.iterdir():
            path.unlink()
        self.folder.rmdir()


@functools.cache
def _server() -> _Server:
    server = _Server()
    atexit.register(server.close)
    return server


@dataclass(kw_only=True)
class Place(Workspace):
    """A user's folder on a machine with faults."""

    runs: list[Run] = field(default_factory=list)
    disks: list[Disk] = field(default_factory=list)

    def go(
        self,
        *argv: object,
        hook: Hook | None = None,
        arguments: tuple[object, ...] = (),
        fault: str = "",
        limits: dict[str, int] | None = None,
        user: int = 0,
        umask: int = 0o022,
        **env: str,
    ) -> Run:
        """Start a run and do not wait."""
        server, number = _server(), len(self.runs)
        out, err = (server.folder / f"{os.getpid()}-{number}.{name}" for name in ("out", "err"))
        for path in (out, err):
            path.write_bytes(b"")
        order = {
            "argv": [str(word) for word in argv],
            "folder": str(self.folder),
            "env": self.environment() | env,
            "out": str(out),
            "err": str(err),
            "hook": hook and [hook.__module__, hook.__qualname__, arguments],
            "fault": fault or next((disk.fault for disk in self.disks if disk.fault), ""),
            "limits": limits or {},
            "user": user,
            "umask": umask,
        }
        run = Run(server.ask(order)["pid"], out, err, time.monotonic())
        self.runs.append(run)
        return run

    def do(self, *argv: object, seconds: float = 20, **terms: Any) -> Done:
        """Run batchgen to its end."""
        return self.go(*argv, **terms).wait(seconds)

    def batch(self, *jobs: dict[str, Any], **top: Any) -> Path:
        """Write a manifest of simulated jobs with short pauses."""
        return self.manifest(list(jobs) or [job()], **{"retry": RETRY} | top)

    def again(self, manifest: Path, witness: Witness, charges: int, **terms: Any) -> Done:
        """Run once more: all is done, nothing was bought again, files are whole and the books complete."""
        done = self.do("run", manifest, "--yes", **terms)
        assert (done.code, done.out) == (0, ""), done.err
        self.settled(witness, charges)
        return done

    def settled(self, witness: Witness, charges: int) -> None:
        assert {row["state"] for row in self.rows("select state from jobs where orphaned_at is null")} == {"done"}
        self.booked(witness, charges)
        left = [path.name for path in (self.state / "spool").iterdir() if path.suffix == ".slot"]
        assert left == []

    def booked(self, witness: Witness, charges: int) -> None:
        """So many charges, each in the books; files whole."""
        made = witness.charges()
        assert len(made) == charges
        check_books(self, made)
        check_files(self)
        assert len(self.ledger()) == len(self.rows("select id from attempts where state != 'open'"))

    def slots(self) -> list[Path]:
        return sorted((self.state / "spool").glob("*.slot"))

    def fault(
        self, ops: str, code: int, *, part: str = "", number: int = 1, lasting: bool = False, trace: str = ""
    ) -> str:
        """Return an order to the shim: call *number* of *ops* on a path with *part* fails, or all from there on."""
        assert _server().shim is not None, "these cases need a C compiler"
        return f"fail:{number}:{code}:{lasting:d}:{ops}:{trace}:{part}:{self.folder}"

    def disk(self, below: str, *, size: str = "64m", inodes: int | None = None, like: tuple[str, str]) -> Disk:
        """Put a disk of its own under a folder; where mounts are forbidden, *like* (ops, part) fail in its place."""
        disk = Disk(self, self.folder / below, size, inodes, like)
        self.disks.append(disk)
        return disk

    def end(self) -> None:
        for run in self.runs:
            if run.poll() is None:
                os.kill(run.pid, 9)
                while run.poll() is None:
                    time.sleep(0.004)
        for disk in self.disks:
            disk.close()
        super().end()


class Disk:
    """A small file system of its own."""

    def __init__(self, place: Place, folder: Path, size: str, inodes: int | None, like: tuple[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._place, self._like = folder, place, like
        limits = f"size={size}" + (f",nr_inodes={inodes}" if inodes else "")
        self.real = _mount("-t", "tmpfs", "-o", f"mode=755,{limits}", "tmpfs", str(folder))
        self.fault = ""
        self._ballast = folder / "ballast"
        if inodes or size != "64m":
            self._fail(errno.ENOSPC)

    def _fail(self, code: int) -> None:
        if not self.real:
            self.fault = self._place.fault(self._like[0], code, part=self._like[1], lasting=True)

    def fill(self) -> None:
        """Take every byte that is left."""
        if self.real:
            fill(str(self._ballast))
        self._fail(errno.ENOSPC)

    def protect(self) -> None:
        """Make it read-only."""
        if self.real:
            assert _mount("-o", "remount,ro", str(self.folder))
        self._fail(errno.EROFS)

    def mend(self) -> None:
        """Make it roomy and writable."""
        self.fault = ""
        if self.real:
            assert _mount("-o", "remount,rw,size=64m,nr_inodes=10000", str(self.folder))
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        if self.real:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)
            self.real = False


def fill(name: str) -> None:
    """Write to a file until the disk is full."""
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for size in (1 << 20, 4096, 1):
        with contextlib.suppress(OSError):
            while os.write(descriptor, bytes(size)):
                pass
    os.close(descriptor)


def die_in_examine() -> None:
    """A hook: be killed while the answer that arrived is decoded."""
    from batchgen.engine import publication

    publication.examine = lambda _data: os.kill(os.getpid(), 9)


def die_after_publishing() -> None:
    """A hook: be killed between the file and its row."""
    from batchgen.files import output

    publish = output.publish

    def last_deed(*arguments: object, **named: object) -> None:
        publish(*arguments, **named)
        os.kill(os.getpid(), 9)

    output.publish = last_deed


def _mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


# --- fixtures, to be named by the modules that use them ---------------------------------------------------------------


@pytest.fixture(scope="module")
def sandbox_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[launch.Sandbox]:
    folder = tmp_path_factory.mktemp("sandbox")
    with launch.start(folder, latency="none", idle_exit=90, extra=["--draw", "small"]) as running:
        yield running


@pytest.fixture
def witness_fixture(sandbox: launch.Sandbox) -> Witness:
    return Witness(sandbox.log)


@pytest.fixture
def place_fixture(tmp_path: Path, sandbox: launch.Sandbox) -> Iterator[Place]:
    _test[0] += 1
    keys = {f"{name.upper()}_API_KEY": CANARY for name in PROVIDERS}
    place = Place(folder=tmp_path, url=sandbox.url, env=keys)
    yield place
    place.end()
