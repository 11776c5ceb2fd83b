"""``make torture``: break runs in every way, count, and say what was found."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from batchgen.sandbox import launch

from .drivers import Case, Compound, Driver, Errors, Kills, Points, Power, Worker
from .former import Former
from .outages import Outages, Together
from .power import PowerError, mounted
from .redo import Redos, Settlements
from .service import SERVED, services
from .stand import Stand, build_shim
from .trial import World

#: Answers of about a tenth of a second, some slower, some that arrive in pieces: the windows where a kill can hit.
WEATHER = ("--draw", "small", "--fault", "slow:0.15=0.1", "--fault", "trickle:0.2=0.15")
#: On Ray a run takes seconds to start: what follows must not be the smaller part.
LATENCY, LATENCY_ON_RAY = "lognormal:0.08", "lognormal:0.5"
HEAD = (
    "driver",
    "faults",
    "batches",
    "jobs",
    "charges",
    "again",
    "unmarked",
    "missing",
    "wrong",
    "saved",
    "violations",
)


@dataclass(kw_only=True)
class Tally:
    """The sums of one driver."""

    driver: Driver
    batches: int = 0
    jobs: int = 0
    charges: int = 0
    again: int = 0
    unmarked: int = 0
    missing: int = 0
    wrong: int = 0
    saved: int = 0
    violations: int = 0
    seconds: float = 0.0

    def row(self) -> tuple[str, ...]:
        figures = (self.driver.faults, self.batches, self.jobs, self.charges, self.again, self.unmarked, self.missing)
        return (self.driver.name, *map(str, (*figures, self.wrong, self.saved, self.violations)))


@dataclass(kw_only=True)
class Session:
    """One call of this program."""

    seed: int
    folder: Path
    only: str | None
    found: bool = False  #: the only case was carried out
    lock: threading.Lock = field(default_factory=threading.Lock)

    def drive(self, driver: Driver, workers: Sequence[Worker]) -> Tally:
        """Let *workers* carry out a driver's cases."""
        tally, cases, began = Tally(driver=driver), driver.cases(), time.monotonic()
        threads = [threading.Thread(target=self._work, args=(worker, cases, tally)) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        tally.seconds = time.monotonic() - began
        say(f"{driver.name}: {driver.faults} faults, {tally.violations} violations, {tally.seconds:.0f} s")
        return tally

    def _work(self, worker: Worker, cases: Iterator[Case], tally: Tally) -> None:
        while True:
            with self.lock:
                case = next(cases, None)
            if case is None:
                return
            if case.number < 0:  # the first case still measures
                time.sleep(0.05)
                continue
            name = f"{tally.driver.name}-{case.number}"
            if self.found:
                return
            if self.only not in (None, name) and case.number:
                continue
            self.found = name == self.only
            self._one(worker, case, name, tally)

    def _one(self, worker: Worker, case: Case, name: str, tally: Tally) -> None:
        try:
            with worker.opened:
                self._break(worker, case, name, tally)
        except Exception:  # noqa: BLE001 - as below
            say(f"HARNESS {name}: {traceback.format_exc()}")

    def _break(self, worker: Worker, case: Case, name: str, tally: Tally) -> None:
        chance = random.Random(f"{self.seed}:{name}")
        try:
            result = case.work(worker, chance, name)
        except Exception:  # noqa: BLE001 - a fault of the harness is told as such, and is no reason to stop
            with self.lock:
                tally.violations += 1
                tally.driver.over = True
                say(f"HARNESS {name}: {traceback.format_exc()}")
            return
        found, folder = result.found, result.trial.folder
        with self.lock:
            tally.driver.faults += result.faults
            tally.batches += 1
            for column in ("jobs", "charges", "again", "unmarked", "missing", "wrong", "saved"):
                setattr(tally, column, getattr(tally, column) + getattr(found, column))
            tally.violations += bool(found.problems)
            for problem in found.problems:
                say(f"VIOLATION {name} (seed {self.seed}): {problem}")
        if found.problems:
            target = self.folder / "violations" / name
            with suppress(shutil.Error):  # what can be read
                shutil.copytree(folder, target, dirs_exist_ok=True)
        shutil.rmtree(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out what was asked for; 1 where anything was violated."""
    given = _parser().parse_args(arguments)
    folder = (given.keep or Path(tempfile.mkdtemp(prefix="torture-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    session = Session(seed=given.seed, folder=folder, only=given.case)
    with ExitStack() as stack:
        shim = None if given.no_shim else build_shim(folder)
        say(f"seed {given.seed}; {'calls of the C library' if shim else 'NO C COMPILER: only calls made from Python'}")
        latency = LATENCY_ON_RAY if given.axis == "ray" else LATENCY
        worlds = tuple(_world(stack, folder, latency, honours) for honours in (False, True))
        workers = []
        provided = stack.enter_context(services(given.axis, given.workers, folder))
        for number in range(given.workers):
            stand = Stand(shim, fresh=given.fresh)
            stack.callback(stand.close)
            own = folder / f"worker{number}"
            own.mkdir(exist_ok=True)
            before = Stand(shim, fresh=given.fresh, root=given.before) if given.before else None
            if before is not None:
                stack.callback(before.close)
            workers.append(Worker(stand=stand, folder=own, worlds=worlds, before=before, service=provided[number]))  # type: ignore[arg-type]
        _warm(workers)
        only = given.case and given.case.rpartition("-")[0]
        tallies = [session.drive(driver, workers) for driver in _drivers(given) if only in (None, driver.name)]
        if given.power and only in (None, "power"):
            tallies += _power(session, workers[0], given.power)
    table(tallies)
    bad = sum(tally.violations for tally in tallies)
    if bad:
        say(f"{bad} violations; their folders: {folder / 'violations'}; to repeat one: --seed {given.seed} --case NAME")
    elif given.keep is None:
        shutil.rmtree(folder)
    return 1 if bad else 0


def _shorten(given: argparse.Namespace) -> None:
    given.kills, given.syscalls, given.errors, given.compound = 4, 2, 2, 3
    given.redos, given.settlements, given.outages, given.together = 1, 0, 6, 6


def _drivers(given: argparse.Namespace) -> Iterator[Driver]:
    if given.kills:
        yield Kills(name="kills", what="SIGKILL at random", wanted=given.kills)
    if given.syscalls is not None:
        yield Points(name="syscalls", what="SIGKILL at the n-th call", wanted=given.syscalls)
    if given.errors is not None:
        yield Errors(name="errors", what="EIO, ENOSPC", wanted=given.errors)
    if given.compound:
        yield Compound(name="compound", what="SIGKILL while mending", wanted=given.compound)
    if given.redos:
        yield Redos(name="redos", what="SIGKILL during a redo", wanted=given.redos)
    if given.settlements:
        yield Settlements(name="settlements", what="SIGKILL while a charge is settled", wanted=given.settlements)
    if given.outages:
        yield Outages(name="outages", what="servers fail", wanted=given.outages)
    if given.together:
        yield Together(name="together", what="servers fail, and SIGKILL", wanted=given.together)
    if given.before:
        yield Former(name="former", what="SIGKILL of the version before, then of this one", wanted=given.upgrades)
    if given.migration is not None:
        yield Points(
            name="migration", what="SIGKILL at calls on the job table", wanted=given.migration, part=".db", count=4
        )


def _power(session: Session, worker: Worker, wanted: int) -> list[Tally]:
    driver = Power(name="power", what="file system shut down", wanted=wanted)
    try:
        with mounted.hold(session.folder / "power") as mount:
            own = Worker(
                stand=worker.stand, folder=worker.folder, worlds=worker.worlds, seconds=worker.seconds, mount=mount
            )
            return [session.drive(driver, [own])]
    except PowerError as error:
        say(f"power: NOT RUN on this machine: {error}")
        return []


def _world(stack: ExitStack, folder: Path, latency: str, honours: bool) -> World:
    own = folder / ("honours" if honours else "usual")
    extra = (*WEATHER, "--honour-idempotency") if honours else WEATHER
    sandbox = stack.enter_context(launch.start(own, latency=latency, idle_exit=3600, extra=extra))
    return World(url=sandbox.url, log=sandbox.log, honours=honours)


def _warm(workers: Sequence[Worker]) -> None:
    """Measure how long an undisturbed run lives, on a machine as busy as it will be."""

    problems: list[str] = []

    def one(worker: Worker) -> None:
        with worker.opened:
            trial = worker.trial(f"warm-{worker.folder.name}")
            problems.extend(trial.finish().problems)
            worker.seconds = trial.runs[0].seconds

    threads = [threading.Thread(target=one, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise SystemExit(f"an undisturbed run is not clean: {problems}")
    say(f"an undisturbed run takes {workers[0].seconds:.2f} s; {len(workers)} at a time")


def table(tallies: Sequence[Tally]) -> None:
    """Say what came of it all, one row a driver."""
    rows = [HEAD, *(tally.row() for tally in tallies)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    say("")
    for row in rows:
        say(
            "  ".join(
                cell.ljust(width) if not at else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        )
    say("again: charges beyond a job's first; unmarked: of these, without an attempt in doubt or a spoiled answer;")
    say("missing: charges the ledger does not know; saved: answers of dead runs that were delivered from disk")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    add = parser.add_argument
    add("--kills", type=int, default=0, metavar="N", help="SIGKILL at N random moments")
    add("--syscalls", type=int, nargs="?", const=0, metavar="N", help="SIGKILL at N points, or at every one")
    add("--errors", type=int, nargs="?", const=0, metavar="N", help="EIO and ENOSPC at N points, or at every one")
    add("--power", type=int, default=0, metavar="N", help="N power cuts (root, loop devices)")
    add("--compound", type=int, default=0, metavar="N", help="N kills during a recovery from an earlier one")
    add("--redos", type=int, default=0, metavar="N", help="N kills of redos that are given again")
    add("--settlements", type=int, default=0, metavar="N", help="N kills while what is at risk is settled")
    add("--outages", type=int, default=0, metavar="N", help="N outages of the servers that --axis needs")
    add("--together", type=int, default=0, metavar="N", help="N kills of runs while their servers fail")
    add("--axis", choices=SERVED, help="with this in place of SQLite, a folder and calls from the run's own process")
    add("--before", type=Path, metavar="DIR", help="a checkout of the version before, with its .venv, for --upgrades")
    add("--upgrades", type=int, default=40, metavar="N", help="N kills of it, or of this one going on (with --before)")
    add("--migration", type=int, nargs="?", const=0, metavar="N", help="N kills while the job table is made, or all")
    add(
        "--short",
        action="store_true",
        help="20 kills, 24 points, 12 errors, 4 redos, 2 settlements: a minute; "
        "with --axis also 8 kills during a recovery from an earlier one, and 12 outages; on Ray "
        "fewer of each, and 6 kills together with workers",
    )
    add("--all", action="store_true", help="1000 kills, every point, every error, 100 power cuts (default)")
    add("--seed", type=int, default=int(os.environ.get("TORTURE_SEED", "1")))
    add("--case", metavar="NAME", help="only this one, as named with its violation")
    add("--keep", type=Path, metavar="DIR", help="work there, and leave all that is found")
    add("--workers", type=int, default=2 * (os.cpu_count() or 1), metavar="N", help="runs at a time")
    add("--fresh", action="store_true", help="a new interpreter for each run: slower, nothing shared")
    add("--no-shim", action="store_true", help="as on a machine without a C compiler")
    parser.set_defaults(parse=None)
    original = parser.parse_args

    def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
        given = original(arguments)
        chosen = given.kills or given.power or given.compound or given.redos or given.settlements or given.before
        chosen = chosen or given.outages or given.together
        chosen = chosen or any(value is not None for value in (given.syscalls, given.errors, given.migration))
        if given.short:
            given.kills, given.syscalls, given.errors = given.kills or 20, given.syscalls or 24, given.errors or 12
            given.redos, given.settlements = given.redos or 4, given.settlements or 2
            if given.axis:
                given.compound, given.outages = given.compound or 8, given.outages or 12
            if given.axis == "ray":  # each run takes seconds
                _shorten(given)
        elif given.all or not chosen:
            given.kills, given.power, given.compound = given.kills or 1000, given.power or 100, given.compound or 200
            given.redos, given.settlements = given.redos or 200, given.settlements or 100
            given.syscalls, given.errors, given.migration = 0, 0, 0
        return given

    parser.parse_args = parse  # type: ignore[method-assign,assignment]
    return parser


if __name__ == "__main__":
    sys.exit(main())
