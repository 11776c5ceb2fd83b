"""The ways to break a run. Each driver yields cases; a case is one batch, broken, run to its end and checked."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from .check import Found
from .power import PowerError, mounted
from .service import Service
from .stand import Ended, Fault, Stand
from .trial import Trial, World

#: What may fail for want of space or by a bad disk: all but unlink, which no disk refuses, and sockets.
WRITES = "opwdftalrm"
#: Exit codes with which a run whose disk failed may end: done, stopped safely, in doubt, lane closed, no upgrade.
SAFE = {0, 1, 3, 8, 12}
KILLS_A_BATCH = 4


@dataclass(kw_only=True)
class Worker:
    """What one thread works with."""

    stand: Stand
    folder: Path
    worlds: tuple[World, World]  #: usual providers; providers that honour idempotency keys
    seconds: float = 0.5  #: an undisturbed run
    mount: Path | None = None
    before: Stand | None = None  #: starts runs of the version before
    service: Service = field(default_factory=Service)
    opened: ExitStack = field(default_factory=ExitStack)  #: what a case leaves to be cleared away

    def trial(self, name: str, **terms: object) -> Trial:
        world = self.worlds[1] if terms.pop("honours", False) else self.worlds[0]
        folder = (self.mount or self.folder) / name
        folder.mkdir(parents=True)
        axis = self.opened.enter_context(self.service.axis(folder))
        return Trial(folder=folder, stand=self.stand, world=world, mount=self.mount, axis=axis, **terms)  # type: ignore[arg-type]


@dataclass(kw_only=True)
class Result:
    """A case's findings, and how many faults struck it."""

    found: Found
    faults: int
    trial: Trial


Work = Callable[[Worker, random.Random, str], Result]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A batch to break; the same number and seed break it in the same way."""

    number: int
    work: Work


@dataclass(kw_only=True)
class Driver:
    """A way to break runs, and how often."""

    name: str
    what: str
    wanted: int  #: faults; 0: at every point until a run completes
    faults: int = 0
    over: bool = False
    ended: set[int] = field(default_factory=set)

    def cases(self) -> Iterator[Case]:
        """Yield cases until enough faults have struck."""
        raise NotImplementedError


class Kills(Driver):
    """SIGKILL at a random moment of a run's life, several times for one batch."""

    def cases(self) -> Iterator[Case]:
        number = 0
        while self.faults < self.wanted:
            yield Case(number=number, work=_killed)
            number += 1


def _killed(worker: Worker, chance: random.Random, name: str) -> Result:
    kind = chance.choice(("retry", "retry", "hold", "honours"))
    copies = chance.random() < 0.3
    trial = worker.trial(name, hold=kind == "hold", honours=kind == "honours", copies=copies)
    struck = 0
    for _ in range(KILLS_A_BATCH):
        ended = trial.run(kill_after=chance.uniform(0.0, worker.seconds))
        struck += ended.killed
        trial.near_block(chance.randint(0, 12))
        if not ended.killed:
            worker.seconds = ended.seconds  # the first run of all lives longer, and most kills would come too late
            break
    return Result(found=trial.finish(), faults=struck, trial=trial)


class Points(Driver):
    """SIGKILL just before the n-th call that concerns the project: every n, or so many spread evenly."""

    def __init__(self, *, part: str = "", count: int = 8, **terms: object) -> None:
        super().__init__(**terms)  # type: ignore[arg-type]
        self.part, self.count, self.total = part, count, 0

    def cases(self) -> Iterator[Case]:
        yield Case(number=0, work=self._measure)
        while not self.total:
            yield Case(number=-1, work=_nothing)
        # runs differ in length: points near the end of one may lie past the end of another
        last = self.total * 19 // 20 if self.wanted else self.total
        for point in _spread(max(1, last), self.wanted):
            yield Case(number=point, work=self._kill_at(point))
        point = self.total
        while not self.wanted and not self.over:  # every point: until a run completes
            point += 1
            yield Case(number=point, work=self._kill_at(point))

    def _measure(self, worker: Worker, chance: random.Random, name: str) -> Result:
        trial = worker.trial(name, count=self.count)
        self.total = _calls(trial, worker.folder / f"{self.name}.trace", "*", self.part)
        return Result(found=trial.finish(), faults=0, trial=trial)

    def _kill_at(self, point: int) -> Work:
        def work(worker: Worker, chance: random.Random, name: str) -> Result:
            trial = worker.trial(name, count=self.count, hold=point % 3 == 2, honours=point % 5 == 4)
            ended = trial.run(Fault(action="kill", number=point, part=self.part))
            self.over = self.over or (point > self.total and not ended.killed)
            return Result(found=trial.finish(), faults=int(ended.killed), trial=trial)

        return work


