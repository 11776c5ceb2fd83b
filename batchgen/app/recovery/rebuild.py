"""Rebuilds a job database that was lost, damaged or restored from a copy, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import chain, islice
from pathlib import Path

import anyio
from anyio import to_thread

from ...engine.batches.notes import SubmissionNote
from ...engine.retry import Policy, judge
from ...errors import StaleClaim
from ...fault import Cause, Charged, Fault
from ...files.output import make_private
from ...job import Attempt, Delivered, Delivery, Job, Missed, PartialDelivery, Settlement
from ...manifest import Batch
from ...store import lost_submissions, maintenance, migrate
from ...store.guest import write_as_guest
from ...store.reader import Reader
from ...store.records import AttemptRecord, RecoveredAttempt, RecoveryCounts
from ...store.writer import Writer
from ...task import UNPRICED
from ..clock import utc_now
from ..lanes import policy_of
from ..output_lock import hold_recovered
from ..project import Project, hold_lock
from ..retry import as_stored
from . import last_run
from .evidence import SidecarRecord
from .missing_submissions import missing_submissions
from .scan import RecoveryScan

#: Attempts taken in by one transaction.
_TOGETHER = 200

#: An open attempt with the sidecars of what it delivered.
Stray = tuple[Job, AttemptRecord, list[SidecarRecord]]


@dataclass(frozen=True, kw_only=True, slots=True)
class RecoveryReport:
    """What a job database took in from the files around it."""

    intake: RecoveryCounts
    settled: int = 0  #: open calls that had delivered, or are unknown now
    failed: int = 0  #: jobs that had failed by the log, and are not sent again
    damaged_copy: Path | None = None  #: where the damaged database was moved to

    @property
    def found_anything(self) -> bool:
        """Return whether the database had lacked anything."""
        return bool(self.intake.attempts or self.intake.files or self.settled or self.failed)


def recover_before_run(project: Project, reader: Reader, batch: Batch) -> RecoveryReport | None:
    """Take in what the database lacks of *batch*, if there is a sign that it lacks something.

    Reads the spool and the dates in the output folder, where a run with another database may have worked.
    """
    return _take_in(RecoveryScan(project=project, reader=reader, batch=batch))


def recover(project: Project, batch: Batch) -> RecoveryReport:
    """Rebuild the job database of *batch* from the evidence on disk.

    A damaged database is moved aside; an intact one is kept and completed. Raises AlreadyRunning.
    """
    make_private(project.state)
    # The folder is locked too, so that a run with another database is not taken in half-way.
    with hold_lock(project), hold_recovered(project, batch.folder) as take_over:
        damaged_copy = None
        if isinstance(project.db, Path) and not maintenance.is_whole(project.db):
            damaged_copy = maintenance.set_aside(project.db, f"{utc_now():%Y%m%d-%H%M%S}")
        migrate.ensure(project.db)
        take_over()
        with Reader(project.db) as reader:
            scan = RecoveryScan(project=project, reader=reader, batch=as_stored(project, reader, batch))
            scan.thorough = True
            report = _take_in(scan, always=True) or RecoveryReport(intake=RecoveryCounts())
        last_run.record_recovery(project, batch.name)
    return replace(report, damaged_copy=damaged_copy)


def _take_in(scan: RecoveryScan, *, always: bool = False) -> RecoveryReport | None:
    slots, busy = scan.slots()
    submitted = missing_submissions(scan.project, scan.batch, scan.reader)
    strays = scan.strays(busy, {note.submission.id for note in submitted})
    # The answers of submitted calls are read whatever has become of their jobs.
    answered = {call.id for note in submitted if busy for call in note.calls() if call.id in busy}
    attempts = scan.recovered_attempts(scan.live(slots) | answered)
    first = next(attempts, None)
    has_evidence = first is not None or bool(slots or submitted or scan.logged.failed)
    has_evidence = has_evidence or any(files for _, _, files in strays)
    if not (has_evidence or always or (scan.is_outdated and scan.batch_id is not None)):
        return None
    outdated = has_evidence or scan.is_outdated
    with Writer(scan.project.db) as writer:
        all_attempts = chain([first] if first else [], attempts)
        return anyio.run(_write, scan, writer, strays if outdated else [], all_attempts, slots, submitted)


async def _write(  # noqa: PLR0917 - the kinds of evidence
    scan: RecoveryScan,
    writer: Writer,
    strays: Sequence[Stray],
    attempts: Iterable[RecoveredAttempt],
    slots: Sequence[RecoveredAttempt],
    submitted: Sequence[SubmissionNote],
) -> RecoveryReport:
    now, batch = utc_now(), scan.batch
    for stray in strays:
        if stray[1].handle is not None and not stray[2]:
            continue  # It is at the provider, which states how it ended.
        await _settle(scan, writer, *stray)
    batch_id = await writer.open_batch(batch.name, str(batch.manifest), str(batch.folder), now)
    revise = None
    if scan.batch_id is not None:
        # Jobs without evidence keep their row until a run plans them.
        attempts = list(attempts)
        revise = {attempt.key for attempt in (*attempts, *slots)}
    await writer.load(batch_id, batch.jobs, now, revise=revise)
    total, waiting = RecoveryCounts(), list[RecoveredAttempt]()
    rest = iter(attempts)
    while chunk := list(islice(rest, _TOGETHER)):
        counts, wait = await writer.add_recovered(batch_id, chunk, now, last=False)
        total, waiting = total + counts, waiting + wait
    # Files whose predecessor was found later come next, and calls in flight last, when all else is known.
    waiting.sort(key=lambda attempt: (attempt.key, attempt.file.ordinal if attempt.file else 0))
    # The log knows the cost of a failed call, and its kept answer only an estimate.
    for group in (waiting, scan.logged.attempts):
        total += await _add(writer, batch_id, group, now)
    for note in submitted:
        total += await to_thread.run_sync(_take_in_submission, scan.project, note, batch_id)
    total += await _add(writer, batch_id, slots, now)
    scan.set_aside_slots(slots)
    failed = await writer.mark_failed(batch_id, scan.logged.failed, now)
    return RecoveryReport(intake=total, settled=len(strays), failed=failed)


async def _add(writer: Writer, batch_id: int, attempts: Sequence[RecoveredAttempt], now: datetime) -> RecoveryCounts:
    total = RecoveryCounts()
    for start in range(0, len(attempts), _TOGETHER):
        counts, _ = await writer.add_recovered(batch_id, attempts[start : start + _TOGETHER], now, last=True)
        total += counts
    return total


def _take_in_submission(project: Project, note: SubmissionNote, batch_id: int) -> RecoveryCounts:
    """Take in a submission with its calls, so that a run finds its batch; repeating this changes nothing."""
    submission, calls = replace(note.submission, batch_id=batch_id), note.calls()
    write_as_guest(project.db, partial(lost_submissions.begin, submission=submission))
    number = 0
    while chunk := list(islice(calls, _TOGETHER)):
        add = partial(lost_submissions.add_calls, submission=submission, calls=chunk, now=utc_now())
        number += write_as_guest(project.db, add)
    write_as_guest(project.db, partial(lost_submissions.complete, submission=submission))
    return RecoveryCounts(attempts=number, submissions=1, submitted=number)


async def _settle(
    scan: RecoveryScan, writer: Writer, job: Job, record: AttemptRecord, files: Sequence[SidecarRecord]
) -> None:
    """Settle an attempt that an older database holds open: it delivered, or its outcome is unknown."""
    now = utc_now()
    attempt = Attempt(
        id=record.id,
        job_id=job.id,
        claim=record.claim,
        batch=job.batch,
        key=job.key,
        task=job.task,
        fingerprint=job.fingerprint,
        folder=str(scan.batch.folder),
        output=job.output,
    )
    if files:
        recovered = files[0].attempt
        artifacts = tuple(file.artifact for file in files)
        outcome = Delivered(artifacts=artifacts, usage=recovered.usage, charge=recovered.charge)
        complete = job.delivered + len(files) >= job.wanted
        event = Delivery(at=now, outcome=outcome) if complete else PartialDelivery(at=now, outcome=outcome)
        settlement = Settlement(attempt=attempt, event=event, charge=recovered.charge, usage=recovered.usage)
    else:
        message = "the job database was restored to an earlier state, and nothing shows how this call ended"
        fault = Fault(cause=Cause.UNKNOWN, message=message, charged=Charged.MAYBE)
        verdict = judge(job, Missed(fault=fault), _policy(scan.batch, record.provider), now)
        settlement = Settlement(attempt=attempt, event=verdict, charge=UNPRICED)
    with suppress(StaleClaim):  # The charge is booked all the same.
        await writer.settle(settlement, now)


def _policy(batch: Batch, provider: str) -> Policy:
    profile = batch.profiles.get(provider)
    if profile is None:
        return Policy(buy_again=False)
    return policy_of(profile.retry, profile.on_unknown)
