"""The status of a batch, its jobs and runs, and the pauses and limits in force, as lines and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...money import share, show_credits, show_usd
from .figures import budget_line
from .format import count, credits_, display_path, duration, money, under, usd
from .table import Fit, table
from .width import short

if TYPE_CHECKING:
    from ...app.project import CommandFlags, Project
    from ...app.queries import BatchStatus
    from ...job import Job
    from ...manifest import Batch
    from ...store.controls import Control
    from ...store.ledger import Calls, Counts, Failure, UsageLine
    from ...store.records import AttemptRecord, Bill, Run
    from ...task import Source, Task

_PARAMETERS = (
    "size", "quality", "resolution", "background", "output_format", "output_compression", "moderation", "seed"
)  # fmt: skip
_ATTEMPT = ("id", "provider", "account", "state", "cause", "message", "code", "status", "request_id")


def _fields(value: object, *names: str) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


def status_lines(
    batch: str, counts: Counts, usage: Sequence[UsageLine], failures: Sequence[Failure], *, cut_off: int = 0
) -> list[str]:
    """Return the screen of ``status``; *cut_off*: running jobs are those that a run was cut off with."""
    states = [
        f"{number} {'in flight when a run was cut off' if state == 'running' and cut_off else state}"
        for state in ("done", "running", "pending", "failed", "unknown", "cancelled")
        if (number := getattr(counts, state))
    ]
    lines = [
        f"{batch}: {count(counts.total, 'job')}: {', '.join(states) or 'none'}",
        f"images    {counts.images}",
        *money_lines(usage),
    ]
    if counts.orphaned:
        hint = "no longer in the manifest; their files stay (batchgen list --status orphaned)"
        lines.append(f"orphaned  {count(counts.orphaned, 'job')} {hint}")
    return lines + failure_lines(failures)


def money_lines(lines: Sequence[UsageLine], scope: str = "for this batch", run_usd: int | None = None) -> list[str]:
    """Return what was spent, and what may have been; *run_usd*: also what a run is known to have spent."""
    from ...store.ledger import add

    known = [line.usd for line in lines if line.usd is not None]
    parts = {
        basis: sum(line.usd_by_basis.get(basis, 0) for line in lines) for basis in ("reported", "priced", "estimated")
    }
    detail = ", ".join(f"{usd(nano)} {basis}" for basis, nano in parts.items() if nano)
    unpriced = sum(line.unpriced for line in lines if not line.at_risk)
    spent = usd(sum(known)) if known or not unpriced else "unknown"
    run = "" if run_usd is None else f"{usd(run_usd)} by this run, "
    texts = [f"spent     {run}{spent} {scope}" + (f" ({detail})" if detail else "")]
    for provider in sorted({line.provider for line in lines if line.credits}):
        total = add([line.credits for line in lines if line.provider == provider])
        texts.append(f"          {credits_(total)} credits at {provider}")
    if unpriced:
        texts.append(f"          {count(unpriced, 'attempt')} without a price in USD (credits only, or no tariff)")
    if at_risk := sum(line.at_risk for line in lines):
        risk = add([line.at_risk_usd for line in lines if line.at_risk])
        texts.append(f"at risk   {usd(risk)} for {count(at_risk, 'attempt')} that may have been charged")
    return texts


def failure_lines(failures: Sequence[Failure]) -> list[str]:
    """Return the failures by cause, each with an example."""
    lines = []
    for number, failure in enumerate(failures):
        head = "failed    " if number == 0 else "          "
        example = f"{'such as ' if failure.count > 1 else 'job '}{short(failure.key, 40)}"
        lines.append(f"{head}{failure.count} {failure.cause}, {example}: {short(failure.message, 100)}")
    return lines


def call_lines(calls: Sequence[Calls]) -> list[str]:
    """Return how the requests to each provider ended, and for which provider it was the fallback."""
    ends: dict[str, list[str]] = {}
    for call in calls:
        home = f" for {call.home}" if call.home != call.provider else ""
        ends.setdefault(call.provider, []).append(f"{call.count} {call.outcome}{home}")
    return [
        f"{'' if number else 'calls':<10}{provider}: {', '.join(texts)}"
        for number, (provider, texts) in enumerate(ends.items())
    ]


def job_document(job: Job, bill: Bill, root: Path) -> dict[str, Any]:
    """Return a job as ``export`` and ``list --json`` print it; paths are as seen from *root*, the working folder."""
    return {
        "schema_version": 1,
        "id": job.key,
        "batch": job.batch,
        "state": job.state.value,
        "cause": job.cause,
        "kind": job.task.kind.value,
        "provider": bill.provider or job.task.provider,
        "model": job.task.model,
        "prompt": job.task.prompt,
        "attempts": bill.attempts,
        "usd": show_usd(bill.usd),
        "credits": show_credits(bill.credits),
        "files": [_file(bill, number) for number in range(len(bill.files))],
        "copies": [copy.as_json() for copy in bill.copies],
        "sources": [
            *(_source(source, "image", root) for source in job.task.images),
            *([_source(job.task.mask, "mask", root)] if job.task.mask else []),
        ],
    }


def _file(bill: Bill, number: int) -> dict[str, Any]:
    """Return a file, with its part of the job's cost: over the files of a job, the parts add up to it."""
    file, files = bill.files[number], len(bill.files)
    return {
        **_fields(file, "path", "sha256"),
        "bytes": file.size_bytes,
        **_fields(file, "width", "height", "mime"),
        "usd_share": show_usd(share(bill.usd, files, number)),
        "credits_share": show_credits(share(bill.credits, files, number)),
    }


