"""Drivers of what comes after a batch: redos that are killed and given again, and settling what is at risk."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from .check import Book
from .drivers import Case, Driver, Result, Worker
from .stand import Fault
from .sums import differing_sums
from .trial import RUN, Trial

REDO = ("redo", "m.yaml", "--ids-from", "ids.txt", "--yes", "--progress", "none")
KILLS_A_REDO = 5
#: A kill after this many calls hits some step of settling: opening, the transaction, the log.
CALLS_OF_SETTLE = 160


class Redos(Driver):
    """A redo of half of the jobs, killed at random and given again until it is over."""

    def cases(self) -> Iterator[Case]:
        number = 0
        while self.faults < self.wanted:
            yield Case(number=number, work=_redone)
            number += 1


def _redone(worker: Worker, chance: random.Random, name: str) -> Result:
    kind = chance.choice(("retry", "hold", "honours"))
    trial = worker.trial(name, count=12, hold=kind == "hold", honours=kind == "honours", copies=True)
    trial.run()
    if not _rests(trial):
        return Result(found=trial.finish(), faults=0, trial=trial)
    keys = [f"j{number:02}" for number in range(trial.count)]
    trial.redone = frozenset(chance.sample(keys, trial.count // 2))
    (trial.folder / "ids.txt").write_text("".join(f"{key}\n" for key in sorted(trial.redone)))
    struck = 0
    for _ in range(KILLS_A_REDO):
        by_call = chance.random() < 0.5
        fault = Fault(action="kill", number=chance.randint(50, 3000)) if by_call else None
        moment = None if by_call else chance.uniform(0.0, worker.seconds)
        struck += trial.run(fault, moment, words=REDO).killed
        if _rests(trial) and _replaced(trial):
            break
    while not _replaced(trial):
        trial.run(words=REDO)
    found = trial.finish()
    if not trial.hold and (late := _bought_once(trial)):
        found.problems.append(f"jobs that were not made again: {late}")
    return Result(found=found, faults=struck, trial=trial)


def _rests(trial: Trial) -> bool:
    return _ask(trial, "select count(*) as n from jobs where state in ('pending', 'running')") == 0


def _replaced(trial: Trial) -> bool:
    """Return whether a redo has begun: it supersedes the old images of all its jobs at once."""
    return _ask(trial, "select count(*) as n from artifacts where superseded_at is not null") > 0


def _bought_once(trial: Trial) -> list[str]:
    book = Book(trial.axis)
    bought = [row["job_id"] for row in book.attempts.values() if row["state"] == "delivered"]
    return [job["key"] for job in book.jobs.values() if job["key"] in trial.redone and bought.count(job["id"]) < 2]


def _ask(trial: Trial, statement: str) -> int:
    [row] = trial.axis.rows(statement, ())
    return int(row["n"])


class Settlements(Driver):
    """Calls at risk that are settled by the charge log, each by a command that is killed and given again."""

    def cases(self) -> Iterator[Case]:
        number = 0
        while self.faults < self.wanted:
            yield Case(number=number, work=_settled)
            number += 1


def _settled(worker: Worker, chance: random.Random, name: str) -> Result:
    trial = worker.trial(name, count=16, hold=chance.random() < 0.5)
    for _ in range(3):
        trial.run(kill_after=worker.seconds * chance.uniform(0.3, 0.8))
        trial.near_block(chance.randint(0, 4))  # what is settled is in a closed block
    found = trial.finish()
    struck = 0
    charges = {line["attempt"]: line for line in trial.lines() if line["event"] == "charge"}
    for key, attempt in _at_risk(trial):
        words = ("unknown", "settle", key, "--attempt", attempt, *_finding(charges.get(attempt)))
        struck += trial.run(Fault(action="kill", number=chance.randint(1, CALLS_OF_SETTLE)), words=words).killed
        ended = trial.run(words=words)
        if ended.code != 0:
            found.problems.append(f"settling ended with {ended.code}: {ended.text[-300:]}")
    trial.run(words=RUN)
    found.problems += [*_differences(trial), *differing_sums(trial.axis)]
    return Result(found=found, faults=struck, trial=trial)


def _at_risk(trial: Trial) -> list[tuple[str, str]]:
    book = Book(trial.axis)
    risky = [row["attempt_id"] for row in book.ledger.values() if row["charged"] == "maybe" and row["usd"] is None]
    return [(book.jobs[book.attempts[attempt]["job_id"]]["key"], attempt) for attempt in risky]


def _finding(charge: dict[str, Any] | None) -> tuple[str, ...]:
    if charge is None:
        return ("--not-charged",)
    credits_ = ("--credits", str(charge["credits"])) if charge["credits"] else ()
    return ("--charged", str(charge["usd"]), *credits_) if charge["usd"] else credits_


def _differences(trial: Trial) -> Iterator[str]:
    """Yield where the ledger and the charge log differ, now that nothing is at risk."""
    book = Book(trial.axis)
    if left := _at_risk(trial):
        yield f"still at risk: {left}"
    lines = [line for line in trial.lines() if line["event"] == "charge"]
    real = sum((Decimal(line["usd"] or 0) for line in lines), Decimal(0)) * 10**9
    booked = sum(row["usd"] or 0 for row in book.ledger.values())
    if booked != real:
        yield f"I6 the ledger has {booked} nano-USD, the charge log {real}"
