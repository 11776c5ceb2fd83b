"""After a run, or while it goes on: how far it is, what it cost, what failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from ..errors import NotFound
from ..files import lock
from ..files.lock import Holder
from ..job import Job
from ..planning.selection import Selection
from ..store import records
from ..store.controls import Control
from ..store.ledger import Calls, Counts, Failure, UsageLine, at_rest
from ..store.reader import Reader
from ..store.usage_groups import GroupedUsage, UsageQuery, group_usage
from .control import active_controls
from .project import Project, open_reader

#: Jobs whose costs are looked up at once.
_PAGE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchStatus:
    """How far a batch is, what it cost and what failed."""

    batch: records.Batch
    counts: Counts
    usage: Sequence[UsageLine]
    failures: Sequence[Failure]
    controls: Sequence[Control] = ()  #: the pauses and limits in force
    holder: Holder | None = None  #: who works on the job table now
    interrupted: int = 0  #: jobs that were under way when a run was cut off, until the next one takes them up


def status(project: Project, name: str | None) -> BatchStatus:
    """Return how far a batch is; None is the one that ran last."""
    # asked before as well: a run that ends meanwhile was not cut off
    before = lock.holder(project.db)
    with open_reader(project) as reader:
        found = batch_status(reader, reader.batch(name))
        runs_ = reader.runs(found.batch.id)
    holder = lock.holder(project.db)
    cut_off = 0 if _on(runs_, before, holder) else found.counts.running
    usage_ = at_rest(found.usage) if cut_off else found.usage
    return replace(found, usage=usage_, controls=active_controls(project), holder=holder, interrupted=cut_off)


def batch(project: Project, name: str | None) -> records.Batch:
    """Return a batch; None is the one that ran last."""
    with open_reader(project) as reader:
        return reader.batch(name)


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageReport:
    """What was used, and how the calls ended."""

    batch: str | None  #: None: all of the job table
    used: GroupedUsage
    calls: Sequence[Calls]


def usage(project: Project, name: str | None, asked: UsageQuery, now: datetime, *, every: bool = False) -> UsageReport:
    """Return what a batch used (None: the one that ran last), or *every* one, divided as *asked*."""
    with open_reader(project) as reader:
        batch = None if every else reader.batch(name)
        number = None if batch is None else batch.id
        return UsageReport(
            batch=None if batch is None else batch.name,
            used=group_usage(reader.booked(number, asked), asked, now),
            calls=reader.calls(number, asked.period, in_flight=asked.period.holds(now)),
        )


def manifest_of(project: Project, which: str | None) -> Path:
    """Return the manifest that *which* names: a file, or a batch; None is the one that ran last."""
    if which is not None and (which.endswith((".yaml", ".yml")) or (project.root / which).is_file()):
        return project.root / which
    manifest = Path(batch(project, which).manifest)
    if not manifest.is_file():
        raise NotFound(f"the manifest of this batch is missing: {manifest}. If it was moved: batchgen run MANIFEST")
    return manifest


def batch_status(reader: Reader, batch: records.Batch) -> BatchStatus:
    """Ask the job table how far *batch* is."""
    return BatchStatus(
        batch=batch,
        counts=reader.counts(batch.id),
        usage=reader.usage(batch.id),
        failures=reader.failures(batch.id),
    )


def jobs(
    project: Project, name: str | None, selection: Selection, limit: int | None
) -> Iterator[tuple[Job, records.Bill]]:
    """Yield the selected jobs, each with what it took so far."""
    with open_reader(project) as reader:
        page: list[Job] = []
        for job in reader.jobs(reader.batch(name).id, selection, limit):
            page.append(job)
            if len(page) == _PAGE:
                yield from _billed(reader, page)
                page = []
        yield from _billed(reader, page)


def _billed(reader: Reader, page: Sequence[Job]) -> Iterator[tuple[Job, records.Bill]]:
    bills = reader.bills(page)
    for job in page:
        yield job, bills.get(job.id, records.Bill())


def show(project: Project, name: str | None, key: str) -> tuple[Job, Sequence[records.AttemptRecord], records.Bill]:
    """Return one job, every attempt made for it, and what it took; raise NotFound."""
    with open_reader(project) as reader:
        job = reader.job(reader.batch(name).id, key)
        return job, reader.attempts(job), reader.bills([job]).get(job.id, records.Bill())


def runs(project: Project, name: str | None) -> tuple[Sequence[records.Run], str | None]:
    """Return a batch's runs, the latest first, and the id of the one that is on, if one is."""
    before = lock.holder(project.db)
    with open_reader(project) as reader:
        found = reader.runs(reader.batch(name).id)
    return found, _on(found, before, lock.holder(project.db))


def _on(runs_: Sequence[records.Run], *holders: Holder | None) -> str | None:
    """Return the run that holds the job table, where it is the latest of these."""
    known = {(holder.pid, holder.host) for holder in holders if holder is not None}
    return next((run.id for run in runs_[:1] if (run.pid, run.host) in known), None)
