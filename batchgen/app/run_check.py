"""Whether a run of a manifest would start and finish now: the checks of a run, in its order. Asks no provider."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..budget import Budget
from ..errors import BatchgenError, ExitCode
from ..manifest import Batch
from ..money import format_usd, show_credits
from ..object_url import ObjectUrl
from ..planning.estimate import ProviderEstimate
from ..planning.plan import Plan
from ..store import migrate, run_lock
from ..task import Basis, Charge
from . import queries
from .budgets import require_prices, used_budgets
from .clock import local_time, utc_now
from .config import settings
from .config.keys import load_keys
from .doctor import error_findings, examine_folder
from .finding import Finding
from .plan import plan as make_plan
from .plan import read_manifest
from .project import CommandFlags, Project, open_reader
from .store_check import examine_store


def examine_run(project: Project, manifest: Path) -> Iterator[Finding]:
    """Yield what a run of *manifest* would meet; only the first thing that ends it has an exit code."""
    ended = False
    for finding in _findings(project, manifest):
        yield replace(finding, verdict="note", code=0) if ended and finding.code else finding
        ended = ended or finding.code != 0


def shared_budgets(project: Project) -> Iterator[Finding]:
    """Yield the budgets of ``batchgen.yaml`` with what is spent of them; one that is used up ends every run."""
    limits = settings.shared_budget(project.root)
    if not limits:
        return
    if migrate.revision(project.db) is None:
        budgets = list(used_budgets(limits, None, None, utc_now()))
    else:
        with open_reader(project) as reader:
            budgets = list(used_budgets(limits, reader, None, utc_now()))
    yield from (_budget(budget, project.command_flags()) for budget in budgets)


def _findings(project: Project, manifest: Path) -> Iterator[Finding]:
    try:
        batch = read_manifest(project, manifest)
        if holder := run_lock.holder(project.db, batch.name):
            says = f"a run is in progress: process {holder.pid} on {holder.host}; a second one would end at once"
            yield Finding("run", says, "bad", ExitCode.LOCKED)
        plan = make_plan(project, batch)
    except BatchgenError as error:
        yield from error_findings("manifest", error, set())
        return
    if not _is_known(project, batch):
        folder = batch.folder
        yield from (
            examine_store(project, folder, manifest) if isinstance(folder, ObjectUrl) else [examine_folder(folder)]
        )
    waiting = f"{_count(plan.requests, 'request')} to send" if plan.lanes else "nothing to send"
    yield Finding("manifest", f"{batch.name}: {_count(plan.total, 'job')}, {waiting}")
    if plan.lanes:
        yield from _keys(project, batch, plan)
        try:
            require_prices(batch, plan, None)
        except BatchgenError as error:
            yield from error_findings("budget", error, set())
        yield from (_budget(budget, project.command_flags(), plan.lanes) for budget in plan.budgets)
        yield from _pauses(project, plan)
    yield from _unfinished(plan, project.command_flags(batch.name), manifest)


def _is_known(project: Project, batch: Batch) -> bool:
    """Return whether the job database has this output folder, so that it has been examined with the others."""
    if migrate.revision(project.db) != migrate.HEAD:
        return False
    with open_reader(project) as reader:
        return str(batch.folder) in {known.folder for known in reader.batches()}


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _unfinished(plan: Plan, flags: CommandFlags, manifest: Path) -> Iterator[Finding]:
    """Yield the jobs that ended without an image: every run reports them until they are retried or dropped."""
    commands = {
        "failed": flags.on_manifest("retry", manifest),
        "unknown": flags.on_batch("unknown list"),
    }
    for state, command in commands.items():
        if number := getattr(plan, state):
            yield Finding("run", f"{number:,} {state}: {command}", "bad", ExitCode.JOBS_FAILED)
    if plan.waiting:
        names = ", ".join(plan.waits_for[:3])
        yield Finding("run", f"{plan.waiting:,} waiting for jobs that ended: {names}", "bad", ExitCode.JOBS_FAILED)
    if plan.skipped:
        reasons = "; ".join(plan.skipped.reasons[:3])
        yield Finding("run", f"{plan.skipped.count:,} skipped: {reasons}", "bad", ExitCode.JOBS_FAILED)


def _keys(project: Project, batch: Batch, plan: Plan) -> Iterator[Finding]:
    if project.sandbox:
        return
    try:
        load_keys(batch.profiles, [lane.provider for lane in plan.lanes], [])
    except BatchgenError as error:
        missing = [line for line in str(error).splitlines() if not line.startswith("Nothing was sent")]
        yield from (Finding("key", line, "bad", error.exit_code) for line in missing)


def _budget(budget: Budget, flags: CommandFlags, lanes: Sequence[ProviderEstimate] = ()) -> Finding:
    """Return how much of a budget is used; one that allows no further call ends a run."""
    limit = budget.limit
    parts = [] if limit.usd is None else [f"{format_usd(budget.usd)} of {format_usd(limit.usd)}"]
    parts += [
        f"{show_credits(budget.credits.get(name, 0))} of {show_credits(most)} credits at {name}"
        for name, most in limit.credits.items()
    ]
    text = f"{limit.scope}: {', '.join(parts)}"
    refused = [reason for lane in lanes if (reason := _refusal(budget, lane))]
    if not refused and not (limit.usd is not None and budget.usd >= limit.usd):
        return Finding("budget", text)
    reason = refused[0] if refused else budget.why_refused("", Charge(usd=0, credits=0, basis=Basis.ESTIMATED))
    file, _, line = limit.place.rpartition(":")
    hint = f"; to raise it: {limit.setting} at {flags.manifest(file)}:{line}" if file else ""
    return Finding("budget", f"{text}; {reason}{hint}", "bad", ExitCode.OUT_OF_MONEY)


def _refusal(budget: Budget, lane: ProviderEstimate) -> str | None:
    """Return why a budget would refuse the next call of a lane, at the average of its estimates; None if it fits."""
    usd, points = lane.usd.high, lane.credits.high
    call = Charge(
        usd=None if usd is None else usd // max(1, lane.requests - lane.unpriced),
        credits=None if points is None else points // max(1, lane.requests),
        basis=Basis.ESTIMATED,
    )
    return None if budget.allows(lane.provider, call) else budget.why_refused(lane.provider, call)


def _pauses(project: Project, plan: Plan) -> Iterator[Finding]:
    used = {lane.provider for lane in plan.lanes}
    for each in queries.active_controls(project):
        if each.paused_at is not None and each.provider in used:
            command = project.command_flags().plain("unpause", each.provider)
            says = f"{each.provider} has been paused since {local_time(each.paused_at)}: {command}"
            yield Finding("pause", says, "bad", ExitCode.STOPPED)
