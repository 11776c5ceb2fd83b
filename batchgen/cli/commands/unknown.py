"""Setting right: jobs in doubt (unknown), files that are gone or damaged (verify)."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import UsageError
from ...money import show_credits, show_usd
from .. import output
from ..options import Session, batch, command, group, selecting, selection
from ..options import sandbox as rehearsal

if TYPE_CHECKING:
    from ...app.project import CommandFlags
    from ...app.verify import VerifyReport
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
    """Jobs that may have been bought and nobody knows: list them, and say what shall become of them."""


@command("list", "batchgen unknown list", "batchgen unknown list --provider openai")
@selecting
@batch
@rehearsal
def list_(session: Session, batch: str | None, sandbox: bool, **options: Any) -> int:  # noqa: ANN401 - the selection
    """List the jobs in doubt: when, what it may have cost, what to look for in the provider's own log."""
    from ...app import unknown

    project = session.project(sandbox=sandbox)
    found, jobs = unknown.list_unknown(project, batch, _doubtful(options))
    if session.as_json:
        lines = [_document(job, doubt) for job, doubt in jobs]
        output.document({"schema_version": 1, "batch": found.name, "unknown": lines})
        return 0
    if not jobs:
        output.say(f"{found.name}: no job is unknown")
        return 0
    heads = ("id", "provider", "sent (UTC)", "may have cost", "request id", "what is known")
    for line in output.table([_row(job, doubt) for job, doubt in jobs], heads, right=(3,)):
        output.data(line)
    for line in _choices(found, jobs[0][0].key, project.command_flags(batch)):
        output.say(line)
    return 0


def _row(job: Job, doubt: UnknownAttempt | None) -> list[str]:
    when = f"{doubt.started_at:%Y-%m-%d %H:%M:%S}" if doubt else ""
    return [job.key, job.task.provider, when, _cost(doubt), _trace(doubt), output.short(job.message or "", 60)]


def _cost(doubt: UnknownAttempt | None) -> str:
    if doubt is None or (doubt.usd is None and doubt.credits is None):
        return "unknown"
    parts = [output.usd(doubt.usd)] if doubt.usd is not None else []
    parts += [f"{show_credits(doubt.credits)} credits"] if doubt.credits else []
    return ", ".join(parts)


def _trace(doubt: UnknownAttempt | None) -> str:
    return "" if doubt is None else doubt.request_id or doubt.attempt_id


def _hint(job: Job, doubt: UnknownAttempt | None) -> str:
    when = f" near {doubt.started_at:%Y-%m-%d %H:%M:%S} UTC" if doubt else ""
    return f"look for it in {job.task.provider}'s own log{when}; batchgen sent the request id {_trace(doubt)}"


def _document(job: Job, doubt: UnknownAttempt | None) -> dict[str, Any]:
    return {
        "id": job.key,
        "provider": job.task.provider,
        "model": job.task.model,
        "at": doubt.started_at.isoformat() if doubt else None,
        "may_have_cost": {
            "usd": show_usd(doubt.usd) if doubt else None,
            "credits": show_credits(doubt.credits) if doubt else None,
        },
        "request_id": doubt.request_id if doubt else None,
        "attempt": doubt.attempt_id if doubt else None,
        "message": job.message,
        "hint": _hint(job, doubt),
    }


def _choices(found: Batch, key: str, way: CommandFlags) -> list[str]:
    flag, key = way.of_batch, shlex.quote(key)
    said = (
        (f"batchgen unknown adopt{flag} {key} FILE", "the image is there: you fetched it from the provider"),
        (f"batchgen unknown retry{flag} --id {key}", "buy it again"),
        (f"batchgen unknown drop{flag} --id {key}", "give it up (--not-charged: the provider says it cost nothing)"),
    )
    width = max(len(what) for what, _ in said)
    lines = [f"{'next' if not number else '':<10}{what:<{width}}    {why}" for number, (what, why) in enumerate(said)]
    return [
        *lines,
        f"{'':<10}the provider's own log tells which; without --id, retry and drop take all of {found.name}",
    ]


@command("retry", "batchgen unknown retry --id poster", "batchgen unknown retry --provider openai")
@selecting
@batch
@rehearsal
def retry(session: Session, batch: str | None, sandbox: bool, **options: Any) -> int:  # noqa: ANN401 - the selection
    """Put jobs in doubt back to pending: all, or those selected.  What they may have cost stays in the ledger."""
    from ...app import unknown

    project = session.project(sandbox=sandbox)
    found, jobs = unknown.requeue(project, batch, _doubtful(options))
    if session.as_json:
        output.document({"schema_version": 1, "batch": found.name, "requeued": [job.key for job in jobs]})
        return 0
    output.say(f"{found.name}: {output.count(len(jobs), 'job')} pending again")
    if jobs:
        way = project.command_flags()
        output.say(f"next      batchgen run {way.manifest(found.manifest)}{way.flags}")
    return 0


