"""Queries about a batch: its status, jobs, usage and runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Self

from ..budget import Budget
from ..engine.worker_state import WorkerState
from ..errors import ExitCode
from ..files.lock import Holder
from ..job import Job, State
from ..planning.selection import Selection
from ..store import controls, marks, migrate, needs, records, run_lock
from ..store.claims import at_provider, reserved_at_provider
from ..store.controls import Control
from ..store.copies import CopyRecords
from ..store.judging import matching_files, suspects_of
from ..store.ledger import Calls, Counts, Failure, UsageLine, at_rest
from ..store.needs import WaitingJob
from ..store.queries import unfinished
from ..store.reader import Reader
from ..store.runners import RunnerRecord
from ..store.usage_groups import GroupedUsage, UsageQuery, group_usage
from . import live_state
from .earlier_stops import HELD, remaining_advice
from .presence import OF_STATUS, Presence, look
from .project import Project, open_reader
from .repeated_options import repeated_options, shard_of_command
from .report.folder import ReportPage, find
from .runners import preparing, runners_elsewhere, runners_of
from .submissions import OpenSubmission, open_submissions

#: Jobs whose costs are queried together.
_PAGE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEnding:
    """How a run ended: its exit code in words, and what stopped it early."""

    meaning: str
    stops: Sequence[str] = ()
    advice: Sequence[str] = ()  #: what to change before another run, as far as it was not followed yet


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardStatus:
    """The shard of the latest run."""

    part: str  #: "1/3"
    left: int  #: its jobs that are pending or running

    @classmethod
    def of(cls, reader: Reader, batch_id: int, shard: tuple[int, int] | None) -> Self | None:
        """Return the status of a shard; None for a run of all jobs."""
        if shard is None:
            return None
        left = reader.ask(partial(unfinished, batch_id=batch_id, selection=Selection(shard=shard)))
        return cls(part=f"{shard[0]}/{shard[1]}", left=left)


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchStatus:
    """Progress, cost and failures of a batch."""

    batch: records.Batch
    counts: Counts
    usage: Sequence[UsageLine]
    failures: Sequence[Failure]
    controls: Sequence[Control] = ()  #: the pauses and limits in force
    holder: Holder | None = None  #: the process that holds the lock
    interrupted: int = 0  #: jobs in flight when a run was interrupted, until the next run settles them
    running_at_provider: int = 0  #: running jobs whose remote task, or submission, the provider has accepted
    at_provider: int = 0  #: likewise, cancelled jobs too
    held: Sequence[str] = ()  #: after a run: why it has left some of them there
    submissions: Sequence[OpenSubmission] = ()  #: files of calls that are not all settled
    run: records.Run | None = None  #: the latest
    ending: RunEnding | None = None  #: how it ended, if that is known
    budgets: Sequence[Budget] = ()  #: of the run in progress, or of the latest when it ended
    workers: Sequence[WorkerState] = ()  #: of the run in progress, if it is on a cluster
    presence: Presence = field(default_factory=Presence)  #: how many delivered files are gone
    runners: Sequence[RunnerRecord] = ()  #: those of the batch that share the job database
    elsewhere: Sequence[RunnerRecord] = ()  #: living ones of other batches
    preparing: Sequence[Holder] = ()  #: processes that work on the job database, and are no runners yet
    shard: ShardStatus | None = None  #: of the latest run, if it made only a shard
    shards: Mapping[str, records.Run] = field(default_factory=dict)  #: the latest runs of the other shards
    report: ReportPage | None = None  #: the page that was written last
    waiting: Sequence[WaitingJob] = ()  #: pending jobs that wait for others

    @property
    def stuck(self) -> int:
        """Return the number of pending jobs that no run sends: they wait for jobs that have ended without an image."""
        return sum(job.ended is not None for job in self.waiting)

    @property
    def is_held(self) -> bool:
        """Return whether the latest run has left tasks at the provider that it could not collect."""
        advice = self.ending.advice if self.ending is not None else ()
        return bool(self.held) or any(text.startswith(HELD) for text in advice)

    @property
    def again(self) -> str:
        """Return the options of the latest run that the next one needs as well."""
        return "" if self.run is None else repeated_options(self.run.command)


def status(project: Project, name: str | None) -> BatchStatus:
    """Return the status of a batch; None is the one that ran last."""
    # The holder is read before and after: a run that ends in between was not interrupted.
    before = run_lock.holder(project.db)
    with open_reader(project) as reader:
        result = batch_status(reader, reader.batch(name))
        presence = look(project, reader, result.batch, result.counts.images, OF_STATUS)
        batch_runs, runners = reader.runs(result.batch.id), runners_of(project, reader, result.batch.id)
        elsewhere = runners_elsewhere(project, reader, result.batch.id)
        shard = shard_of_command(batch_runs[0].command) if batch_runs else None
        shard_status = ShardStatus.of(reader, result.batch.id, shard)
        holder = run_lock.holder(project.db, result.batch.name)
        in_preparation = preparing(project, reader, holder)
        remote = reader.ask(partial(reserved_at_provider, batch_id=result.batch.id))
        at_providers = open_submissions(reader, result.batch.id)
    interrupted = 0 if _in_progress(batch_runs, runners, before, holder) else result.counts.running
    usage_ = at_rest(result.usage, remote) if interrupted else result.usage
    run = next(iter(batch_runs), None)
    ending, budgets = (None, ()) if run is None else _ending(project, run, result.batch.manifest)
    return replace(
        result,
        usage=usage_,
        controls=active_controls(project),
        holder=holder,
        runners=runners,
        elsewhere=elsewhere,
        preparing=in_preparation,
        shard=shard_status,
        shards=_other_shards(batch_runs),
        interrupted=interrupted,
        submissions=at_providers,
        run=run,
        ending=ending,
        budgets=budgets,
        workers=live_state.read(project, run.id).workers if run and holder and run.ended_at is None else (),
        presence=presence,
        report=find(project, result.batch),
    )


def _other_shards(batch_runs: Sequence[records.Run]) -> Mapping[str, records.Run]:
    """Return the latest runs of the shards that made the batch together with that of the latest run."""
    latest = dict[str, records.Run]()
    size = None
    for run in batch_runs:
        shard = shard_of_command(run.command)
        if shard is None or size not in (None, shard[1]):
            break
        size = shard[1]
        latest.setdefault(f"{shard[0]}/{size}", run)
    return dict(list(latest.items())[1:])


def _ending(project: Project, run: records.Run, manifest: str) -> tuple[RunEnding | None, Sequence[Budget]]:
    """Return how a run ended, and its budgets: by its summary, or while it is in progress by its live state."""
    if run.ended_at is None:
        return None, live_state.read(project, run.id).budgets
    try:
        summary = json.loads((project.state / "runs" / run.id / "summary.json").read_bytes())
        lanes = [lane for lane in summary["run"]["lanes"] if lane["closed"] is not None]
        stops = [f"{lane['provider']}: {lane['message'] or lane['why']}" for lane in lanes]
        stops += [summary["run"]["stopped"]] if summary["run"]["stopped"] else []
        budgets = [live_state.budget_of(each) for each in summary["budgets"]]
        advice = remaining_advice(project, manifest, summary, run.ended_at)
        return RunEnding(meaning=summary["exit_words"], stops=list(dict.fromkeys(stops)), advice=advice), budgets
    except (OSError, ValueError, KeyError, TypeError):
        # Its summary is gone, or is that of another version.
        codes = {int(code): code.meaning for code in ExitCode}
        return RunEnding(meaning=codes.get(run.exit_code or 0, "")), ()


def active_controls(project: Project) -> Sequence[Control]:
    """Return the pauses and limits in force; a job database with an older schema has none."""
    return tuple(controls.standing(project.db).values()) if migrate.revision(project.db) == migrate.HEAD else ()


def batch(project: Project, name: str | None) -> records.Batch:
    """Return a batch; None is the one that ran last."""
    with open_reader(project) as reader:
        return reader.batch(name)


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageReport:
    """Usage and call outcomes of a batch, or of all."""

    batch: str | None  #: None: all of the job database
    used: GroupedUsage
    calls: Sequence[Calls]


def usage(project: Project, name: str | None, asked: UsageQuery, now: datetime, *, every: bool = False) -> UsageReport:
    """Return the usage of a batch (None: the one that ran last), or of *every* batch, grouped as *asked*."""
    with open_reader(project) as reader:
        batch = None if every else reader.batch(name)
        number = None if batch is None else batch.id
        return UsageReport(
            batch=None if batch is None else batch.name,
            used=group_usage(reader.booked(number, asked), asked, now),
            calls=reader.calls(number, asked.period, in_flight=asked.period.holds(now)),
        )


def waiting_document(status: BatchStatus) -> dict[str, Any]:
    """Return the jobs that wait for others, for ``--json``: their number, how many no run sends, and an example."""
    first = next((job for job in status.waiting if job.ended is not None), next(iter(status.waiting), None))
    example = None if first is None else {"id": first.key, "for": first.ended or first.parent, "state": first.state}
    return {"jobs": len(status.waiting), "stuck": status.stuck, "example": example}


def batch_status(reader: Reader, batch: records.Batch) -> BatchStatus:
    """Read the status of *batch*."""
    return BatchStatus(
        batch=batch,
        counts=reader.counts(batch.id),
        usage=reader.usage(batch.id),
        failures=reader.failures(batch.id),
        waiting=reader.ask(partial(needs.waiting, batch_id=batch.id)),
        running_at_provider=reader.ask(partial(at_provider, batch_id=batch.id, state=State.RUNNING)),
        at_provider=reader.ask(partial(at_provider, batch_id=batch.id)),
    )


def jobs(
    project: Project, name: str | None, selection: Selection, limit: int | None
) -> Iterator[tuple[Job, records.Bill]]:
    """Yield the selected jobs, each with its bill so far."""
    with open_reader(project) as reader:
        page: list[Job] = []
        for job in reader.jobs(reader.batch(name).id, selection, limit):
            page.append(job)
            if len(page) == _PAGE:
                yield from _billed(project, reader, page, selection)
                page = []
        yield from _billed(project, reader, page, selection)


def _billed(
    project: Project, reader: Reader, page: Sequence[Job], selection: Selection
) -> Iterator[tuple[Job, records.Bill]]:
    if not page:
        return
    bills, copies = reader.bills(page), CopyRecords(project.state).of_jobs(page[0].batch, [job.key for job in page])
    ids = [job.id for job in page]
    of_marks, of_suspects = reader.ask(partial(marks.of_jobs, ids=ids)), reader.ask(partial(suspects_of, ids=ids))
    files: dict[int, set[int]] | None = None
    if selection.judges:
        files = {}
        for job_id, ordinal in reader.ask(partial(matching_files, ids=ids, selection=selection)):
            files.setdefault(job_id, set()).add(ordinal)
    for job in page:
        bill = replace(
            bills.get(job.id, records.Bill()),
            copies=tuple(copy for copy in copies.get(job.key, ()) if copy.recipe),
            marks=tuple(mark for mark in of_marks.get(job.id, ()) if not mark.replaced),
            suspects=tuple(of_suspects.get(job.id, ())),
            selected=None if files is None else frozenset(files.get(job.id, ())),
        )
        yield job, bill


def show(project: Project, name: str | None, key: str) -> tuple[Job, Sequence[records.AttemptRecord], records.Bill]:
    """Return one job with its attempts and its bill; raise NotFound."""
    with open_reader(project) as reader:
        job = reader.job(reader.batch(name).id, key)
        [(_, bill)] = _billed(project, reader, [job], Selection())
        return job, reader.attempts(job), bill


def waits_of(project: Project, name: str | None, job: Job) -> WaitingJob | None:
    """Return what a pending job waits for; None if that is nothing."""
    if job.state is not State.PENDING:
        return None
    with open_reader(project) as reader:
        waiting = reader.ask(partial(needs.waiting, batch_id=reader.batch(name).id))
    return next((each for each in waiting if each.key == job.key), None)


def kept_answers(project: Project, attempts: Sequence[records.AttemptRecord]) -> dict[str, str]:
    """Return the files of answers that were paid for and not delivered, by attempt."""
    from ..files.spool import SUFFIXES

    spool, answers = project.state / "spool", dict[str, str]()
    for attempt in attempts:
        path = next((path for suffix in SUFFIXES if (path := spool / f"{attempt.id}{suffix}").exists()), None)
        if path is not None:
            answers[attempt.id] = str(path.relative_to(project.root) if path.is_relative_to(project.root) else path)
    return answers


def runs(project: Project, name: str | None) -> tuple[Sequence[records.Run], str | None]:
    """Return a batch's runs, latest first, and the id of the one in progress, if any."""
    before = run_lock.holder(project.db)
    with open_reader(project) as reader:
        batch = reader.batch(name)
        batch_runs, runners = reader.runs(batch.id), runners_of(project, reader, batch.id)
    return batch_runs, _in_progress(batch_runs, runners, before, run_lock.holder(project.db, batch.name))


def _in_progress(
    batch_runs: Sequence[records.Run], runners: Sequence[RunnerRecord], *holders: Holder | None
) -> str | None:
    """Return the latest run that is among the living runners, or whose process holds the lock."""
    living = {each.id for each in runners if not each.silent}
    if (run := next((run.id for run in batch_runs if run.id in living), None)) is not None:
        return run
    processes = {(holder.pid, holder.host) for holder in holders if holder is not None}
    return next((run.id for run in batch_runs[:1] if (run.pid, run.host) in processes), None)
