"""The independent witness: charge log, job table, files and spool, read without a line of batchgen's code."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from PIL import Image

from tests.axes import Axis

from .beside import check_copies, check_replaced, check_report
from .stand import CANARY
from .sums import differing_sums

Line = dict[str, Any]
IMAGES = {".png", ".jpg", ".jpeg", ".webp"}


@dataclass(kw_only=True)
class Found:
    """What a check came to."""

    jobs: int = 0
    charges: int = 0
    again: int = 0  #: charges beyond the first of a job
    unmarked: int = 0  #: of these, how many no attempt in doubt or spoiled answer explains
    missing: int = 0  #: charges without an attempt and a ledger row
    wrong: int = 0  #: files that are not what the job table says
    saved: int = 0  #: answers that a killed run had on disk, and that were delivered from there
    unknown: int = 0  #: attempts in doubt
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a batch was run under."""

    hold: bool  #: nothing is bought again that may have been bought
    once: bool  #: for that reason, or because keys are honoured, no job is charged twice
    kept: set[str]  #: attempts whose whole answer lay on disk when a run died
    jobs: int
    redone: frozenset[str] = frozenset()  #: jobs that were made again on purpose, once
    tidied: bool = True  #: the last run that sent anything ended by itself, so that its workers hold nothing more

    def rounds(self, key: str) -> int:
        """Return how often a job was bought on purpose."""
        return 2 if key in self.redone else 1


def arrived(spools: Iterable[Path]) -> set[str]:
    """Return the attempts whose slot in a spool holds a whole, good answer: sealed, or as long as announced."""
    found = set()
    for slot in (slot for spool in spools for slot in spool.rglob("*.slot")):
        try:
            parts = slot.read_bytes().rstrip(b"\0").split(b"\n", 2)
        except FileNotFoundError:
            continue  # a worker that outlives its run has just removed it
        if len(parts) < 3 or not parts[1].startswith(b"{"):
            continue
        head, body = json.loads(parts[1]), parts[2]
        if head["status"] < 300 and (_sealed(body) or len(body) == int(head["headers"].get("content-length", -1))):
            found.add(slot.stem)
    return found


def _sealed(data: bytes) -> bool:
    body, seal, rest = data.rpartition(b"\nsealed ")
    words = rest.split()
    if not seal or len(words) != 2:
        return False
    checksum = b"crc32:%08x" % zlib.crc32(body)
    return len(body) == int(words[0]) and words[1] in (checksum, hashlib.sha256(body).hexdigest().encode())


def check(axis: Axis, lines: Iterable[Line], terms: Terms, *, copies: bool = False) -> Found:
    """Hold the invariants I1 to I9 against a batch that has come to rest."""
    found, folder = Found(jobs=terms.jobs), axis.folder
    axis.pull()
    try:
        book = Book(axis)
    except axis.error as error:
        found.problems.append(f"I7 the job table cannot be read: {error}")
        return found
    charges = [line for line in lines if line["event"] == "charge"]
    found.charges = len(charges)
    _table(book, found, hold=terms.hold)
    _charges(book, charges, found, terms)
    _kept(book, terms.kept, found)
    _bill(book, charges, found)
    found.problems += differing_sums(axis)
    others = check_replaced(folder, book.replaced, found.problems)
    if copies:
        others |= check_copies(folder, book.artifacts, found.problems)
        others |= check_report(folder, book.artifacts, found.problems)
    _files(book, folder, found, others)
    _left_behind(axis, found, workers=terms.tidied)
    _secrets(folder, axis.secrets, found)
    return found


class Book:
    """The job table."""

    def __init__(self, axis: Axis) -> None:
        def rows(table: str) -> list[Line]:
            return axis.rows(f"select * from {table}", ())

        self.damage = axis.damage()
        self.jobs = {row["id"]: row for row in rows("jobs")}
        self.attempts = {row["id"]: row for row in rows("attempts")}
        self.ledger = {row["attempt_id"]: row for row in rows("ledger")}
        files = rows("artifacts")
        self.artifacts = [row for row in files if row["superseded_at"] is None]
        self.replaced = [row for row in files if row["superseded_at"] is not None]


def _table(book: Book, found: Found, *, hold: bool) -> None:
    found.problems += [f"I7 integrity: {damage}" for damage in book.damage]
    if len(book.jobs) != found.jobs:
        found.problems.append(f"{len(book.jobs)} jobs in the table, {found.jobs} in the manifest")
    states = Counter(job["state"] for job in book.jobs.values())
    if set(states) - {"done", "unknown" if hold else "done"}:
        odd = [(job["key"], job["state"], job["cause"], job["message"]) for job in book.jobs.values()]
        found.problems.append(f"jobs do not rest: {[entry for entry in odd if entry[1] != 'done'][:5]}")
    left = [row["id"] for row in book.attempts.values() if row["state"] == "open"]
    if left:
        found.problems.append(f"I2 attempts left open: {left}")
    if set(book.attempts) - set(left) != set(book.ledger):
        found.problems.append("I2 attempts without a ledger row, or the other way round")
    found.unknown = sum(row["cause"] == "unknown" for row in book.attempts.values())


