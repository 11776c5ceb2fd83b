"""The sandbox as a process of its own: start it, find a running one, stop it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

READY = "sandbox.json"
LOG = "charges.jsonl"
OUTPUT = "sandbox.out"
PROVIDERS = "providers.json"
START_SECONDS = 60.0  # a busy machine may take so long to start a process
_STOP_SECONDS = 5.0
_LINES = 8  # of its output in an error
_started: list[subprocess.Popen[bytes]] = []  # a Popen that is collected while it runs would raise a warning


class LaunchError(RuntimeError):
    """The sandbox did not start; the text states why, probably, and the last lines of its output."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sandbox:
    """A running sandbox."""

    url: str
    pid: int
    log: Path  #: the charge log
    reused: bool = False  #: it was running before ``start`` was called
    process: subprocess.Popen[bytes] | None = None  #: if this process is its parent

    def base_url(self, provider: str) -> str:
        """Return the base URL of a provider, such as ``http://127.0.0.1:8123/aigate``."""
        return f"{self.url}/{provider}"

    def stop(self) -> None:
        """Terminate it, by force if it does not end within seconds."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            if self._gone(_STOP_SECONDS):
                return

    def _gone(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process is not None:
                if self.process.poll() is not None:
                    return True
            else:
                with contextlib.suppress(ChildProcessError):  # it may be a child of this process, from an earlier call
                    os.waitpid(self.pid, os.WNOHANG)
                if not _alive(self.pid):
                    return True
            time.sleep(0.02)
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(
    folder: Path,
    *,
    latency: str = "realistic",
    seed: int = 0,
    idle_exit: float = 1800,
    extra: Sequence[str] = (),
    providers: Mapping[str, Any] | None = None,
    patience: float = START_SECONDS,
) -> Sandbox:
    """Return the sandbox of a folder: the running one, or a new one that outlives its caller.

    *idle_exit* is in seconds. *extra* are further arguments of ``python -m batchgen.sandbox``. *providers* describes
    further providers; a running sandbox that knows others is replaced. None keeps those that it knows.
    Raise LaunchError if the new one is not ready within *patience* seconds.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    running, is_known = find(folder), _is_described(folder, providers)
    if running is not None and is_known:
        return running
    if running is not None:
        running.stop()
    if not is_known:
        (folder / PROVIDERS).write_text(json.dumps(providers), encoding="utf-8")
    ready_file = folder / READY
    # At the same address, so that polls of the tasks of an earlier server find them; at another if it is taken.
    port = _earlier_port(ready_file)
    ready_file.unlink(missing_ok=True)
    options = {"--port": port, "--latency": latency, "--seed": seed, "--idle-exit": f"{idle_exit:g}"}
    with (folder / OUTPUT).open("wb") as output:
        # Detached from the terminal, so that signals to the caller, and its death, do not reach the sandbox.
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
            _command(folder, options, extra),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": _search_path()},
        )
    _started.append(process)
    return _wait_ready(process, folder, patience)


def _command(folder: Path, options: Mapping[str, object], extra: Sequence[str]) -> list[str]:
    """Return the command line of a server with its files in *folder*."""
    files = {"--log": folder / LOG, "--ready-file": folder / READY}
    if (folder / PROVIDERS).exists():
        files["--providers"] = folder / PROVIDERS
    pairs = (str(part) for option in {**options, **files}.items() for part in option)
    return [sys.executable, "-P", "-m", "batchgen.sandbox", "--any-port", *pairs, *extra]


def find(folder: Path) -> Sandbox | None:
    """Return the running sandbox of this folder, if it answers."""
    try:
        facts = json.loads((folder / READY).read_text(encoding="utf-8"))
        sandbox = Sandbox(url=facts["url"], pid=int(facts["pid"]), log=Path(facts["log"]), reused=True)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return sandbox if _alive(sandbox.pid) and _answers(sandbox.url) else None


def _is_described(folder: Path, providers: Mapping[str, Any] | None) -> bool:
    """Return whether the file of the folder describes *providers*."""
    try:
        stored = json.loads((folder / PROVIDERS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        stored = {}
    return providers is None or stored == providers


def _earlier_port(ready_file: Path) -> int:
    try:
        return int(json.loads(ready_file.read_text(encoding="utf-8"))["url"].rpartition(":")[2])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0


def _wait_ready(process: subprocess.Popen[bytes], folder: Path, patience: float) -> Sandbox:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        code = process.poll()
        if code is not None:
            message = f"the simulated providers ended with exit code {code} before they were ready"
            raise LaunchError(f"{message}. {_last_words(folder)}")
        with contextlib.suppress(FileNotFoundError):
            facts = json.loads((folder / READY).read_text(encoding="utf-8"))
            return Sandbox(url=facts["url"], pid=process.pid, log=Path(facts["log"]), process=process)
        time.sleep(0.02)
    process.kill()
    process.wait()
    raise LaunchError(
        f"the simulated providers were not ready within {patience:g} seconds; probably this machine is too busy, or "
        f"its disk too slow. {_last_words(folder)}"
    )


def _last_words(folder: Path) -> str:
    """Return the last lines of the sandbox's output, after what introduces them."""
    text = (folder / OUTPUT).read_text(encoding="utf-8", errors="replace")[-4000:]
    # The frames of a traceback are for the file: its last line states the reason.
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith((" ", "Traceback"))]
    if not lines:
        return "They printed nothing"
    return "\n".join(["The end of their output:", *(f"  {line}" for line in lines[-_LINES:])])


def _search_path() -> str:
    """Return PYTHONPATH with this package's parent first, so that a checkout works from any folder."""
    parent = str(Path(__file__).resolve().parents[2])
    earlier = os.environ.get("PYTHONPATH")
    return f"{parent}{os.pathsep}{earlier}" if earlier else parent


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _answers(url: str) -> bool:
    """Return whether a sandbox answers there; no proxy is used."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/", timeout=2) as answer:
            return bool(answer.read(16) == b"batchgen sandbox")
    except OSError:
        return False
