"""The whole run: 300 jobs against the sandbox, with the disk syncs that each takes."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batchgen.sandbox import launch

from . import runs
from .apart import apart
from .figures import Measure, Row, rows

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
    cases["batchgen: app.run"]["space"] = syncs
    return rows(f"whole run: {count} jobs, {width} in flight, no latency", cases)


def _syncs(listing: Path, order: dict[str, Any]) -> Measure:
    """Count fsync and fdatasync of a run; without strace those of SQLite stay unseen."""
    strace = shutil.which("strace")
    if strace is None or _refused([strace, *_STRACE, "-o", "/dev/null", "true"]):
        return apart(runs.synced, **order) / order["count"], "syncs/job besides SQLite's"
    apart(runs.batchgen, under=[strace, *_STRACE, "-o", str(listing)], **order)
    found = [line.split() for line in listing.read_text(encoding="utf-8").splitlines()]
    calls = sum(int(words[3]) for words in found if words and words[-1] in ("fsync", "fdatasync"))
    return calls / order["count"], "syncs/job"


def _refused(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode != 0
