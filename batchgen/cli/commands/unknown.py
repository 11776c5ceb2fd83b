"""The unknown command: jobs that may have been bought."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import UsageError
from ...money import show_credits, show_usd
from .. import output
from ..options import EXISTING_FILE, Session, batch, command, group, option, sandbox, selecting, selection
from ..params import CREDITS, USD
from ..render.at_risk import booked_document, booked_lines, risk_document, risk_lines, settling
from ..render.format import command_lines, count, usd
from ..render.table import Fit, table

if TYPE_CHECKING:
    from ...app.project import CommandFlags
    from ...job import Job
    from ...planning.selection import Selection
    from ...store.records import Batch, UnknownAttempt


@group(
    "unknown",
    "batchgen unknown list",
    "batchgen unknown retry --id poster",
    "batchgen unknown adopt poster Downloads/poster.png",
    "batchgen unknown settle poster --not-charged",
    default="list",
)
def unknown() -> None:
    """Settle calls that may have been charged: list, retry, drop, adopt or settle."""


@command("list", "batchgen unknown list", "batchgen unknown list --provider openai")
@selecting
@batch
@sandbox
def list_(session: Session, batch: str | None, **options: Any) -> int:  # noqa: ANN401 - the selection
    """List unknown jobs, with what to look for in the provider's log.

    Also the requests of other jobs that may have been charged: bought again since, failed or cancelled.
    """
    from ...app import at_risk
    from ...app import unknown as use_case

    project, chosen = session.project(), _unknown_only(options)
    found, jobs = use_case.list_unknown(project, batch, chosen)
    risky = at_risk.list_at_risk(project, batch, chosen)
    heads = ("id", "provider", "sent (UTC)", "may have cost", "request id", "why unknown")
    fit = Fit(least={0: 12, 5: 16}, names=(0,), wrap=(5,), drop=(2, 1))
    lines = table([_row(job, attempt) for job, attempt in jobs], heads, right=(3,), fit=fit) if jobs else []
    others = [attempt for attempt in risky if attempt.state != "unknown"]
    lines += [*([""] if lines and others else []), *risk_lines(others)]
    documents = [_document(job, attempt) for job, attempt in jobs]
    session.print(
        {"batch": found.name, "unknown": documents, "at_risk": [risk_document(each) for each in risky]}, lines
    )
    if not session.as_json:
        way = project.command_flags(batch)
        steps = _choices(found, jobs[0][0].key, way) if jobs else []
        steps += settling(others[0].key, way) if others else []
        for line in steps or [f"{found.name}: no job is unknown"]:
            output.say(line)
    return 0


def _row(job: Job, attempt: UnknownAttempt | None) -> list[str]:
    sent = f"{attempt.started_at:%Y-%m-%d %H:%M:%S}" if attempt else ""
    return [job.key, job.task.provider, sent, _cost(attempt), _request_id(attempt), job.message or ""]


def _cost(attempt: UnknownAttempt | None) -> str:
    if attempt is not None and not attempt.at_risk:
        return "settled"
    if attempt is None or (attempt.usd is None and attempt.credits is None):
        return "unknown"
    parts = [usd(attempt.usd)] if attempt.usd is not None else []
    parts += [f"{show_credits(attempt.credits)} credits"] if attempt.credits else []
    return ", ".join(parts)


def _request_id(attempt: UnknownAttempt | None) -> str:
    return "" if attempt is None else attempt.request_id or attempt.attempt_id


def _hint(job: Job, attempt: UnknownAttempt | None) -> str:
    near = f" near {attempt.started_at:%Y-%m-%d %H:%M:%S} UTC" if attempt else ""
    return f"look in the log of {job.task.provider}{near}; the request id was {_request_id(attempt)}"


def _document(job: Job, attempt: UnknownAttempt | None) -> dict[str, Any]:
    return {
        "id": job.key,
        "provider": job.task.provider,
        "model": job.task.model,
        "at": attempt.started_at.isoformat() if attempt else None,
        "may_have_cost": {
            "usd": show_usd(attempt.usd) if attempt else None,
            "credits": show_credits(attempt.credits) if attempt else None,
        },
        "settled": attempt is not None and not attempt.at_risk,
        "request_id": attempt.request_id if attempt else None,
        "attempt": attempt.attempt_id if attempt else None,
        "message": job.message,
        "hint": _hint(job, attempt),
    }


def _choices(found: Batch, key: str, way: CommandFlags) -> list[str]:
    steps = _choices_of_job(key, way)
    return [*steps, f"{'':<10}the provider's log shows which; without --id, retry and drop take all of {found.name}"]


def _choices_of_job(key: str, way: CommandFlags) -> list[str]:
    key = shlex.quote(key)
    return command_lines(
        (
            (way.on_batch("unknown adopt", f"{key} FILE"), "the image exists: you downloaded it from the provider"),
            (way.on_batch("unknown retry", f"--id {key}"), "buys it again"),
            (
                way.on_batch("unknown drop", f"--id {key}"),
                "cancels it (--not-charged: the provider did not charge for it)",
            ),
        )
    )


@command("retry", "batchgen unknown retry --id poster", "batchgen unknown retry --provider openai")
@selecting
@batch
@sandbox
def retry(session: Session, batch: str | None, **options: Any) -> int:  # noqa: ANN401 - the selection
    """Requeue unknown jobs; a run then buys them again.

    All, or the selected ones. What they may have cost stays in the ledger.
    """
    from ...app import unknown as use_case

    project = session.project()
    found, jobs = use_case.requeue(project, batch, _unknown_only(options))
    lines = [f"{found.name}: {count(len(jobs), 'job')} pending again"]
    if jobs:
        lines.append(f"next      {project.command_flags().on_manifest('run', found.manifest)}")
    session.print({"batch": found.name, "requeued": [job.key for job in jobs]}, lines, output.say)
    return 0


@command("drop", "batchgen unknown drop --id poster", "batchgen unknown drop --id poster --not-charged")
@option("--not-charged", is_flag=True, help="Book these requests at no cost: the provider did not charge for them.")
@selecting
@batch
@sandbox
def drop(session: Session, not_charged: bool, batch: str | None, **options: Any) -> int:  # noqa: ANN401 - the selection
    """Cancel unknown jobs: all, or the selected ones."""
    from ...app import unknown as use_case

    project = session.project()
    found, jobs, risky = use_case.drop(project, batch, _unknown_only(options), free=not_charged)
    booked = "booked as not charged" if not_charged else "what they may have cost stays in the ledger, at risk"
    notes = [booked] if risky else []
    notes += ["what was settled stays as it was booked"] if len(risky) < len(jobs) else []
    lines = ["; ".join([f"{found.name}: {count(len(jobs), 'job')} cancelled", *notes])]
    lines += settling(risky[0].key, project.command_flags(batch)) if risky and not not_charged else []
    session.print({"batch": found.name, "cancelled": [job.key for job in jobs]}, lines, output.say)
    return 0


@command("adopt", "batchgen unknown adopt poster Downloads/poster.png")
@click.argument("job")
@click.argument("file", type=EXISTING_FILE)
@batch
@sandbox
def adopt(session: Session, job: str, file: Path, batch: str | None) -> int:
    """Deliver FILE as the image of JOB.

    For an image that the provider had made after all, and that you downloaded there.
    It is checked like any other image, and gets the job's file name and a sidecar. The request is booked at its
    estimate.
    """
    from ...app import unknown as use_case

    after, artifact = use_case.adopt(session.project(), batch, job, file)
    missing = f"; {count(after.wanted - after.delivered, 'image')} still missing" if after.state != "done" else ""
    line = f"{after.key}: {after.state.value}, {artifact.path} ({artifact.width}x{artifact.height}){missing}"
    file_facts = {"path": artifact.path, "sha256": artifact.sha256, "bytes": artifact.size_bytes}
    session.print({"id": after.key, "state": after.state.value, "file": file_facts}, [line], output.say)
    return 0


@command("settle", "batchgen unknown settle poster --charged 0.02", "batchgen unknown settle poster --not-charged")
@click.argument("job")
@option("--charged", type=USD, help="What the provider charged for the request, by its records.")
@option("--credits", "credits_", type=CREDITS, help="The same in the provider's credits.")
@option("--not-charged", is_flag=True, help="The provider did not charge for the request.")
@option("--attempt", metavar="ID", help="Which of several requests; the start of its id. Also corrects a settled one.")
@option("--all", "every", is_flag=True, help="All requests of the job that are at risk, each charged alike.")
@batch
@sandbox
def settle(
    session: Session,
    *,
    job: str,
    charged: int | None,
    credits_: int | None,
    not_charged: bool,
    attempt: str | None,
    every: bool,
    batch: str | None,
) -> int:
    """Book what a request of JOB that is at risk really cost.

    The amount is taken from the provider's log or invoice, and counts as reported. Budgets count it from the next run
    on. The job stays as it is: an unknown one waits for retry, drop or adopt.
    """
    from ...app import at_risk

    if not_charged == (charged is not None or credits_ is not None):
        raise UsageError("give what the provider's records show: --charged USD (or --credits N), or --not-charged")
    if attempt is not None and every:
        raise UsageError("--attempt names one request and --all takes every one: leave one of them out")
    project, finding = session.project(), at_risk.Finding(usd=charged, credits=credits_)
    found, charges = at_risk.settle(project, batch, job, finding, attempt=attempt, every=every)
    lines = [*booked_lines(found.key, charges)]
    if found.state == "unknown":
        lines += _choices_of_job(found.key, project.command_flags(batch))
    document = {"id": found.key, "state": found.state.value, "settled": [booked_document(*each) for each in charges]}
    session.print(document, lines, output.say)
    return 0


for subcommand in (list_, retry, drop, adopt, settle):
    unknown.add_command(subcommand)


def _unknown_only(options: dict[str, Any]) -> Selection:
    chosen = selection(options)
    if set(chosen.states) - {"unknown"}:
        raise UsageError("these commands are about unknown jobs; leave out --status")
    return replace(chosen, states=())
