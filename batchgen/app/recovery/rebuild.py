"""A job table that was lost, damaged or put back: what describes itself on disk is taken in before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import anyio

from ...engine.retry import Policy, judge
from ...errors import StaleClaim
from ...fault import Cause, Charged, Fault
from ...files import lock
from ...files.output import make_private
from ...job import Attempt, Delivered, Delivery, Job, Missed, PartialDelivery, Settlement
from ...manifest import Batch
from ...store import maintenance, migrate
from ...store.reader import Reader
from ...store.records import AttemptRecord, RecoveredAttempt, RecoveryCounts
from ...store.writer import Writer
from ...task import UNPRICED
from ..clock import utc_now
from ..lanes import policy_of
from ..project import Project, command_line
from ..retry import with_earlier_overrides
from . import last_run
from .evidence import SidecarRecord
from .scan import RecoveryScan

#: Traces taken in by one transaction.
_TOGETHER = 200

#: An attempt that the table holds open, with what it delivered.
Stray = tuple[Job, AttemptRecord, list[SidecarRecord]]


@dataclass(frozen=True, kw_only=True, slots=True)
class RecoveryReport:
    """What a job table learnt from the files around it."""

    intake: RecoveryCounts
    settled: int = 0  #: calls that it held open: they had delivered, or are in doubt now
    damaged_copy: Path | None = None  #: where a damaged table was moved to

    @property
    def found_anything(self) -> bool:
        """Return whether there was anything that the table did not know."""
        return bool(self.intake.attempts or self.intake.files or self.settled)


def recover_before_run(project: Project, reader: Reader, batch: Batch) -> RecoveryReport | None:
    """Take in what the table does not know of *batch*, as far as there is a sign that it may lack something.

    Costs a look at the spool and at the dates in the output folder, where a run with another table may have worked.
    """
    survey = RecoveryScan(project=project, reader=reader, batch=batch)
    return _take_in(survey)


def recover(project: Project, batch: Batch) -> RecoveryReport:
    """Make *batch*'s job table anew where it is lost or damaged, and take in all that describes itself on disk.

    A damaged table is moved aside.  One that is whole is kept, and learns what it lacks.  Raises LockHeld.
    """
    make_private(project.state)
    command = command_line()
    # a run from elsewhere is not to be taken in by half
    with lock.hold(project.db, command=command), lock.hold_folder(batch.folder):
        aside = None
        if not maintenance.is_whole(project.db):
            aside = maintenance.set_aside(project.db, f"{utc_now():%Y%m%d-%H%M%S}")
        migrate.ensure(project.db)
        with Reader(project.db) as reader:
            survey = RecoveryScan(project=project, reader=reader, batch=with_earlier_overrides(project, reader, batch))
            survey.thorough = True
            learnt = _take_in(survey, always=True)
        last_run.record_recovery(project, batch.name)
    return (
        RecoveryReport(intake=learnt.intake, settled=learnt.settled, damaged_copy=aside)
        if learnt
        else RecoveryReport(intake=RecoveryCounts())
    )


def _take_in(survey: RecoveryScan, *, always: bool = False) -> RecoveryReport | None:
    slots, busy = survey.slots()
    strays = survey.strays(busy)
    traces = survey.recovered_attempts(survey.live(slots))
    first = next(traces, None)
    found = first is not None or bool(slots) or any(files for _, _, files in strays)
    if not (found or always or (survey.is_outdated and survey.batch_id is not None)):
        return None
    older = found or survey.is_outdated
    with Writer(survey.project.db) as writer:
        everything = chain([first] if first else [], traces)
        return anyio.run(_carry_out, survey, writer, [s for s in strays if older], everything, slots)


async def _carry_out(
    survey: RecoveryScan,
    writer: Writer,
    strays: Sequence[Stray],
    traces: Iterable[RecoveredAttempt],
    slots: Sequence[RecoveredAttempt],
) -> RecoveryReport:
    now, batch = utc_now(), survey.batch
    for stray in strays:
        await _settle(survey, writer, *stray)
    batch_id = await writer.open_batch(batch.name, str(batch.manifest), str(batch.folder), now)
    revise = None
    if survey.batch_id is not None:  # what nothing was found of waits for a run that is about it
        traces = list(traces)
        revise = {trace.key for trace in (*traces, *slots)}
    await writer.load(batch_id, batch.jobs, now, revise=revise)
    total, waiting = RecoveryCounts(), list[RecoveredAttempt]()
    rest = iter(traces)
    while chunk := list(islice(rest, _TOGETHER)):
        learnt, wait = await writer.add_recovered(batch_id, chunk, now, last=False)
        total, waiting = total + learnt, waiting + wait
    # files whose turn comes after one that was found later, then what was under way when all else is known
    waiting.sort(key=lambda trace: (trace.key, trace.file.ordinal if trace.file else 0))
    for traces_, last in ((waiting, True), (slots, True)):
        for start in range(0, len(traces_), _TOGETHER):
            learnt, _ = await writer.add_recovered(batch_id, traces_[start : start + _TOGETHER], now, last=last)
            total += learnt
    survey.keep(slots)
    return RecoveryReport(intake=total, settled=len(strays))


async def _settle(
    survey: RecoveryScan, writer: Writer, job: Job, record: AttemptRecord, files: Sequence[SidecarRecord]
) -> None:
    """End an attempt that an older table holds open: it delivered, or nobody can know what became of it."""
    now = utc_now()
    attempt = Attempt(
        id=record.id,
        job_id=job.id,
        claim=record.claim,
        batch=job.batch,
        key=job.key,
        task=job.task,
        fingerprint=job.fingerprint,
        folder=str(survey.batch.folder),
        output=job.output,
    )
    if files:
        said = files[0].trace
        outcome = Delivered(artifacts=tuple(one.artifact for one in files), usage=said.usage, charge=said.charge)
        whole = job.delivered + len(files) >= job.wanted
        event = Delivery(at=now, outcome=outcome) if whole else PartialDelivery(at=now, outcome=outcome)
        settlement = Settlement(attempt=attempt, event=event, charge=said.charge, usage=said.usage)
    else:
        message = "the job table was put back to an earlier state; nothing tells how this call ended"
        fault = Fault(cause=Cause.UNKNOWN, message=message, charged=Charged.MAYBE)
        event_ = judge(job, Missed(fault=fault), _policy(survey.batch, record.provider), now)
        settlement = Settlement(attempt=attempt, event=event_, charge=UNPRICED)
    with suppress(StaleClaim):  # booked all the same
        await writer.settle(settlement, now)


def _policy(batch: Batch, provider: str) -> Policy:
    known = batch.profiles.get(provider)
    if known is None:
        return Policy(buy_again=False)
    return policy_of(known.retry, known.on_unknown)
