"""The schedule command: a cron line, or a systemd or launchd unit. Prints, never installs."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...app.config import dotenv
from ...errors import UsageError
from ...money import show_usd
from .. import environment, output
from ..options import Session, command, complete_files, option
from ..params import variables

if TYPE_CHECKING:
    from ...manifest import Batch

#: Seconds that a run waits for the one before; with cron it does not, for the next one starts soon.
WAIT = {"cron": 0, "systemd": 600, "launchd": 600}


@command(
    "schedule",
    "batchgen schedule cron jobs/night.yaml --every 30m -- --budget 40",
    "batchgen schedule systemd jobs/night.yaml --daily 22:00 -- --budget 40 --stop-at 06:30",
    "batchgen schedule launchd jobs/night.yaml -- --yes",
)
@click.argument("kind", type=click.Choice(["cron", "systemd", "launchd"]))
@click.argument("manifest", metavar="MANIFEST|BATCH", shell_complete=complete_files)
@click.argument("rest", nargs=-1, metavar="[-- OPTIONS OF run]", type=click.UNPROCESSED)
@option("--every", metavar="30m", help="Interval: 10m, 30m, 1h, 6h.")
@option("--daily", metavar="HH:MM", help="Time of day. Default: 22:00.")
def schedule(  # noqa: PLR0917 - click gives them by name
    session: Session, kind: str, manifest: str, rest: tuple[str, ...], every: str | None, daily: str | None
) -> int:
    """Print a cron line, or a systemd or launchd unit.

    It has absolute paths and is not installed. Such a run needs --yes or a budget, because
    there is no terminal to ask at.
    """
    from ...app import schedule as units
    from .run import run

    if manifest == "-":
        raise UsageError("a schedule needs the file of a manifest, not standard input")
    path = session.manifest(manifest)
    # a mistake in the options of run is reported now
    root = click.get_current_context().find_root()
    run_ctx = run.make_context("run", [str(path), *rest], parent=root, obj={"folder": session.folder})
    notes = tuple(_notes(session, run_ctx, path))
    _warn_of_controls(replace(session, sandbox=run_ctx.params["sandbox"]))
    source = run_ctx.get_parameter_source("wait_lock")
    waits = source in (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.DEFAULT_MAP)
    command = _command(session, path, rest if waits else ("--wait-lock", str(WAIT[kind]), *rest))
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "run"
    start = units.Unit(
        name=name,
        command=command,
        folder=str(session.folder.absolute()),
        when=units.Schedule.of(every, daily),
        notes=notes,
    )
    text = {"cron": units.cron, "systemd": units.systemd, "launchd": units.launchd}[kind](start)
    session.print({"kind": kind, "command": list(start.command), "text": text}, [text], output.raw)
    return 0


def _notes(session: Session, run_ctx: click.Context, manifest: Path) -> Iterator[str]:
    """Yield notes on what the runs may spend; warn if none would start."""
    from ...app import plan
    from ...errors import BatchgenError

    try:
        batch = plan.read_manifest(session.project(), session.file(manifest))
        budget = batch.budget
    except BatchgenError as error:
        first = str(error).partition("\n")[0]
        output.say(f"warning: this run will not start: {first}")
        return
    free = run_ctx.params["sandbox"] or run_ctx.params["dry_run"]
    if not (free or budget or _applies(run_ctx, "yes") or _applies(run_ctx, "budget")):
        add = "add  -- --budget USD  (or -- --yes), or budget: in the manifest"
        output.say(f"warning: this run will not start: spending is not confirmed; {add}")
    if not free:
        _warn_of_keys(session, batch)
    if run_ctx.params["budget"] is not None and not budget:
        amount = show_usd(run_ctx.params["budget"])
        yield (
            f"--budget {amount} applies to each run separately; a limit for the batch or for a day is set in the "
            "manifest, budget: {usd: 40, per_day: {usd: 10}}"
        )


def _warn_of_keys(session: Session, batch: Batch) -> None:
    """Warn of keys that are missing, or that only this shell has: cron, systemd and launchd start without it."""
    from ...app.config.keys import configured_names, missing_key, shell_only

    for name in dict.fromkeys(job.recipe.task.provider for job in batch.jobs):
        names = batch.profiles[name].api_key_env
        if names and not configured_names(names, os.environ):
            output.say(f"warning: this run will not start: {missing_key(name, names)}")
        for variable in shell_only(names, os.environ):
            file = session.folder.absolute() / ".env"
            output.say(
                f"warning: this run will not start: {variable} is set in this shell only, which a scheduled run does "
                f"not see; add it to {file} (then: chmod 600)"
            )


def _warn_of_controls(session: Session) -> None:
    """Warn of pauses and limits in force: they apply to the scheduled runs too."""
    from ...app import queries
    from ..render.controls import control_line

    project = session.project()
    for each in queries.active_controls(project):
        output.say(f"warning: {control_line(each, project.command_flags(), datetime.now(UTC))}")


def _applies(run_ctx: click.Context, name: str) -> bool:
    """Return whether an option applies to a scheduled run too: from its line, or from a file of variables."""
    if run_ctx.params[name] in (None, False):
        return False
    source = run_ctx.get_parameter_source(name)
    if source is click.core.ParameterSource.ENVIRONMENT:
        [parameter] = [each for each in run_ctx.command.params if each.name == name]
        variable = next((each for each in variables(run_ctx, parameter) if each in os.environ), None)
        return variable in dotenv.origins
    return source is click.core.ParameterSource.COMMANDLINE


def _command(session: Session, manifest: Path, rest: tuple[str, ...]) -> list[str]:
    """Return the command of a run that depends on no shell, working folder or search path."""
    folder = session.folder.absolute()
    files = [word for path in environment.named for word in ("--env-file", str(path.absolute()))]
    table = ["--db", str(session.project().db)] if session.db else []
    return [*_program(), "-q", "-C", str(folder), *files, *table, "run", str(session.file(manifest)), *rest]


def _program() -> list[str]:
    program = Path(sys.executable).with_name("batchgen")
    if program.is_file():
        return [str(program)]
    on_path = shutil.which("batchgen")
    return [str(Path(on_path).absolute())] if on_path else [sys.executable, "-m", "batchgen"]
