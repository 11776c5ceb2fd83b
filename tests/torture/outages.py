"""Driver of outages: while a run goes on, its servers are killed, restarted, stopped or end its sessions."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

from .drivers import SAFE, Case, Driver, Result, Worker
from .trial import Trial

OUTAGES_A_BATCH = 4


class Outages(Driver):
    """Outages at random moments; a run survives them, or stops safely and the next one resumes it."""

    def cases(self) -> Iterator[Case]:
        number = 0
        while self.faults < self.wanted:
            yield Case(number=number, work=_suffered)
            number += 1


def _suffered(worker: Worker, chance: random.Random, name: str) -> Result:
    kind = chance.choice(("retry", "hold", "honours"))
    trial = worker.trial(name, hold=kind == "hold", honours=kind == "honours")
    struck = 0
    for number in range(OUTAGES_A_BATCH):
        outage = worker.service.outages()[(number + chance.randrange(5)) % len(worker.service.outages())]
        moment = chance.uniform(0.2, 1.0) * worker.seconds
        over = threading.Event()
        thread = threading.Thread(target=_strike, args=(outage, chance, moment, over))
        thread.start()
        ended = trial.run()
        over.set()
        thread.join()
        struck += 1
        _check(trial, outage.__name__, ended.code, ended.text)
        if ended.code in (0, 3) and number:
            break
    return Result(found=trial.finish(), faults=struck, trial=trial)


def _strike(outage: object, chance: random.Random, moment: float, over: threading.Event) -> None:
    if not over.wait(moment):
        outage(chance)  # type: ignore[operator]


def _check(trial: Trial, outage: str, code: int, text: str) -> None:
    if code not in SAFE:
        trial.problems.append(f"exit code {code} after {outage}: {text[-500:]}")
