"""The count after a trial of remote work: the sandbox's log against the job database, the ledger and the files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from decimal import Decimal

from tests.faults.local_kit import Place

from .remote_suites import SECRET, Suite
from .trial import World


@dataclass
class Count:
    """What was counted at one point."""

    kills: int = 0
    jobs: int = 0
    charges: int = 0
    again: int = 0  #: jobs with a second remote task or charge, and submissions with a second batch
    lost: int = 0  #: jobs without their image, though the provider's answer had arrived
    missing: int = 0  #: charges that the ledger lacks, or has with another amount
    held: int = 0  #: unknown jobs
    hung: int = 0  #: trials with a run that did not end
    wrong: int = 0  #: runs that were not killed, or ended otherwise than expected; what else is not as it should be

    def add(self, other: Count) -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    @property
    def broken(self) -> bool:
        return bool(self.again or self.lost or self.missing or self.hung or self.wrong)


def count(place: Place, suite: Suite, jobs: dict[str, str], world: World, since: int, kept: set[str]) -> Count:
    """Return what became of *jobs*; *kept*: the attempts whose answer lay in the spool when a run was killed."""
    lines = world.lines(next(iter(jobs.values())).partition(">")[0] + ">", since)
    started = Counter(line["prompt"] for line in lines if line["event"] == "task")
    charged: dict[str, list[int]] = {text: [] for text in jobs.values()}
    for line in lines:
        if line["event"] == "charge":
            charged[line["prompt"]].append(int(Decimal(line["usd"]) * 10**9))
    states = {row["key"]: row["state"] for row in place.rows("select key, state from jobs")}
    held = [key for key in jobs if states.get(key) == "unknown"]
    images = {row["key"] for row in place.rows("select j.key from artifacts f join jobs j on j.id = f.job_id")}
    return Count(
        jobs=len(jobs),
        charges=sum(map(len, charged.values())),
        again=_twice(started.values()) + _twice(map(len, charged.values())) + _twice(_batches(place, world, since)),
        lost=sum(key not in images and key not in held for key in jobs) + _forgotten(place, kept),
        missing=_missing(place, {key: sum(charged[text]) for key, text in jobs.items()}, held),
        held=len(held),
        wrong=_open_attempts(place) + _leaks(place) + _remains(place, held) + (0 if suite.may_hold else len(held)),
    )


def _twice(numbers: Iterable[int]) -> int:
    return sum(number > 1 for number in numbers)


def _batches(place: Place, world: World, since: int) -> list[int]:
    """Return how many batches the provider has of each submission."""
    own = {row["id"] for row in place.rows("select id from submissions")}
    with world.log.open("rb") as stream:
        stream.seek(since)
        made = [json.loads(line) for line in stream if b'"batch"' in line and line.endswith(b"\n")]
    names = [line["metadata"]["batchgen"] for line in made if line["event"] == "batch"]
    return list(Counter(name for name in names if name in own).values())


def _forgotten(place: Place, kept: set[str]) -> int:
    """Return how many attempts are unknown though their handle was committed or their answer was in the spool."""
    unknown = place.rows("select id, handle from attempts where state = 'unknown'")
    return sum(row["handle"] is not None or row["id"] in kept for row in unknown)


def _missing(place: Place, charged: dict[str, int], held: list[str]) -> int:
    """Return how many jobs have another sum in the ledger than they were charged; at least that for those held."""
    query = "select j.key, l.usd, l.at_risk_usd from ledger l join attempts a on a.id = l.attempt_id"
    booked: Counter[str] = Counter()
    for row in place.rows(f"{query} join jobs j on j.id = a.job_id"):
        booked[row["key"]] += (row["usd"] or 0) + (row["at_risk_usd"] or 0)
    return sum(booked[key] < sum_ if key in held else booked[key] != sum_ for key, sum_ in charged.items())


def _open_attempts(place: Place) -> int:
    return len(place.rows("select id from attempts where state = 'open'"))


def _remains(place: Place, held: list[str]) -> int:
    """Return how many files are left of work that is done; of a job that is held they may be needed."""
    spool, markers = place.state.glob("spool/*.slot"), place.folder.glob("output/**/.batchgen/attempts/*.json")
    return 0 if held else len([*spool, *markers, *place.state.glob("submissions/*")])


def _leaks(place: Place) -> int:
    """Return how many files have the key."""
    files = [path for path in (*place.state.rglob("*"), *place.files()) if path.is_file()]
    return sum(SECRET.encode() in path.read_bytes() for path in files)
