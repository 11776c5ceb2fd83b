"""After a run, or while it goes on: status, list, show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ...money import show_credits, show_usd
from .. import output
from ..options import Session, batch, command, selecting, selection
from ..options import sandbox as rehearsal
from ..render.controls import control_documents, control_lines
from .export import job_document

if TYPE_CHECKING:
    from ...job import Job
    from ...store.records import AttemptRecord, Bill


@command("status", "batchgen status", "batchgen status --batch autumn --json | jq .jobs")
@batch
@rehearsal
def status(session: Session, batch: str | None, sandbox: bool) -> int:
    """One screen: how far it is, what it cost, what failed and what to do about it."""
    from ...app import queries
    from ...store import ledger
    from ..render.result import advice, display_path

    project = session.project(sandbox=sandbox)
    found, way = queries.status(project, batch), project.command_flags(batch)
    if session.as_json:
        body = ledger.status_document(found.batch.name, found.counts, found.usage, found.failures)
        output.document(body | {"controls": control_documents(found.controls)})
        return 0
    for line in output.status_lines(
        found.batch.name, found.counts, found.usage, found.failures, cut_off=found.interrupted
    ):
        output.data(line)
    for line in control_lines(project, found.controls):
        output.data(line)
    output.data(f"files     {display_path(found.batch.folder)}")
    if found.holder is not None:
        output.data(f"a run is on (process {found.holder.pid}: {output.short(found.holder.command, 80)})")
    for line in advice(found, way):
        output.data(line)
    return 0


@command("list", "batchgen list --status failed", "batchgen list --status orphaned", "batchgen list runs")
@click.argument("what", type=click.Choice(["jobs", "runs"]), default="jobs")
@selecting
@batch
@rehearsal
def list_(session: Session, what: str, batch: str | None, sandbox: bool, **options: Any) -> int:  # noqa: ANN401 - the selection
    """List jobs (the default) or runs."""
    from ...app import queries

    project, wanted = session.project(sandbox=sandbox), selection(options)
    if what == "runs":
        found, on = queries.runs(project, batch)
        found = found[: wanted.limit]
        if session.as_json:
            output.document(
                [
                    {
                        "id": run.id,
                        "started": run.started_at.isoformat(),
                        "ended": run.ended_at.isoformat() if run.ended_at else None,
                        "exit_code": run.exit_code,
                        "command": run.command,
                    }
                    for run in found
                ]
            )
            return 0
        lines = [
            [run.id, f"{run.started_at:%Y-%m-%d %H:%M:%S}", _ending(run.exit_code, on=run.id == on), run.command]
            for run in found
        ]
        for line in output.table(lines, ("run", "started (UTC)", "ended with", "command")):
            output.data(line)
        return 0
    chosen = queries.jobs(project, batch, wanted, wanted.limit)
    if session.as_json:
        output.document([job_document(job, bill) for job, bill in chosen])
        return 0
    rows = [
        [
            job.key,
            job.state.value,
            job.cause or "",
            bill.provider or job.task.provider,
            bill.attempts,
            output.short(job.task.prompt, 60),
        ]
        for job, bill in chosen
    ]
    for line in output.table(rows, ("id", "state", "cause", "provider", "attempts", "prompt"), right=(4,)):
        output.data(line)
    return 0


@command(
    "show",
    "batchgen show cat",
    "batchgen show cat --as-yaml > cat.yaml     a manifest that makes it again",
    "batchgen show cat --as-curl                the request, for a shell",
)
@click.argument("job")
@click.option("--as-yaml", "form", flag_value="yaml", help="A manifest with this job alone.")
@click.option("--as-curl", "form", flag_value="curl", help="The request as it is sent; the key by its variable.")
@batch
@rehearsal
def show(session: Session, job: str, form: str | None, batch: str | None, sandbox: bool) -> int:
    """One job: what was asked, every attempt with its cause and the provider's words, files, cost."""
    if form is not None:
        from ...app import reproduce

        known = reproduce.find_reproduction(session.project(sandbox=sandbox), batch, job)
        text = reproduce.as_yaml(known.job) if form == "yaml" else output.tame(reproduce.as_curl(known))
        output.raw(text.rstrip("\n"))
        return 0
    from ...app import queries
    from ...store.rows import encode_task

    found, attempts, bill = queries.show(session.project(sandbox=sandbox), batch, job)
    if session.as_json:
        body = job_document(found, bill) | {
            "task": json.loads(encode_task(found.task)),
            "fingerprint": found.fingerprint,
            "tags": list(found.tags),
            "at_risk": {
                "attempts": bill.at_risk,
                "usd": show_usd(bill.at_risk_usd),
                "credits": show_credits(bill.at_risk_credits),
            },
            "attempt_log": [
                {
                    "id": a.id,
                    "provider": a.provider,
                    "account": a.account,
                    "state": a.state,
                    "cause": a.cause,
                    "message": a.message,
                    "code": a.code,
                    "status": a.status,
                    "request_id": a.request_id,
                    "started": a.started_at.isoformat(),
                    "seconds": a.seconds,
                }
                for a in attempts
            ],
        }
        output.document(body)
        return 0
    _tell(found, attempts, bill)
    return 0


