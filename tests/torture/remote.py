"""Kills of remote work: runs are killed between every pair of steps of a task and of a batch; the last run collects.

``python -m tests.torture.remote --times 200``. A trial is a folder with a chain of runs: each is given new jobs and
is killed at the same point, also while it takes over what the one before left, and the last one may finish.
Everything is counted by the sandbox's log.
"""

from __future__ import annotations

import argparse
import atexit
import multiprocessing
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from batchgen.sandbox import launch
from tests.acceptance.kit import check_files
from tests.faults.local_kit import Place

from .check import arrived
from .remote_check import Count, count
from .remote_suites import KEY, SUITES, Suite
from .service import SERVED, Service, services
from .trial import World

#: Seconds between two tables of what was counted so far, and between two lines on how far it is.
REPORT, PROGRESS = 60.0, 5.0
#: In a worker: what its runs need on the axis.
_service = [Service()]


@dataclass(frozen=True, kw_only=True)
class Order:
    """One trial."""

    suite: str
    point: str
    folder: Path
    url: str
    log: Path
    kills: int
    jobs: int  #: new ones for each run
    ends: float  #: no trial begins after it, on the monotonic clock
    patience: float  #: seconds for one run


def trial(order: Order) -> Count:
    """Kill a chain of runs at a point, let the last one finish, and count; keep the folder if a promise was broken."""
    if time.monotonic() > order.ends:
        return Count()
    suite = SUITES[order.suite]
    order.folder.mkdir()
    with _service[0].axis(order.folder) as axis:
        place = Place(folder=order.folder, url=order.url, axis=axis, env={suite.key: KEY})
        try:
            found = _break(place, suite, order)
        except pytest.fail.Exception as hang:  # one trial is counted, and the others go on
            print(f"HUNG {order.suite}, {order.point}: {hang}", flush=True)
            found = Count(hung=1)
        finally:
            place.end()
    if found.broken:
        print(f"BROKEN {order.suite}, {order.point}: {found}; {order.folder}", flush=True)
    else:
        shutil.rmtree(order.folder)
    return found


def _break(place: Place, suite: Suite, order: Order) -> Count:
    world = World(url=order.url, log=order.log)
    since, kept, killed = world.log.stat().st_size if world.log.exists() else 0, set(), 0
    for number in range(1, order.kills + 1):
        jobs = dict(suite.jobs(order.folder.name, number * order.jobs))
        manifest = suite.manifest(place, jobs)
        ended = place.do("run", manifest, "--yes", hook=suite.die_at, arguments=(order.point,), seconds=order.patience)
        killed += ended.code == -9
        kept |= arrived(place.axis.spools())
    done = place.do("run", manifest, "--yes", hook=suite.finish, seconds=order.patience)
    found = count(place, suite, jobs, world, since, kept)
    expected = 3 if found.held and suite.may_hold else 0
    # Not every job of a run is held, except at the point at which none of them can be known.
    most_held = len(jobs) - (order.point != "sent")
    found.kills = killed
    found.wrong += order.kills - killed + (done.code != expected) + (found.held > most_held)
    try:
        check_files(place)
    except AssertionError as error:
        print(f"FILES {order.suite}, {order.point}: {error}", flush=True)
        found.wrong += 1
    return found


def begin(axis: str | None, folder: Path) -> None:
    """Begin a worker: start the servers of its axis, which end with it."""
    stack = ExitStack()
    atexit.register(stack.close)
    [_service[0]] = stack.enter_context(services(axis, 1, folder))


def orders(given: argparse.Namespace, home: Path, sandbox: launch.Sandbox, ends: float) -> Iterator[Order]:
    """Yield the trials: every point before the next round."""
    for start in range(0, given.times, given.chain):
        for suite in given.suites:
            for place, point in enumerate(SUITES[suite].points):
                yield Order(
                    suite=suite,
                    point=point,
                    folder=home / f"{suite}-{place}-{start}",
                    url=sandbox.url,
                    log=sandbox.log,
                    kills=min(given.chain, given.times - start),
                    jobs=given.jobs,
                    ends=ends,
                    patience=given.patience,
                )


@dataclass
class Progress:
    """How many trials of each point have ended; it prints a line now and then, and one for each point that is over."""

    left: Counter[tuple[str, str]]
    began: float
    shown: float = 0.0

    def __post_init__(self) -> None:
        self._all = Counter(self.left)

    def end(self, point: tuple[str, str], found: Count) -> None:
        """Count a trial of *point*; *found* is what was counted there so far."""
        self.left[point] -= 1
        now, ended = time.monotonic(), self._all.total() - self.left.total()
        if self.left[point] and now - self.shown < PROGRESS:
            return
        self.shown = now
        state = "broken" if found.broken else "good"
        print(
            f"{ended} of {self._all.total()} trials after {now - self.began:.0f} s; {' '.join(point)}: "
            f"{self._all[point] - self.left[point]} of {self._all[point]} trials, {found.kills} kills, {state}",
            flush=True,
        )


def table(counts: dict[tuple[str, str], Count], seconds: float) -> str:
    """Return what was counted, point by point and in all."""
    names = [each.name for each in fields(Count)]
    lines = [f"{'suite':<9}{'point':<12}" + "".join(f"{name:>9}" for name in names) + f"   after {seconds:.0f} s"]
    total = Count()
    for (suite, point), found in counts.items():
        total.add(found)
        lines.append(f"{suite:<9}{point:<12}" + "".join(f"{getattr(found, name):>9}" for name in names))
    return "\n".join([*lines, f"{'all':<21}" + "".join(f"{getattr(total, name):>9}" for name in names)])


def main() -> int:
    """Count, print a table now and then, and return 1 if any promise was broken."""
    given = _parser().parse_args()
    began = shown = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="torture-remote-"))
    counts = {(suite, point): Count() for suite in given.suites for point in SUITES[suite].points}
    with launch.start(home, latency="none", idle_exit=600, extra=["--draw", "small"]) as sandbox:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(given.workers, spawn, begin, (given.axis, home)) as workers:
            sent = {
                workers.submit(trial, order): order for order in orders(given, home, sandbox, began + given.seconds)
            }
            progress = Progress(Counter((order.suite, order.point) for order in sent.values()), began)
            for future in as_completed(sent):
                point = sent[future].suite, sent[future].point
                counts[point].add(future.result())
                progress.end(point, counts[point])
                if time.monotonic() - shown > REPORT:
                    shown = time.monotonic()
                    print(table(counts, shown - began), flush=True)
    print(table(counts, time.monotonic() - began), flush=True)
    if any(found.broken for found in counts.values()):
        return 1
    shutil.rmtree(home, ignore_errors=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suites", nargs="+", choices=SUITES, default=list(SUITES))
    parser.add_argument("--times", type=int, default=200, help="kills at each point")
    parser.add_argument("--chain", type=int, default=4, help="kills in one folder")
    parser.add_argument("--jobs", type=int, default=2, help="new jobs for each run, all at once")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no trial after so long")
    parser.add_argument("--patience", type=float, default=60, help="seconds after which a run hangs")
    parser.add_argument("--axis", choices=SERVED, help="with this in place of SQLite or a folder")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
