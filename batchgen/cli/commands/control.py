"""Control of a run from another terminal: pause, unpause, limit, cancel."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ...errors import UsageError
from .. import output
from ..options import Session, batch, command, option, sandbox, selecting, selection
from ..render.format import count
from ..render.runners import holder_documents, runner_documents
from ..render.table import table
from ..render.width import short

if TYPE_CHECKING:
    from ...app.control import CancelReport, ControlState
    from ...app.project import CommandFlags
    from ...files.lock import Holder


@command("pause", "batchgen pause openai", "batchgen unpause openai")
@click.argument("provider")
@sandbox
def pause(session: Session, provider: str) -> int:
    """Send nothing more to a provider, also during a run.

    Requests in flight complete. A run in progress pauses within about a second; later runs keep to it until unpause.
    """
    from ...app import control
    from ...app.clock import local_time

    project = session.project()
    state = control.pause(project, provider)
    earlier = state.control.paused_at and not state.changed
    since = f", since {local_time(state.control.paused_at)}" if state.control.paused_at and earlier else ""
    line = f"{provider}: paused{since}; no new requests, those in flight complete"
    return _report(
        session, state, [line], f"next      {project.command_flags().plain('unpause', shlex.quote(provider))}"
    )


@command("unpause", "batchgen unpause openai")
@click.argument("provider")
@sandbox
def unpause(session: Session, provider: str) -> int:
    """Send to a paused or closed provider again.

    A run closes a provider that is out of money, or refuses the key: fix that first.
    """
    from ...app import control

    state = control.resume(session.project(), provider)
    if state.changed:
        line = "resumed"
    else:
        line = "was not paused; if a run has closed it, it is tried again" if state.holder else "was not paused"
    return _report(session, state, [f"{provider}: {line}"])


@command(
    "limit",
    "batchgen limit openai requests_per_minute=30 concurrency=4",
    "batchgen limit openai requests_per_day=none       removes this limit",
    "batchgen limit openai --reset                     back to the settings",
    "batchgen limit openai                             shows the limits in force",
)
@click.argument("provider")
@click.argument("limits", nargs=-1, metavar="[KEY=VALUE]...")
@option("--reset", is_flag=True, help="Undo everything that limit has set.")
@sandbox
def limit(session: Session, provider: str, limits: tuple[str, ...], reset: bool) -> int:
    """Change how fast a provider is called, also during a run.

    Without KEY=VALUE, the limits in force are shown. Keys: requests_per_second, requests_per_minute,
    images_per_minute, requests_per_day, concurrency, burst, spacing. They override the manifest and the settings, in
    later runs too, until --reset.
    """
    from ...app import control

    state = control.limit(session.project(), provider, limits, reset=reset)
    if session.as_json or limits or reset:
        return _report(session, state, [f"{provider}: {_limits(state)}"])
    for line in _limit_lines(state):
        output.data(line)
    return 0


def _limit_lines(state: ControlState) -> list[str]:
    from ...app.clock import local_time
    from ...app.live_limits import limit_text

    overrides = state.control.limits
    rows = [
        [key, limit_text(value), "limit" if key in overrides else "settings"] for key, value in state.limits.items()
    ]
    lines = table(rows, (state.control.provider, "in force", "set by"), right=(1,))
    if state.control.paused_at:
        lines.append(f"paused since {local_time(state.control.paused_at)}")
    return [*lines, "A manifest overrides the settings, and limit overrides both."]


def _limits(state: ControlState) -> str:
    from ...app.live_limits import limits_text

    return limits_text(state.control.limits) or "limits of the manifest and the settings"


def _report(session: Session, state: ControlState, lines: list[str], *after: str) -> int:
    from ...app.project import command_line, sandbox_runs_alone

    if state.changed or not state.control.silent:
        runs = [f"{each.batch}: process {each.pid} on {each.host}" for each in state.runners]
        runs += [f"process {each.pid} on {each.host}, preparing a run" for each in state.preparing]
        if len(runs) > 1:
            lines.append(f"{len(runs)} runs are in progress ({', '.join(runs)}): takes effect within about a second")
        elif state.holder:
            lines.append(_run(state.holder, "takes effect within about a second"))
        else:
            lines.append("no run is in progress; it applies to the next one")
    if sandbox_runs_alone(session.project()):
        lines.append(f"a sandbox run is in progress; did you mean: {command_line()} --sandbox")
    session.print(_document(state), [*lines, *after], output.say)
    return 0


def _run(holder: Holder, effect: str) -> str:
    return f"a run is in progress (process {holder.pid}: {short(holder.command, 80)}): {effect}"


def _document(state: ControlState) -> dict[str, Any]:
    control = state.control
    return {
        "provider": control.provider,
        "paused_at": control.paused_at.isoformat() if control.paused_at else None,
        "limits": dict(control.limits),
        "in_force": dict(state.limits),
        "changed": state.changed,
        "run": asdict(state.holder) if state.holder else None,
        "runners": runner_documents(state.runners),
        "preparing": holder_documents(state.preparing),
    }


@command(
    "cancel",
    "batchgen cancel --id 'poster-*'",
    "batchgen cancel --provider openai --status pending",
    "batchgen cancel --cause refused",
    "batchgen cancel --submission batch_6a1f     a batch at its provider",
)
@option("--submission", metavar="ID", help="A batch at its provider, by its id there or in batchgen.")
@option("--all", "everything", is_flag=True, help="All jobs that are pending or running.")
@selecting
@batch
@sandbox
def cancel(
    session: Session,
    submission: str | None,
    everything: bool,
    batch: str | None,
    **options: Any,  # noqa: ANN401 - the selection
) -> int:
    """Cancel jobs, also during a run.

    These are the selected jobs that are pending or running; failed and unknown ones only if --status or --cause names
    them. A request in flight completes, is paid for and booked, and an image that arrives completes its job. A task
    that the provider has accepted is cancelled there by the next run. With --submission, the provider is asked to
    cancel a batch: what is done by then is collected; the other jobs are pending again, and the next run buys them.
    """
    from ...app import control

    chosen = selection(options)
    if submission is not None:
        return _cancel_submission(session, batch, submission, alone=chosen.everything and not everything)
    if chosen.everything and not everything:
        raise UsageError("select jobs with --id, --tag, --provider, --status and so on; or add --all")
    project = session.project()
    report = control.cancel(project, batch, chosen)
    document = {
        "batch": report.batch.name,
        "cancelled": list(report.keys),
        "under_way": report.in_flight,
        "late": report.already_ended,
        "at_provider": report.at_provider,
        "run": asdict(report.holder) if report.holder else None,
    }
    session.print(document, _cancel_lines(report, project.command_flags()), output.say)
    return 0


def _cancel_submission(session: Session, batch: str | None, start: str, *, alone: bool) -> int:
    from ...app import submissions

    if not alone:
        raise UsageError("--submission cancels a whole batch: leave out the selection of jobs")
    project = session.project()
    cancelled, manifest = submissions.cancel(project, batch, start)
    document = {"submission": cancelled.id, "provider": cancelled.provider, "remote_id": cancelled.remote_id}
    way = project.command_flags(batch)
    lines = [
        f"{cancelled.provider} was asked to cancel batch {cancelled.remote_id}; this may take some minutes",
        "jobs      those done by then are paid for and collected; the others are pending again: the next run buys them",
        f"next      {way.on_manifest('collect', manifest)}    collects what is done, and buys nothing",
        f"          {way.on_batch('cancel', '--status running')}    so that no job in flight is bought again",
    ]
    session.print(document, lines, output.say)
    return 0


def _cancel_lines(report: CancelReport, way: CommandFlags) -> list[str]:
    lines = [f"{report.batch.name}: {count(len(report.keys), 'job')} cancelled"]
    calls = report.in_flight - min(report.in_flight, report.at_provider)
    if calls:
        requests = count(calls, "request")
        if report.holder:
            lines.append(
                f"{requests} in flight will still be paid for and booked; an image that arrives completes its job"
            )
        else:
            lines.append(f"{requests} of an earlier run may have been paid for: the next run books them")
    if report.tasks:
        run = "the run" if report.holder else "the next run"
        tasks = count(report.tasks, "cancelled job")
        lines.append(f"{tasks} still at the provider: {run} asks it to cancel them, and books what they cost")
    if in_batches := report.at_provider - report.tasks:
        tasks = count(in_batches, "cancelled job")
        them = "it may carry them out, which is paid for; an image that arrives completes its job"
        lines.append(f"{tasks} in a batch at the provider: {them}")
    if report.already_ended:
        lines.append(f"{count(report.already_ended, 'job')} had ended before")
    if report.holder and report.keys:
        lines.append(_run(report.holder, "it drops these jobs when it reaches them"))
    if report.keys:
        command = way.on_manifest("retry", report.batch.manifest, "--status cancelled")
        lines.append(f"next      {command}    requeues them")
    return lines
