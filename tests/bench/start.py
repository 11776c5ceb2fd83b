"""How long a person waits for a command."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .apart import ROOT, apart, environment
from .figures import Row, rows
from .table import load


def start(*, short: bool) -> list[Row]:
    """Best of several, against an interpreter that does nothing."""
    jobs, times = (500, 1) if short else (100_000, 7)
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder, "batchgen.db")
        apart(load, count=jobs, path=str(db))
        program = ("-m", "batchgen")
        commands = {
            "python -c pass": ("-c", "pass"),
            "batchgen --help": (*program, "--help"),
            f"batchgen status, {jobs:,} jobs": (*program, "-C", folder, "--db", str(db), "status"),
            "batchgen plan jobs/demo.yaml": (*program, "-C", folder, "plan", str(ROOT / "jobs" / "demo.yaml")),
        }
        least = dict.fromkeys(commands, float("inf"))
        for _ in range(times):
            for how, command in commands.items():
                least[how] = min(least[how], _seconds(command))
    return rows("start-up", {how: {"speed": (1000 * seconds, "ms")} for how, seconds in least.items()})


def _seconds(command: tuple[str, ...]) -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, *command], env=environment(), stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    return time.perf_counter() - began
