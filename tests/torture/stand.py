"""Starts runs under test, and builds what breaks them. A doer: processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
#: Found nowhere by chance; the last four characters, which the sandbox logs, say nothing.
CANARY = "sk-canary-Tq4wY7zR2nM8cV5xK9bH3jL6-0000"
KEYS = ("AIGATE_API_KEY", "AIMLAPI_API_KEY", "GPTIMAGEAPI_API_KEY", "OPENAI_API_KEY")
#: A run that takes longer hangs: on Ray the first one takes half a minute on a busy machine.
PATIENCE = 150.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How one run ended. ``code`` is negative for a signal, as in ``subprocess``."""

    code: int
    late: bool
    cut: bool  #: its file system was taken away, even if it had just ended
    seconds: float
    text: str  #: all it said

    @property
    def killed(self) -> bool:
        return self.code == -9 and not self.late


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What the shim shall do in a run: see faultio.c."""

    action: str  #: count, kill, fail
    number: int = 0
    code: int = 0
    lasting: bool = False
    ops: str = "*"
    part: str = ""
    trace: Path | None = None

    def text(self, root: Path) -> str:
        trace = self.trace or ""
        return f"{self.action}:{self.number}:{self.code}:{self.lasting:d}:{self.ops}:{trace}:{self.part}:{root}"


class Stand:
    """One victim process (see victim.py) and the orders to it. Not for two threads at once."""

    def __init__(self, shim: Path | None, *, fresh: bool = False, root: Path = ROOT) -> None:
        """*root* is another checkout, with its ``.venv``, if a version before is to run."""
        self._shim = shim
        self._fresh = fresh
        self._root = root
        environment = {**os.environ, "PYTHONPATH": str(root)}
        if shim is not None:
            environment["LD_PRELOAD"] = str(shim)
        self._process = subprocess.Popen(
            [sys.executable if root == ROOT else str(root / ".venv/bin/python"), "-m", "tests.torture.victim"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=root,
        )
        if self._read() != "ready\n":
            raise RuntimeError("the process under test did not come up")

    def run(
        self,
        folder: Path,
        *argv: str,
        fault: Fault | None = None,
        kill_after: float | None = None,
        mount: Path | None = None,
        said: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Ended:
        """Run batchgen in *folder* to its end, or to the end that was ordered for it."""
        output = said or folder / "said.txt"
        before = output.stat().st_size if output.exists() else 0
        order = {
            "argv": argv,
            "folder": str(folder),
            "output": str(output),
            "env": _environment(self._root) | dict(env or {}),
            "fault": fault.text(folder) if fault else "",
            "shim": str(self._shim or ""),
            "exec": self._fresh,
            "kill_after": kill_after,
            "mount": str(mount or ""),
            "seconds": PATIENCE,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._read())
        with output.open("rb") as stream:
            stream.seek(before)
            text = stream.read().decode(errors="replace")
        return Ended(code=answer["code"], late=answer["late"], cut=answer["cut"], seconds=answer["seconds"], text=text)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def build_shim(folder: Path) -> Path | None:
    """Compile faultio.c; None where there is no C compiler, or it cannot."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None or sys.platform != "linux":
        return None
    shim = folder / "faultio.so"
    source = Path(__file__).with_name("faultio.c")
    done = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(shim), str(source), "-ldl"], capture_output=True, check=False
    )
    return shim if done.returncode == 0 else None


def _environment(root: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {"NO_COLOR": "1", "COLUMNS": "160", "PYTHONPATH": str(root)} | dict.fromkeys(KEYS, CANARY)