@command("drop", "batchgen unknown drop --id poster", "batchgen unknown drop --id poster --not-charged")
@click.option("--not-charged", is_flag=True, help="The provider says that these calls cost nothing: book them so.")
@selecting
@batch
@rehearsal
def drop(session: Session, not_charged: bool, batch: str | None, sandbox: bool, **options: Any) -> int:  # noqa: ANN401 - the selection
    """Give up jobs in doubt, all or those selected: they are cancelled."""
    from ...app import unknown

    found, jobs = unknown.drop(session.project(sandbox=sandbox), batch, _doubtful(options), free=not_charged)
    if session.as_json:
        output.document({"schema_version": 1, "batch": found.name, "cancelled": [job.key for job in jobs]})
        return 0
    booked = "booked as not charged" if not_charged else "what they may have cost stays in the ledger, at risk"
    output.say(f"{found.name}: {output.count(len(jobs), 'job')} cancelled" + (f"; {booked}" if jobs else ""))
    return 0


@command("adopt", "batchgen unknown adopt poster Downloads/poster.png")
@click.argument("job")
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@batch
@rehearsal
def adopt(session: Session, job: str, file: Path, batch: str | None, sandbox: bool) -> int:
    """Take FILE in as the image of JOB: you fetched it from the provider, where it had been made after all.

    It is checked like any other, gets the job's name and a sidecar, and its call is booked at its estimate.
    """
    from ...app import unknown

    after, artifact = unknown.adopt(session.project(sandbox=sandbox), batch, job, file)
    if session.as_json:
        facts = {"path": artifact.path, "sha256": artifact.sha256, "bytes": artifact.size_bytes}
        output.document({"schema_version": 1, "id": after.key, "state": after.state.value, "file": facts})
        return 0
    lacks = f"; {output.count(after.wanted - after.delivered, 'image')} still lacking" if after.state != "done" else ""
    output.say(f"{after.key}: {after.state.value}, {artifact.path} ({artifact.width}x{artifact.height}){lacks}")
    return 0


for _each in (list_, retry, drop, adopt):
    unknown.add_command(_each)


def _doubtful(options: dict[str, Any]) -> Selection:
    chosen = selection(options)
    if set(chosen.states) - {"unknown"}:
        raise UsageError("these commands are about jobs that are unknown; leave --status out")
    return replace(chosen, states=())


@command("verify", "batchgen verify", "batchgen verify --deep --requeue     puts back what is damaged")
@click.option("--deep", is_flag=True, help="Decode every image as well.")
@click.option("--requeue", is_flag=True, help="Put jobs back whose files are gone or damaged; a run makes them again.")
@selecting
@batch
@rehearsal
def verify(session: Session, deep: bool, requeue: bool, batch: str | None, sandbox: bool, **options: Any) -> int:  # noqa: ANN401 - the selection
    """Hold every delivered file against its size and hash.  Ends with 3 where one is gone or damaged."""
    from ...app import verify

    look = verify.requeue if requeue else verify.verify
    project = session.project(sandbox=sandbox)
    seen = look(project, batch, selection(options), deep=deep)
    if session.as_json:
        output.document(_verified(seen))
        return 3 if seen.problems else 0
    for line in output.table([[f.what, f.key, f.path, f.detail] for f in seen.problems], ("what", "job", "file", "")):
        if seen.problems:
            output.data(line)
    wrong = f"{len(seen.problems)} not as delivered" if seen.problems else "all as delivered"
    output.say(f"{seen.batch.name}: {output.count(seen.checked, 'file')} checked, {wrong}")
    for line in _after(seen, project.command_flags(batch), requeue=requeue):
        output.say(line)
    return 3 if seen.problems else 0


def _after(seen: VerifyReport, way: CommandFlags, *, requeue: bool) -> list[str]:
    if not seen.problems:
        return []
    if not requeue:
        return [
            f"next      batchgen verify{way.of_batch} --requeue    puts those jobs back; a run then buys them again"
        ]
    again = f"next      batchgen run {way.manifest(seen.batch.manifest)}{way.flags}"
    return [f"{output.count(len(seen.requeued), 'job')} pending again", *([again] if seen.requeued else [])]


def _verified(seen: VerifyReport) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "batch": seen.batch.name,
        "checked": seen.checked,
        "wrong": len(seen.problems),
        "files": [{"id": f.key, "path": f.path, "what": f.what, "detail": f.detail} for f in seen.problems],
        "requeued": list(seen.requeued),
    }
