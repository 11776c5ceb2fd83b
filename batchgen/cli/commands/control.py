"""Steering a run from another terminal: pause, unpause, limit, cancel."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ...errors import UsageError
from .. import output
from ..options import Session, batch, command, selecting, selection
from ..options import sandbox as rehearsal

if TYPE_CHECKING:
    from ...app.control import CancelReport, ControlState
    from ...app.project import CommandFlags
    from ...files.lock import Holder


@command(
    "pause",
    "batchgen pause openai",
    "batchgen unpause openai",
)
@click.argument("provider")
@rehearsal
def pause(session: Session, provider: str, sandbox: bool) -> int:
    """Send nothing more to PROVIDER until unpause; calls under way end.

    Holds for a run that is on, within about a second, and for those that start later.
    """
    from ...app import control
    from ...app.clock import local_time

    project = session.project(sandbox=sandbox)
    said = control.pause(project, provider)
    since = f", since {local_time(said.control.paused_at)}" if said.control.paused_at and not said.changed else ""
    what = f"{provider}: paused{since}; no new calls, those under way end"
    return _tell(
        session, said, [what], f"next      batchgen unpause{project.command_flags().flags} {shlex.quote(provider)}"
    )


@command("unpause", "batchgen unpause openai")
@click.argument("provider")
@rehearsal
def resume(session: Session, provider: str, sandbox: bool) -> int:
    """Take back what pause said: PROVIDER gets calls again, also where a run has closed it (money, a refused key)."""
    from ...app import control

    said = control.resume(session.project(sandbox=sandbox), provider)
    again = "was not paused; where a run has closed it, it is tried again" if said.holder else "was not paused"
    return _tell(session, said, [f"{provider}: {'resumed' if said.changed else again}"])


@command(
    "limit",
    "batchgen limit openai requests_per_minute=30 concurrency=4",
    "batchgen limit openai requests_per_day=none       no such limit",
    "batchgen limit openai --reset                     as the settings say",
    "batchgen limit openai                             what holds",
)
@click.argument("provider")
@click.argument("limits", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--reset", is_flag=True, help="Take back all that was said by limit.")
@rehearsal
def limit(session: Session, provider: str, limits: tuple[str, ...], reset: bool, sandbox: bool) -> int:
    """Change how fast PROVIDER is asked, also while a run is on; without KEY=VALUE, show what holds.

    Keys: requests_per_second, requests_per_minute, images_per_minute, requests_per_day, concurrency, burst, spacing.
    It goes before manifest and settings until it is taken back, also for runs that start later.
    """
    from ...app import control

    said = control.limit(session.project(sandbox=sandbox), provider, limits, reset=reset)
    if session.as_json or limits or reset:
        return _tell(session, said, [f"{provider}: {_limits(said)}"])
    for line in _shown(said):
        output.data(line)
    return 0


def _shown(said: ControlState) -> list[str]:
    from ...app.clock import local_time
    from ...app.live_limits import limit_text

    hand = said.control.limits
    rows = [[key, limit_text(value), "limit" if key in hand else "settings"] for key, value in said.limits.items()]
    lines = output.table(rows, (said.control.provider, "holds", "by"), right=(1,))
    if said.control.paused_at:
        lines.append(f"paused since {local_time(said.control.paused_at)}")
    return [*lines, "What a manifest states goes before the settings, and what limit said before all."]


def _limits(said: ControlState) -> str:
    from ...app.live_limits import limits_text

    return limits_text(said.control.limits) or "as manifest and settings say"


def _tell(session: Session, said: ControlState, lines: list[str], *after: str) -> int:
    """Say what holds now, and from when on."""
    if session.as_json:
        output.document(_document(said))
        return 0
    soon = "takes effect within about a second"
    when = _run(said.holder, soon) if said.holder else "no run is on; it holds for the next"
    holds = said.changed or not said.control.silent
    for line in (*lines, *([when] if holds else []), *after):
        output.say(line)
    return 0


def _run(holder: Holder, what: str) -> str:
    return f"a run is on (process {holder.pid}: {output.short(holder.command, 80)}): {what}"


def _document(said: ControlState) -> dict[str, Any]:
    control = said.control
    return {
        "schema_version": 1,
        "provider": control.provider,
        "paused_at": control.paused_at.isoformat() if control.paused_at else None,
        "limits": dict(control.limits),
        "in_force": dict(said.limits),
        "changed": said.changed,
        "run": asdict(said.holder) if said.holder else None,
    }


@command(
    "cancel",
    "batchgen cancel --id 'poster-*'",
    "batchgen cancel --provider openai --status pending",
    "batchgen cancel --cause refused",
)
@click.option("--all", "everything", is_flag=True, help="Every job that is pending or running.")
@selecting
@batch
@rehearsal
def cancel(session: Session, everything: bool, batch: str | None, sandbox: bool, **options: Any) -> int:  # noqa: ANN401 - the selection
    """Give jobs up: those selected that are pending or running.  Also while a run is on.

    A call under way ends, is paid and booked, but its job stays cancelled.  Failed and unknown jobs are given up where
    --status or --cause names them.
    """
    from ...app import control as use_case

    chosen = selection(options)
    if chosen.everything and not everything:
        raise UsageError("say which jobs: --id, --tag, --provider, --status and so on; or --all")
    project = session.project(sandbox=sandbox)
    gone = use_case.cancel(project, batch, chosen)
    if session.as_json:
        body = {"cancelled": list(gone.keys), "under_way": gone.in_flight, "late": gone.already_ended}
        run = asdict(gone.holder) if gone.holder else None
        output.document({"schema_version": 1, "batch": gone.batch.name} | body | {"run": run})
        return 0
    for line in _gone_lines(gone, project.command_flags()):
        output.say(line)
    return 0


def _gone_lines(gone: CancelReport, way: CommandFlags) -> list[str]:
    lines = [f"{gone.batch.name}: {output.count(len(gone.keys), 'job')} cancelled"]
    if gone.in_flight:
        calls = output.count(gone.in_flight, "call")
        if gone.holder:
            lines.append(f"{calls} under way will still be paid and booked; what comes is kept")
        else:
            lines.append(f"{calls} that an earlier run left may have been paid: the next run books them")
    if gone.already_ended:
        lines.append(f"{output.count(gone.already_ended, 'job')} had ended before")
    if gone.holder and gone.keys:
        lines.append(_run(gone.holder, "it drops these jobs as it comes to them"))
    if gone.keys:
        manifest = way.manifest(gone.batch.manifest)
        lines.append(f"next      batchgen retry {manifest}{way.flags} --status cancelled    takes them up again")
    return lines