def _charges(book: Book, charges: list[Line], found: Found, terms: Terms) -> None:
    """I1, I4, I5: every charge has its attempt, and every charge beyond a job's first has its reason."""
    by_attempt = Counter(line["attempt"] for line in charges)
    by_job: Counter[int] = Counter()
    for attempt, count in by_attempt.items():
        if attempt not in book.attempts or attempt not in book.ledger:
            found.missing += count
            found.problems.append(f"I1 a charge that the ledger does not know: attempt {attempt}")
            continue
        if count > 1:
            found.problems.append(f"I1 attempt {attempt} was charged {count} times")
        if book.ledger[attempt]["charged"] == "no":
            found.missing += count
            found.problems.append(f"I1 the ledger says that attempt {attempt} cost nothing; it was charged")
        by_job[book.attempts[attempt]["job_id"]] += count
    reasons: Counter[int] = Counter()
    delivered: Counter[int] = Counter()
    for row in book.attempts.values():
        reasons[row["job_id"]] += row["cause"] in {"unknown", "spoiled"}
        delivered[row["job_id"]] += row["state"] == "delivered"
    for number, count in by_job.items():
        key = book.jobs[number]["key"]
        extra = max(0, count - terms.rounds(key))
        found.again += extra
        bare = max(0, extra - reasons[number])
        found.unmarked += bare
        if bare:
            found.problems.append(f"I5 {key} was bought {count} times with {reasons[number]} attempts in doubt")
        if terms.once and extra:
            found.problems.append(f"I5 {key} was bought {count} times although doubt holds, or the key is honoured")
        if delivered[number] > terms.rounds(key):
            found.problems.append(f"I4 {key} was delivered by {delivered[number]} attempts")


def _kept(book: Book, kept: set[str], found: Found) -> None:
    """I4: an answer that lay whole on disk when a run died must have been delivered from there."""
    for attempt in kept:
        row = book.attempts.get(attempt)
        if row is None or row["state"] != "delivered":
            state = row and (row["state"], row["cause"], row["message"])
            found.problems.append(f"I4 the answer of attempt {attempt} was on disk and came to nothing: {state}")
        else:
            found.saved += 1


def _bill(book: Book, charges: list[Line], found: Found) -> None:
    """I6: what is known was spent, and what may have been covers the rest."""
    for unit, scale in (("usd", 10**9), ("credits", 1000)):
        real: dict[str, int] = defaultdict(int)
        for line in charges:
            real[line["provider"]] += int(Decimal(line[unit] or 0) * scale)
        known: dict[str, int] = defaultdict(int)
        risk: dict[str, int] = defaultdict(int)
        for row in book.ledger.values():
            known[row["provider"]] += row[unit] or 0
            risk[row["provider"]] += row[f"at_risk_{unit}"] or 0
        for name in real | known:
            if unit == "credits" and not known[name] and not risk[name]:
                continue  # a provider whose credits batchgen is not told of
            if not known[name] <= real[name] <= known[name] + risk[name]:
                found.problems.append(
                    f"I6 {name} {unit}: known {known[name]}, real {real[name]}, known and at risk "
                    f"{known[name] + risk[name]}"
                )


def _files(book: Book, folder: Path, found: Found, others: set[Path]) -> None:
    """I3 and I8: each file is there, whole, and what the table says; and nothing else is."""
    expected = {folder / row["path"]: row for row in book.artifacts}
    for path, row in expected.items():
        fault = _file_fault(path, row)
        if fault:
            found.wrong += 1
            found.problems.append(f"I3 {row['path']}: {fault}")
    per_job = Counter(row["job_id"] for row in book.artifacts)
    for number, job in book.jobs.items():
        if job["state"] == "done" and per_job[number] != job["wanted"]:
            found.wrong += 1
            found.problems.append(f"I3 {job['key']} is done with {per_job[number]} of {job['wanted']} files")
    there = {path for path in (folder / "output").rglob("*") if path.is_file()}
    odd = {path for path in there if path.suffix in IMAGES} - set(expected) - others
    if odd:
        found.wrong += len(odd)
        found.problems.append(f"I3 files that no job has: {sorted(path.name for path in odd)[:5]}")
    for path in expected:
        beside = path.with_name(f"{path.name}.json")
        try:
            json.loads(beside.read_bytes())
        except (OSError, ValueError) as error:
            found.wrong += 1
            found.problems.append(f"I3 {beside.name}: {type(error).__name__}")


def _left_behind(axis: Axis, found: Found, *, workers: bool) -> None:
    """I8: no half files, no answers that were booked, no markers of workers."""
    places = {axis.folder, *(axis.spools() if workers else ())}
    files = {path for place in places for path in place.rglob("*") if path.name.endswith((".part", ".slot"))}
    files |= set((axis.folder / "output").rglob(".batchgen/attempts/*")) if workers else set()
    left = sorted(path.name for path in files)
    if left:
        found.problems.append(f"I8 left behind: {left[:5]}")


def _file_fault(path: Path, row: Line) -> str | None:
    try:
        data = path.read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if len(data) != row["bytes"] or hashlib.sha256(data).hexdigest() != row["sha256"]:
        return "its bytes are not the recorded ones"
    try:
        with Image.open(path) as image:
            image.load()
            size = image.size
    except (OSError, SyntaxError, ValueError) as error:
        return f"does not decode: {error}"
    return None if size == (row["width"], row["height"]) else "has another size"


def _secrets(folder: Path, secrets: Iterable[str], found: Found) -> None:
    """I9: the key, and what opens the job database and the object store, are in no file."""
    wanted = [secret.encode() for secret in (CANARY[:-5], *secrets)]
    places = [path for path in folder.rglob("*") if path.is_file()]
    places += [path for path in (folder.parent / "said.txt",) if path.exists()]
    data = {path: path.read_bytes() for path in places}
    leaks = [str(path.relative_to(folder.parent)) for path in places if any(it in data[path] for it in wanted)]
    if leaks:
        found.problems.append(f"I9 a secret is in {leaks}")