class Errors(Driver):
    """EIO and ENOSPC at the n-th write, sync, rename, link: once, and from then on."""

    def __init__(self, *, count: int = 8, **terms: object) -> None:
        super().__init__(**terms)  # type: ignore[arg-type]
        self.count, self.total = count, 0

    def cases(self) -> Iterator[Case]:
        yield Case(number=0, work=self._measure)
        while not self.total:
            yield Case(number=-1, work=_nothing)
        every = [(point, way) for point in range(1, self.total + 1) for way in range(4)]
        chosen = every if not self.wanted else [every[place - 1] for place in _spread(len(every), self.wanted)]
        for place, (point, way) in enumerate(chosen):
            kind = way if not self.wanted else place % 4
            yield Case(number=point * 4 + kind, work=self._fail_at(point, kind))

    def _measure(self, worker: Worker, chance: random.Random, name: str) -> Result:
        trial = worker.trial(name, count=self.count)
        self.total = _calls(trial, worker.folder / f"{self.name}.trace", WRITES, "")
        return Result(found=trial.finish(), faults=0, trial=trial)

    def _fail_at(self, point: int, kind: int) -> Work:
        code, lasting = (errno.EIO, errno.ENOSPC)[kind % 2], kind > 1

        def work(worker: Worker, chance: random.Random, name: str) -> Result:
            trial = worker.trial(name, count=self.count, edits=point % 2 == 0, copies=point % 3 == 0)
            trace = worker.folder / f"{name}.trace"
            fault = Fault(action="fail", number=point, code=code, lasting=lasting, ops=WRITES, trace=trace)
            ended = trial.run(fault)
            where = _line(trace, point)
            trace.unlink(missing_ok=True)
            what = f"{errno.errorcode[code]}{' from then on' if lasting else ''} at call {point} ({where})"
            _ended_well(trial, ended, what)
            found = trial.finish()
            # a full disk leaves none in doubt: every answer has its place; a disk that fails for good may lose them all
            most = 0 if code == errno.ENOSPC else found.unknown if lasting else 1
            if found.unknown > most:
                found.problems.append(f"{found.unknown} calls left in doubt by {what}")
            if found.problems:
                found.problems.append(f"after {what}; that run said: {ended.text[-500:]}")
            return Result(found=found, faults=int(bool(where)), trial=trial)

        return work


def _ended_well(trial: Trial, ended: Ended, what: str) -> None:
    if ended.code not in SAFE:
        trial.problems.append(f"exit code {ended.code} after {what}")
    if ended.code == 1 and not ended.text.strip():
        trial.problems.append(f"not a word about {what}")


class Compound(Driver):
    """SIGKILL in the middle, then while that is being mended, three times over."""

    def cases(self) -> Iterator[Case]:
        number = 0
        while self.faults < self.wanted:
            yield Case(number=number, work=_mended)
            number += 1


def _mended(worker: Worker, chance: random.Random, name: str) -> Result:
    kind = chance.choice(("retry", "hold", "honours"))
    trial = worker.trial(name, hold=kind == "hold", honours=kind == "honours")
    trial.run(kill_after=worker.seconds * chance.uniform(0.4, 0.8))
    struck = 0
    for _ in range(3):
        # the first hundred or two calls of a resuming run mend what the last one left
        struck += trial.run(Fault(action="kill", number=chance.randint(5, 200))).killed
    return Result(found=trial.finish(), faults=struck, trial=trial)


class Power(Driver):
    """A power cut: the file system goes in mid-run with all that was not synced."""

    def cases(self) -> Iterator[Case]:
        number = 0
        while self.faults < self.wanted:
            yield Case(number=number, work=_cut)
            number += 1


def _cut(worker: Worker, chance: random.Random, name: str) -> Result:
    if worker.mount is None:
        raise PowerError("no mount")
    hold = chance.random() < 0.3
    trial = worker.trial(name, hold=hold)
    mounted.sync(worker.mount)
    struck = 0
    for _ in range(2):
        ended = trial.run(kill_after=worker.seconds * chance.uniform(0.1, 0.9), cut=True)
        if not ended.cut:
            break
        struck += 1
        mounted.again(worker.mount)
        trial.look()
    return Result(found=trial.finish(), faults=struck, trial=trial)


def _nothing(worker: Worker, chance: random.Random, name: str) -> Result:
    raise NotImplementedError


def _calls(trial: Trial, trace: Path, ops: str, part: str) -> int:
    trial.run(Fault(action="count", ops=ops, part=part, trace=trace))
    count = len(trace.read_text().splitlines()) if trace.exists() else 0
    trace.unlink(missing_ok=True)
    return max(1, count)


def _line(trace: Path, number: int) -> str:
    lines = trace.read_text(errors="replace").splitlines() if trace.exists() else []
    return next((line for line in lines if line.startswith(f"{number} ")), "")


def _spread(total: int, wanted: int) -> list[int]:
    """Return *wanted* of the numbers 1 to *total*, evenly; all of them where *wanted* is 0 or more than there are."""
    if not wanted or wanted >= total:
        return list(range(1, total + 1))
    return [1 + place * (total - 1) // max(1, wanted - 1) for place in range(wanted)]
