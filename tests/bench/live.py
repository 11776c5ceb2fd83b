"""The live page: how long after its commit a job reaches a page that follows the run."""

from __future__ import annotations

import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from tests.serve.kit import Events, rows_of

from . import nginx
from .figures import Row, rows
from .program import Checkout, Project
from .settings import Settings


def live(settings: Settings) -> list[Row]:
    """Follow a run of 1,000 jobs whose calls are answered at once; a delay includes the commit of the job."""
    count = settings.count(1_000)
    cases = {}
    with nginx.serve(side=64) as far:
        for checkout in settings.checkouts:
            delays = sorted(_delays(checkout, f"{far.url}/small", count))
            cases[f"{checkout.name}: half of them, 99 %, all"] = {
                "speed": (delays[len(delays) // 2], "s"),
                "cpu": (delays[len(delays) * 99 // 100], "s"),
                "space": (delays[-1], "s"),
            }
    return rows(f"live page: delay of {count:,} jobs", cases)


def _delays(checkout: Checkout, url: str, count: int) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="bench-live-") as folder:
        project = Project(Path(folder), checkout)
        project.write_list(url, count)
        project.batchgen("run", "bench.yaml", "--yes", "--limit", "1")
        server = subprocess.Popen(
            [checkout.python, "-P", "-m", "batchgen", "serve"],
            cwd=project.folder, env=checkout.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert server.stdout is not None
        with server:
            try:
                address = server.stdout.readline().split()[1]
                run = threading.Thread(target=project.batchgen, args=("run", "bench.yaml", "--yes"))
                with Events(f"{address}events", {}) as events:
                    events.next("marks")  # the last of what a new page gets
                    earlier = _done(project)
                    run.start()
                    seen = _arrivals(events, count, earlier)
                run.join()
            finally:
                server.terminate()
        done = _done(project)
    return [seen[key] - done[key] for key in seen]


def _done(project: Project) -> Mapping[str, float]:
    """Return when each job was done."""
    with closing(sqlite3.connect(project.folder / ".batchgen/batchgen.db")) as connection:
        return dict(connection.execute("SELECT key, updated_at / 1e6 FROM jobs WHERE state = 'done'"))


def _arrivals(events: Events, count: int, earlier: Mapping[str, float]) -> Mapping[str, float]:
    """Return when each job that is sent now was first shown as done."""
    seen: dict[str, float] = {}
    while len(seen) < count - len(earlier):
        update, _ = events.next("rows")
        now = time.time()
        for key, row in rows_of(update).items():
            if row["state"] == "done" and key not in earlier:
                seen.setdefault(key, now)
    return seen
