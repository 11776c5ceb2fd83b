"""Drivers of outages: while a run goes on, its servers or workers are killed, restarted, stopped or end its sessions,
and the run itself is killed meanwhile.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .drivers import SAFE, Case, Driver, Result, Worker
from .trial import Trial

OUTAGES_A_BATCH = 4
KILLS_TOGETHER = 2
#: Seconds between an outage and the death of its run, at most.
APART = 0.5

Outage = Callable[[random.Random], None]
Moment = Callable[[threading.Event], bool]


class Outages(Driver):
    """Outages at random moments; a run survives them, or stops safely and the next one resumes it."""

    def cases(self) -> Iterator[Case]:
        number = 0
        while self.faults < self.wanted:
            yield Case(number=number, work=_suffered)
            number += 1


class Together(Driver):
    """Outages at random moments, and SIGKILL of the run at about the same time."""

    def cases(self) -> Iterator[Case]:
        number = 0
        while self.faults < self.wanted:
            yield Case(number=number, work=_lost_together)
            number += 1


def _suffered(worker: Worker, chance: random.Random, name: str) -> Result:
    kind = chance.choice(("retry", "hold", "honours"))
    trial = worker.trial(name, hold=kind == "hold", honours=kind == "honours")
    struck = 0
    for number in range(OUTAGES_A_BATCH):
        outage = worker.service.outages()[(number + chance.randrange(5)) % len(worker.service.outages())]
        with _strike(trial, _moment(worker, trial, chance), lambda outage=outage: outage(chance)):  # type: ignore[misc]
            ended = trial.run()
        struck += 1
        _check(trial, outage.__name__, ended.code, ended.text)
        if ended.code in (0, 3) and number:
            break
    return Result(found=trial.finish(), faults=struck, trial=trial)


def _lost_together(worker: Worker, chance: random.Random, name: str) -> Result:
    kind = chance.choice(("retry", "hold", "honours"))
    trial = worker.trial(name, hold=kind == "hold", honours=kind == "honours")
    struck = 0
    for _ in range(KILLS_TOGETHER):
        outage = chance.choice(worker.service.outages())

        def both(outage: Outage = outage) -> None:
            if chance.random() < 0.5:
                trial.kill_run()
                time.sleep(chance.uniform(0, APART))
                outage(chance)
            else:
                killing = threading.Timer(chance.uniform(0, APART), trial.kill_run)
                killing.start()
                outage(chance)
                killing.join()

        with _strike(trial, _moment(worker, trial, chance), both):
            ended = trial.run()
        struck += ended.killed
        if not ended.killed:
            _check(trial, outage.__name__, ended.code, ended.text)
    return Result(found=trial.finish(), faults=struck, trial=trial)


def _moment(worker: Worker, trial: Trial, chance: random.Random) -> Moment:
    """Return what waits for a moment of the next run, or until that is over: then it returns True."""
    if not worker.service.starts_slowly:
        seconds = chance.uniform(0.2, 1.0) * worker.seconds
        return lambda over: over.wait(seconds)
    wanted = trial.arrivals() + chance.randint(1, trial.count // 2)

    def wait(over: threading.Event) -> bool:
        while not over.wait(0.02):
            if trial.arrivals() >= wanted:
                return False
        return True

    return wait


@contextmanager
def _strike(trial: Trial, moment: Moment, fault: Callable[[], None]) -> Iterator[None]:
    """Let a fault strike at a moment of what is done inside, unless that is over before."""
    over = threading.Event()
    thread = threading.Thread(target=lambda: moment(over) or fault())
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _check(trial: Trial, outage: str, code: int, text: str) -> None:
    if code not in SAFE:
        trial.problems.append(f"exit code {code} after {outage}: {text[-500:]}")