def _tell(found: Job, attempts: Sequence[AttemptRecord], bill: Bill) -> None:
    """Print one job for people."""
    from ...planning.overrides import describe, overrides_of

    task = found.task
    output.data(f"{found.key}: {found.state.value}{f' ({found.cause})' if found.cause else ''}")
    output.data(f"prompt    {task.prompt}")
    output.data(f"asked     {task.kind.value} by {task.provider}, {task.model}{_asked(task)}")
    if beside := overrides_of(found.fingerprint):
        output.data(f"with      {describe(beside)}    as a retry said, beside the manifest")
    if found.route is not None:
        output.data(f"or        {', '.join(found.route.others)}")
    for source in (*task.images, *([task.mask] if task.mask else [])):
        output.data(f"from      {source.url or source.path}")
    for file in bill.files:
        output.data(f"file      {file.path}  {file.width}x{file.height}, {file.size_bytes} bytes, sha256 {file.sha256}")
    none = bill.at_risk and bill.usd is None and not bill.credits
    output.data(f"cost      {'nothing is booked' if none else _money(bill.usd, bill.credits)}")
    if bill.at_risk:
        risk = _money(bill.at_risk_usd, bill.at_risk_credits)
        output.data(f"at risk   {risk} for {output.count(bill.at_risk, 'attempt')} that may have been charged")
    for number, attempt in enumerate(attempts, 1):
        took = f"{attempt.seconds:.1f} s" if attempt.seconds is not None else "open"
        answer = f"HTTP {attempt.status}, " if attempt.status else ""
        said = (
            f"{attempt.cause}: {answer}{output.short(attempt.message or '', 300)}" if attempt.cause else attempt.state
        )
        trace = f" [{attempt.request_id}]" if attempt.request_id else ""
        moved = attempt.provider != found.task.provider or attempt.account
        who = f"{attempt.provider}{f'@{attempt.account}' if attempt.account else ''}  " if moved else ""
        output.data(f"attempt {number} {attempt.started_at:%Y-%m-%d %H:%M:%S} UTC  {took}  {who}{said}{trace}")


def _money(usd: int | None, credits_: int | None) -> str:
    return output.usd(usd) + (f", {show_credits(credits_)} credits" if credits_ else "")


def _asked(task: Any) -> str:  # noqa: ANN401 - a Task; importing it here would slow --help
    names = ("size", "quality", "resolution", "background", "output_format", "output_compression", "moderation", "seed")
    return "".join(f", {name} {value}" for name in names if (value := getattr(task, name)) is not None)


def _ending(exit_code: int | None, *, on: bool) -> str:
    return str(exit_code) if exit_code is not None else "still running" if on else "cut off"
