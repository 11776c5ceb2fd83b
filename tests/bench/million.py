"""A large table: a million rows of jsonl, from ``validate`` to the finished batch."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from . import nginx
from .figures import Measure, Row, rows
from .program import Checkout, Project, Usage
from .settings import Settings

#: What is measured, in this order: each command finds what those before it left.
_PENDING = {
    "validate": ("validate", "bench.yaml"),
    "plan": ("plan", "bench.yaml"),
    "first load, one call": ("run", "bench.yaml", "--yes", "--limit", "1"),
    "unchanged, one call": ("run", "bench.yaml", "--yes", "--limit", "1"),
}
_FINISHED = {
    "nothing to do": ("run", "bench.yaml", "--yes"),
    "nothing to do, again": ("run", "bench.yaml", "--yes"),
    "status": ("status",),
    "usage": ("usage",),
    "list --id": ("list", "--id", "item-0000007"),
}


def million(settings: Settings) -> list[Row]:
    """Measure CPU and memory of the commands on pending jobs, then on finished ones."""
    count = 500 if settings.short else settings.rows
    with nginx.serve(side=64) as far:
        taken = {checkout.name: commands(checkout, f"{far.url}/small", count) for checkout in settings.checkouts}
    found: list[Row] = []
    for command in _PENDING | _FINISHED:
        cases = {name: measures(usages[command]) for name, usages in taken.items()}
        found += rows(f"{count:,} rows: {command}", cases)
    return found


def measures(usage: Usage) -> dict[str, Measure]:
    """Return what one command took, start included."""
    return {"cpu": (usage.cpu, "s"), "space": (usage.peak / 1e6, "MB")}


def commands(checkout: Checkout, url: str, count: int) -> dict[str, Usage]:
    """Return what each command took."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="bench-rows-") as folder:
        project = Project(Path(folder), checkout)
        project.write_list(url, count)
        for stage in (_PENDING, _FINISHED):
            for name, words in stage.items():
                took = found[name] = project.batchgen(*words)
                print(f"  {checkout.name}, {name}: {took.cpu:.2f} s CPU, {took.peak / 1e6:.0f} MB", file=sys.stderr)
            if stage is _PENDING:
                _finish(project)
    return found


def _finish(project: Project) -> None:
    script = str(Path(__file__).with_name("finish.py"))
    database = str(project.folder / ".batchgen/batchgen.db")
    subprocess.run(
        [project.checkout.python, "-P", script, database], env=project.checkout.environment(), check=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
