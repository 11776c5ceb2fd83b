"""Kills of remote tasks: a run is killed between every pair of steps, again and again, and the next one collects.

``python -m tests.torture.tasks --times 200``. Counted by the sandbox's log: tasks for each job, and charges that the
ledger lacks. The point "sent" is the only one after which nobody can know whether there is a task: held, never bought
again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path

from batchgen.sandbox import launch
from batchgen.sandbox.log import read_log
from tests.acceptance.kit import CANARY
from tests.faults.local_kit import Place

from .task_points import POINTS, die_at

POLL = {"state": "status", "first_wait": 0.05, "max_wait": 0.1, "patience": 120}
ENV = {"FAL_KEY": CANARY}


@dataclass
class Count:
    """What was counted at one point."""

    kills: int = 0
    jobs: int = 0
    again: int = 0  #: jobs with more than one remote task
    lost: int = 0  #: jobs without their image, though there is a task
    missing: int = 0  #: charges that the ledger lacks
    held: int = 0  #: unknown jobs
    wrong: int = 0  #: runs that were not killed, or ended otherwise than expected

    def add(self, other: Count) -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(frozen=True)
class Order:
    """One trial: where, at which point and with how many jobs."""

    url: str
    log: Path
    folder: Path
    point: str
    number: int
    jobs: int
    ends: float  #: no trial begins after it, on the monotonic clock


def trial(order: Order) -> Count:
    """Kill one run at a point, let the next one finish, and count."""
    if time.monotonic() > order.ends:
        return Count()
    order.folder.mkdir()
    place, point, jobs = Place(folder=order.folder, url=order.url), order.point, order.jobs
    prompts = [f"{point} {order.number} {each} [sandbox: task-slow=0.2]" for each in range(jobs)]
    fal = {"base_url": f"{order.url}/fal", "task": {"poll": POLL}, "limits": {"concurrency": jobs}}
    batch = place.batch(
        *({"id": f"j{each}", "provider": "fal", "prompt": text} for each, text in enumerate(prompts)),
        providers={"fal": fal},
        on_unknown="hold",
    )
    killed = place.do("run", batch, "--yes", hook=die_at, arguments=(point,), seconds=60, **ENV)
    done = place.do("run", batch, "--yes", seconds=60, **ENV)
    place.end()
    lines = [line for line in read_log(order.log) if line["prompt"] in prompts]
    tasks = Counter(line["prompt"] for line in lines if line["event"] == "task")
    charged = sum(int(Decimal(line["usd"]) * 10**9) for line in lines if line["event"] == "charge")
    states = Counter(row["state"] for row in place.rows("select state from jobs"))
    booked = sum((row["usd"] or 0) + (row["at_risk_usd"] or 0) for row in place.ledger().values())
    images = len(place.images())
    shutil.rmtree(order.folder, ignore_errors=True)
    # Only a call without an answer is unknown, so that the run ends with 3: its price is at risk, and it is held. The
    # other jobs of a run that is killed may be at any earlier point.
    expected, most_held = (3 if states["unknown"] else 0), jobs - (point != "sent")
    return Count(
        kills=int(killed.code == -9),
        jobs=jobs,
        again=sum(number > 1 for number in tasks.values()),
        lost=jobs - states["unknown"] - images,
        missing=int(charged > booked),
        held=states["unknown"],
        wrong=int(killed.code != -9 or done.code != expected or states["unknown"] > most_held),
    )


def main() -> int:
    """Count, print a table and return 1 if any promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=200, help="kills at each point")
    parser.add_argument("--jobs", type=int, default=4, help="jobs of a run, all at once")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no trial after so long")
    options = parser.parse_args()
    counts, ends = {point: Count() for point in POINTS}, time.monotonic() + options.seconds
    home = Path(tempfile.mkdtemp(prefix="torture-tasks-"))
    with launch.start(home, latency="none", idle_exit=600, extra=["--draw", "small"]) as sandbox:
        orders = [
            Order(sandbox.url, sandbox.log, home / f"{place}-{number}", point, number, options.jobs, ends)
            for number in range(options.times)
            for place, point in enumerate(POINTS)
        ]
        with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as workers:
            for order, count in zip(orders, workers.map(trial, orders), strict=True):
                counts[order.point].add(count)
    names = [each.name for each in fields(Count)]
    print(f"{'point':<12}" + "".join(f"{name:>9}" for name in names))
    for point, count in counts.items():
        print(f"{point:<12}" + "".join(f"{getattr(count, name):>9}" for name in names))
    shutil.rmtree(home, ignore_errors=True)
    broken = any(count.again or count.lost or count.missing or count.wrong for count in counts.values())
    return int(broken)


if __name__ == "__main__":
    raise SystemExit(main())
