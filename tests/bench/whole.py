"""The whole run: 300 jobs against the sandbox, with the disk syncs that each takes."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from batchgen.sandbox import launch

from . import runs
from .apart import apart
from .figures import Row, rows

_STRACE = ("-f", "-c", "--seccomp-bpf", "-e", "trace=fsync,fdatasync")


def whole(*, short: bool) -> list[Row]:
    """Set a run at 32 in flight against a bare loop over the same simulated provider."""
    count, width = (8, 4) if short else (300, 32)
    with (
        tempfile.TemporaryDirectory() as folder,
        launch.start(Path(folder), latency="none", idle_exit=120, extra=["--draw", "small"]) as sandbox,
    ):
        order: dict[str, Any] = {"url": sandbox.base_url("openai"), "count": count, "width": width}
        apart(runs.bare, **order)  # the sandbox is warm now
        took = {"a bare loop": apart(runs.bare, **order), "batchgen: app.run": apart(runs.batchgen, **order)}
        syncs = _syncs(Path(folder) / "syncs", order)
    cases = {
        how: {"speed": (one["per_second"], "jobs/s"), "cpu": (one["cpu_ms"], "ms/job")} for how, one in took.items()
    }
    if syncs is not None:
        cases["batchgen: app.run"]["space"] = (syncs / count, "syncs/job")
    return rows(f"whole run: {count} jobs, {width} in flight, no latency", cases)


def _syncs(listing: Path, order: dict[str, Any]) -> int | None:
    """Count fsync and fdatasync of a run, SQLite's too; None where nobody can watch a process."""
    strace = shutil.which("strace")
    if (
        strace is None
        or subprocess.run([strace, "-o", "/dev/null", "true"], capture_output=True, check=False).returncode
    ):
        return None
    apart(runs.batchgen, under=[strace, *_STRACE, "-o", str(listing)], **order)
    found = [line.split() for line in listing.read_text(encoding="utf-8").splitlines()]
    return sum(int(words[3]) for words in found if words and words[-1] in ("fsync", "fdatasync"))
