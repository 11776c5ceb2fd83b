"""Driver of upgrades: runs of the version before are killed, and this version completes the batch."""

from __future__ import annotations

import random
from collections.abc import Iterator

from .drivers import Case, Driver, Result, Worker
from .stand import Fault

#: Calls at the job database up to which an upgrade is killed.
CALLS_OF_UPGRADE = 120


class Former(Driver):
    """The version before is killed once or twice; then this one, while it upgrades or goes on."""

    def cases(self) -> Iterator[Case]:
        number = 0
        while self.faults < self.wanted:
            yield Case(number=number, work=_upgraded)
            number += 1


def _upgraded(worker: Worker, chance: random.Random, name: str) -> Result:
    assert worker.before is not None
    kind = chance.choice(("retry", "hold", "honours"))
    trial = worker.trial(name, hold=kind == "hold", honours=kind == "honours", copies=chance.random() < 0.3)
    own, trial.stand = trial.stand, worker.before
    struck = 0
    for _ in range(chance.choice((1, 2))):
        struck += trial.run(kill_after=worker.seconds * chance.uniform(0.3, 0.95)).killed
    trial.near_block(chance.randint(-1, 6))
    trial.stand = own
    if chance.random() < 0.5:
        struck += trial.run(Fault(action="kill", number=chance.randint(1, CALLS_OF_UPGRADE), part=".db")).killed
    else:
        struck += trial.run(kill_after=worker.seconds * chance.uniform(0.2, 0.9)).killed
    return Result(found=trial.finish(), faults=struck, trial=trial)
