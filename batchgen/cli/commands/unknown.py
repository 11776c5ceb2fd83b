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
)
def unknown() -> None:
    """Settle jobs that may have been bought: list, retry, drop or adopt."""


@command("list", "batchgen unknown list", "batchgen unknown list --provider openai")
@selecting
@batch
@sandbox
def list_(session: Session, batch: str | None, **options: Any) -> int:  # noqa: ANN401 - the selection
    """List unknown jobs, with what to look for in the provider's log."""
    from ...app import unknown as use_case

    project = session.project()
    found, jobs = use_case.list_unknown(project, batch, _unknown_only(options))
    heads = ("id", "provider", "sent (UTC)", "may have cost", "request id", "why unknown")
    fit = Fit(least={0: 12, 5: 16}, names=(0,), wrap=(5,), drop=(2, 1))
    lines = table([_row(job, attempt) for job, attempt in jobs], heads, right=(3,), fit=fit) if jobs else []
    documents = [_document(job, attempt) for job, attempt in jobs]
    session.print({"batch": found.name, "unknown": documents}, lines)
    if not session.as_json:
        steps = _choices(found, jobs[0][0].key, project.command_flags(batch)) if jobs else []
        for line in steps or [f"{found.name}: no job is unknown"]:
            output.say(line)
    return 0


def _row(job: Job, attempt: UnknownAttempt | None) -> list[str]:
    sent = f"{attempt.started_at:%Y-%m-%d %H:%M:%S}" if attempt else ""
    return [job.key, job.task.provider, sent, _cost(attempt), _request_id(attempt), job.message or ""]


def _cost(attempt: UnknownAttempt | None) -> str:
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
        "request_id": attempt.request_id if attempt else None,
        "attempt": attempt.attempt_id if attempt else None,
        "message": job.message,
        "hint": _hint(job, attempt),
    }


def _choices(found: Batch, key: str, way: CommandFlags) -> list[str]:
    flag, key = way.of_batch, shlex.quote(key)
    steps = command_lines(
        (
            (f"batchgen unknown adopt{flag} {key} FILE", "the image exists: you downloaded it from the provider"),
            (f"batchgen unknown retry{flag} --id {key}", "buys it again"),
            (
                f"batchgen unknown drop{flag} --id {key}",
                "cancels it (--not-charged: the provider did not charge for it)",
            ),
        )
    )
    return [*steps, f"{'':<10}the provider's log shows which; without --id, retry and drop take all of {found.name}"]


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
        way = project.command_flags()
        lines.append(f"next      batchgen run {way.manifest(found.manifest)}{way.flags}")
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

    found, jobs = use_case.drop(session.project(), batch, _unknown_only(options), free=not_charged)
    booked = "booked as not charged" if not_charged else "what they may have cost stays in the ledger, at risk"
    line = f"{found.name}: {count(len(jobs), 'job')} cancelled" + (f"; {booked}" if jobs else "")
    session.print({"batch": found.name, "cancelled": [job.key for job in jobs]}, [line], output.say)
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


for subcommand in (list_, retry, drop, adopt):
    unknown.add_command(subcommand)


def _unknown_only(options: dict[str, Any]) -> Selection:
    chosen = selection(options)
    if set(chosen.states) - {"unknown"}:
        raise UsageError("these commands are about unknown jobs; leave out --status")
    return replace(chosen, states=())
