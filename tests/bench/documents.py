"""Documents of reports: what it takes to write the page of a large batch, and how large the page is."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from . import nginx
from .figures import Row, rows
from .program import Checkout, Project
from .settings import Settings


def documents(settings: Settings) -> list[Row]:
    """Measure the report of 50,000 jobs whose files are gone, so that no thumbnail is made, and another one of it."""
    count = settings.count(50_000)
    found: list[Row] = []
    with nginx.serve(side=64) as far:
        for checkout in settings.checkouts:
            found += _of_checkout(checkout, f"{far.url}/small", count)
    return found


def _of_checkout(checkout: Checkout, url: str, count: int) -> list[Row]:
    cases = {}
    with tempfile.TemporaryDirectory(prefix="bench-report-") as folder:
        project = Project(Path(folder), checkout)
        project.write_list(url, count)
        project.batchgen("run", "bench.yaml", "--yes", "--limit", "1")
        script, database = Path(__file__).with_name("finish.py"), project.folder / ".batchgen/batchgen.db"
        subprocess.run(
            [checkout.python, "-P", str(script), str(database)], env=checkout.environment(), check=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        for name in ("report", "report, again"):
            took = project.batchgen("report")
            [page] = project.folder.glob("output/*/report/index.html")
            cases[f"{checkout.name}: {name}"] = {
                "speed": (page.stat().st_size / 1e6, "MB of page"),
                "cpu": (took.cpu, "s"),
                "space": (took.peak / 1e6, "MB"),
            }
    return rows(f"{count:,} pictures", cases)
