"""The status of a batch and its runs, as lines and as JSON."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .figures import budget_line, worker_parts
from .format import count, credits_, duration, under, usd
from .table import Fit, table
from .width import short

if TYPE_CHECKING:
    from ...app.project import CommandFlags
    from ...app.queries import BatchStatus
    from ...store.ledger import Calls, Counts, Failure, UsageLine
    from ...store.records import Run

#: The state of jobs whose remote task, or submission, has not ended.
AT_PROVIDER = "at the provider"


def status_lines(
    batch: str,
    counts: Counts,
    usage: Sequence[UsageLine],
    failures: Sequence[Failure],
    flags: CommandFlags,
    *,
    cut_off: int = 0,
    at_provider: int = 0,
) -> list[str]:
    """Return the screen of ``status``.

    *cut_off*: running jobs are those that a run was cut off with; *at_provider*: so many of them are at the provider.
    """
    numbers = {
        "done": counts.done,
        AT_PROVIDER: at_provider,
        "in flight when a run was cut off" if cut_off else "running": counts.running - at_provider,
        **{state: getattr(counts, state) for state in ("pending", "failed", "unknown", "cancelled")},
    }
    states = [f"{number:,} {state}" for state, number in numbers.items() if number]
    lines = [
        f"{batch}: {count(counts.total, 'job')}: {', '.join(states) or 'none'}",
        f"images    {counts.images:,}",
        *money_lines(usage),
    ]
    if counts.orphaned:
        hint = f"no longer in the manifest; their files stay ({flags.on_batch('list', '--status orphaned')})"
        lines.append(f"orphaned  {count(counts.orphaned, 'job')} {hint}")
    return lines + failure_lines(failures)


def at_provider_lines(jobs: int, *, is_running: bool = False, is_held: bool = False) -> list[str]:
    """Return how many jobs the provider has accepted and not finished, and which run collects them.

    *is_held*: the last run could not collect some of them; its advice states why.
    """
    if not jobs:
        return []
    are, them, none = ("is", "it", "does not send it") if jobs == 1 else ("are", "them", "sends none")
    run = "the run in progress" if is_running else "the next run"
    if is_held:
        return [f"waiting   {count(jobs, 'job')} {are} {AT_PROVIDER}; {run} {none} again"]
    return [f"waiting   {count(jobs, 'job')} {are} {AT_PROVIDER}; {run} collects {them}, and {none} again"]


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


def waiting_lines(status: BatchStatus, flags: CommandFlags) -> list[str]:
    """Return the pending jobs that wait for others, by the first that ended without an image."""
    stuck = [job for job in status.waiting if job.ended is not None]
    others = len(status.waiting) - len(stuck)
    lines = []
    if stuck:
        first = stuck[0]
        number = len({job.ended for job in stuck}) - 1
        more = f" and {number:,} more" if number else ""
        chosen = f"--id {shlex.quote(first.ended or '')} --status {first.state}"
        command = flags.on_manifest("retry", status.batch.manifest, chosen)
        lines.append(f"{count(len(stuck), 'job')} for {short(first.ended or '', 40)} ({first.state}){more}: {command}")
    if others:
        example = next(job for job in status.waiting if job.ended is None)
        lines.append(f"{count(others, 'job')} for others to be done, such as {example.key} for {example.parent}")
    return under("waiting", lines)


def failure_lines(failures: Sequence[Failure]) -> list[str]:
    """Return the failures by cause, each with an example."""
    lines = []
    for number, failure in enumerate(failures):
        head = "failed    " if number == 0 else "          "
        example = f"{'such as ' if failure.count > 1 else 'job '}{short(failure.key, 40)}"
        lines.append(f"{head}{failure.count:,} {failure.cause}, {example}: {short(failure.message, 100)}")
    return lines


def call_lines(calls: Sequence[Calls]) -> list[str]:
    """Return how the requests to each provider ended, and for which provider it was the fallback."""
    ends: dict[str, list[str]] = {}
    for call in calls:
        home = f" for {call.home}" if call.home != call.provider else ""
        ends.setdefault(call.provider, []).append(f"{call.count:,} {call.outcome}{home}")
    return [
        f"{'' if number else 'calls':<10}{provider}: {', '.join(texts)}"
        for number, (provider, texts) in enumerate(ends.items())
    ]


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
        workers = worker_parts(report.workers)
        return [
            f"{text}; {way.on_batch('watch')} follows it",
            *under("workers", workers),
            *under("budget", budgets),
        ]
    if run is None:
        return []
    part = f"shard {report.shard.part} " if report.shard else ""
    others = [f"shard {other} {_ending(each)}" for other, each in report.shards.items()]
    if run.ended_at is None:
        return under("last run", [f"{part}{_ending(run)}", *others])
    meaning = f": {report.ending.meaning}" if report.ending and report.ending.meaning else ""
    lines = [f"{part}{_ending(run)}{meaning}"]
    lines += [f"stopped by {short(stop, 160)}" for stop in (report.ending.stops if report.ending else ())]
    when = f"the budgets when {part}ended" if part else "its budgets at that time"
    lines += [f"{when}: {'; '.join(budgets)}"] if budgets else []
    return under("last run", [*lines, *others])


def _ending(run: Run) -> str:
    """Return when a run ended, and with what."""
    if run.ended_at is None:
        return f"began {local(run.started_at)} and was cut off: killed, or this machine stopped"
    took = duration((run.ended_at - run.started_at).total_seconds())
    return f"ended {local(run.ended_at)} after {took} with exit code {run.exit_code}"


def run_document(report: BatchStatus) -> dict[str, Any] | None:
    """Return the latest run for ``status --json``."""
    run, ending = report.run, report.ending
    if run is None:
        return None
    return run_documents([run])[0] | {
        "exit_words": ending.meaning if ending else None,
        "stopped_by": list(ending.stops) if ending else [],
        "budgets": [budget.as_json() for budget in report.budgets],
        "workers": [asdict(worker) for worker in report.workers],
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