def _source(source: Source, role: str, root: Path) -> dict[str, Any]:
    path = Path(source.path) if source.path else None
    inside = path is not None and path.is_relative_to(root)
    return {
        "role": role,
        "path": None if path is None else str(path.relative_to(root) if inside else path),
        "url": source.url,
        "sha256": source.sha256,
    }


def job_table(jobs: Iterable[tuple[Job, Bill]]) -> list[str]:
    """Return the table of ``list``."""
    rows = [
        [
            job.key,
            job.state.value,
            job.cause or "",
            bill.provider or job.task.provider,
            bill.attempts,
            job.task.prompt,
        ]
        for job, bill in jobs
    ]
    fit = Fit(least={0: 16, 5: 20}, names=(0,), drop=(4, 3, 2, 5))
    return table(rows, ("id", "state", "cause", "provider", "attempts", "prompt"), right=(4,), fit=fit)


def run_documents(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the runs for ``list runs --json``."""
    return [
        {
            "schema_version": 1,
            "id": run.id,
            "started": run.started_at.isoformat(),
            "ended": run.ended_at.isoformat() if run.ended_at else None,
            "exit_code": run.exit_code,
            "command": run.command,
        }
        for run in runs
    ]


def run_lines(report: BatchStatus, way: CommandFlags) -> list[str]:
    """Return how the latest run is doing, or how it ended and why, with its budgets."""
    run, holder = report.run, report.holder
    budgets = [budget_line(budget) for budget in report.budgets if budget.limit]
    if holder is not None:
        text = f"a run is in progress (process {holder.pid}: {short(holder.command, 80)})"
        return [f"{text}; batchgen watch{way.flags} follows it", *under("budget", budgets)]
    if run is None:
        return []
    began = local(run.started_at)
    if run.ended_at is None:
        return [f"last run  began {began} and was cut off: killed, or this machine stopped"]
    meaning = f": {report.ending.meaning}" if report.ending and report.ending.meaning else ""
    took = duration((run.ended_at - run.started_at).total_seconds())
    lines = [f"ended {local(run.ended_at)} after {took} with exit code {run.exit_code}{meaning}"]
    lines += [f"stopped by {short(stop, 160)}" for stop in (report.ending.stops if report.ending else ())]
    lines += [f"its budgets at that time: {'; '.join(budgets)}"] if budgets else []
    return under("last run", lines)


def run_document(report: BatchStatus) -> dict[str, Any] | None:
    """Return the latest run for ``status --json``."""
    run, ending = report.run, report.ending
    if run is None:
        return None
    return run_documents([run])[0] | {
        "exit_words": ending.meaning if ending else None,
        "stopped_by": list(ending.stops) if ending else [],
        "budgets": [budget.as_json() for budget in report.budgets],
    }


def local(moment: datetime) -> str:
    """Return a moment in this machine's time zone."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def run_table(runs: Sequence[Run], running: str | None) -> list[str]:
    """Return the table of ``list runs``; *running*: the id of the one in progress."""

    def ending(run: Run) -> str:
        if run.exit_code is not None:
            return str(run.exit_code)
        return "still running" if run.id == running else "cut off"

    rows = [[run.id, f"{run.started_at:%Y-%m-%d %H:%M:%S}", ending(run), run.command] for run in runs]
    fit = Fit(least={3: 24}, wrap=(3,), drop=(0,))
    return table(rows, ("run", "started (UTC)", "ended with", "command"), fit=fit)


def show_document(
    job: Job, attempts: Sequence[AttemptRecord], bill: Bill, task: str, *, root: Path, answers: Mapping[str, str]
) -> dict[str, Any]:
    """Return one job for ``show --json``; *task* is its task as JSON text."""
    from ...planning.override_marks import note_of

    return job_document(job, bill, root) | {
        "task": json.loads(task),
        "note": note_of(job.fingerprint),
        "fingerprint": job.fingerprint,
        "tags": list(job.tags),
        "at_risk": {
            "attempts": bill.at_risk,
            "usd": show_usd(bill.at_risk_usd),
            "credits": show_credits(bill.at_risk_credits),
        },
        "attempt_log": [
            {
                **_fields(attempt, *_ATTEMPT),
                "started": attempt.started_at.isoformat(),
                "seconds": attempt.seconds,
                "answer": answers.get(attempt.id),
            }
            for attempt in attempts
        ],
    }


def show_lines(job: Job, attempts: Sequence[AttemptRecord], bill: Bill, answers: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of ``show``."""
    from ...planning.override_marks import describe, note_of, overrides_of

    task = job.task
    yield f"{job.key}: {job.state.value}{f' ({job.cause})' if job.cause else ''}"
    yield f"prompt    {task.prompt}"
    yield f"request   {task.kind.value} by {task.provider}, {task.model}{_parameters(task)}"
    if overrides := describe(overrides_of(job.fingerprint)):
        yield f"with      {overrides}    set by retry or redo"
    if note := note_of(job.fingerprint):
        yield f"note      {note}"
    if job.route is not None:
        yield f"fallback  {', '.join(job.route.others)}"
    for source in (*task.images, *([task.mask] if task.mask else [])):
        form = {None: "", "upright": "  (sent upright)"}.get(source.copy, f"  (sent as {source.copy})")
        yield f"source    {source.url or display_path(source.path or '')}{form}"
    for file in bill.files:
        yield f"file      {file.path}  {file.width}x{file.height}, {file.size_bytes} bytes, sha256 {file.sha256}"
    for copy in bill.copies:
        yield f"copy      {copy.path}  {copy.width}x{copy.height}, {copy.size_bytes} bytes, of {copy.source}"
    nothing = bill.at_risk and bill.usd is None and not bill.credits
    yield f"cost      {'nothing is booked' if nothing else money(bill.usd, bill.credits)}"
    if bill.at_risk:
        risk = money(bill.at_risk_usd, bill.at_risk_credits)
        yield f"at risk   {risk} for {count(bill.at_risk, 'attempt')} that may have been charged"
    for number, attempt in enumerate(attempts, 1):
        yield f"attempt {number} {_attempt(attempt, task.provider)}"
        if answer := answers.get(attempt.id):
            yield f"{'':<10}its answer is kept: {answer}"


def _attempt(attempt: AttemptRecord, home: str) -> str:
    took = f"{attempt.seconds:.1f} s" if attempt.seconds is not None else "open"
    result = attempt.state
    if attempt.cause:
        status = f"HTTP {attempt.status}, " if attempt.status else ""
        result = f"{attempt.cause}: {status}{short(attempt.message or '', 300)}"
    lane = ""
    if attempt.provider != home or attempt.account:
        lane = f"{attempt.provider}{f'@{attempt.account}' if attempt.account else ''}  "
    request_id = f" [{attempt.request_id}]" if attempt.request_id else ""
    return f"{attempt.started_at:%Y-%m-%d %H:%M:%S} UTC  {took}  {lane}{result}{request_id}"


def _parameters(task: Task) -> str:
    return "".join(f", {name} {value}" for name in _PARAMETERS if (value := getattr(task, name)) is not None)


def csv_rows(lines: Iterable[Mapping[str, Any]], *, copied: bool = False) -> Iterator[list[object]]:
    """Yield the rows of ``export --format csv``: one per file, or one for a job without files.

    ``usd`` is that of the job, in each of its rows; ``usd_share`` can be added up.
    """
    heads = ["id", "batch", "state", "cause", "kind", "provider", "model", "prompt", "attempts", "usd", "credits"]
    of_file = ["path", "sha256", "bytes", "width", "height", "mime", *(["copy"] if copied else [])]
    yield [*heads, *of_file, "usd_share", "credits_share", "sources", "copies"]
    for line in lines:
        sources = _cell([source["path"] or source["url"] for source in line["sources"]])
        for file in line["files"] or [{"usd_share": line["usd"], "credits_share": line["credits"]}]:
            copies = _cell([copy["path"] for copy in line["copies"] if copy["of"] == file.get("path")])
            shares = (file["usd_share"], file["credits_share"])
            yield [*(line[name] for name in heads), *(file.get(name) for name in of_file), *shares, sources, copies]


def _cell(paths: Sequence[str]) -> str:
    """Return paths as one cell: one as it is, several as a JSON list, as lists of images are read."""
    return "".join(paths) if len(paths) < 2 else json.dumps(paths, ensure_ascii=False)


def in_force(project: Project, batch: Batch) -> list[Control]:
    """Return the pauses and limits of the providers of *batch*."""
    from ...app import queries

    return [each for each in queries.active_controls(project) if each.provider in batch.profiles]


def control_lines(project: Project, controls: Iterable[Control]) -> list[str]:
    """Return a line for each, as ``status`` and a plan show them."""
    now = datetime.now(UTC)
    return under("in force", [control_line(control, project.command_flags(), now) for control in controls])


def control_line(control: Control, way: CommandFlags, now: datetime) -> str:
    """Return the pause and the limits of a provider, since when, and how to undo them."""
    from ...app.clock import local_time
    from ...app.live_limits import limits_text

    parts = []
    if control.paused_at is not None:
        age = _age((now - control.paused_at).total_seconds())
        parts.append(
            f"paused since {local_time(control.paused_at)}{age} (batchgen unpause{way.flags} {control.provider})"
        )
    if control.limits:
        age = _age((now - control.said_at).total_seconds()) if control.said_at is not None else ""
        parts.append(f"{limits_text(control.limits)}{age} (batchgen limit{way.flags} {control.provider} --reset)")
    return f"{control.provider}: {'; '.join(parts)}"


def _age(seconds: float) -> str:
    """Return for how long something has been in force, from a minute on."""
    return "" if seconds < 60 else f", for {duration(seconds)}"


def control_documents(controls: Iterable[Control]) -> list[dict[str, Any]]:
    """Return the same for ``--json``."""
    return [
        {
            "provider": control.provider,
            "paused_at": control.paused_at.isoformat() if control.paused_at else None,
            "limits": dict(control.limits),
            "said_at": control.said_at.isoformat() if control.said_at else None,
        }
        for control in controls
    ]
