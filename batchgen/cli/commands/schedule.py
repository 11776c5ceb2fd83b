"""Starting by the clock: what cron, systemd and launchd want to be told.  Prints, never installs."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from ...app.config import dotenv
from .. import command as shape
from .. import environment, output
from ..options import Session, command

#: Seconds that a run waits for the one before it: with cron it leaves at once, the next one comes soon.
WAIT = {"cron": 0, "systemd": 600, "launchd": 600}


@command(
    "schedule",
    "batchgen schedule cron jobs/night.yaml --every 30m -- --budget 40",
    "batchgen schedule systemd jobs/night.yaml --daily 22:00 -- --budget 40 --stop-at 06:30",
    "batchgen schedule launchd jobs/night.yaml -- --yes",
)
@click.argument("kind", type=click.Choice(["cron", "systemd", "launchd"]))
@click.argument("manifest", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.argument("rest", nargs=-1, metavar="[-- OPTIONS OF run]", type=click.UNPROCESSED)
@click.option("--every", metavar="30m", help="Start so often: 10m, 30m, 1h, 6h.")
@click.option("--daily", metavar="HH:MM", help="Start at this time of day.  Default: 22:00.")
def schedule(  # noqa: PLR0917 - click gives them by name
    session: Session, kind: str, manifest: Path, rest: tuple[str, ...], every: str | None, daily: str | None
) -> int:
    """Print what starts a run by the clock, with absolute paths.  Installs nothing.

    A run needs --yes or a budget there, for nobody is at a terminal to agree.
    """
    from ...app import schedule as units
    from .run import run

    # what run would not take is told now
    root = click.get_current_context().find_root()
    asked = run.make_context("run", [str(manifest), *rest], parent=root, obj={"folder": session.folder})
    notes = tuple(_notes(session, asked, manifest))
    _warn_of_controls(session, sandbox=asked.params["sandbox"])
    source = asked.get_parameter_source("wait_lock")
    waits = source in (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.DEFAULT_MAP)
    command = _command(session, manifest, rest if waits else ("--wait-lock", str(WAIT[kind]), *rest))
    name = re.sub(r"[^a-z0-9]+", "-", manifest.stem.lower()).strip("-") or "run"
    start = units.Unit(
        name=name,
        command=command,
        folder=str(session.folder.absolute()),
        when=units.Schedule.of(every, daily),
        notes=notes,
    )
    text = {"cron": units.cron, "systemd": units.systemd, "launchd": units.launchd}[kind](start)
    if session.as_json:
        output.document({"schema_version": 1, "kind": kind, "command": list(start.command), "text": text})
    else:
        output.raw(text)
    return 0


def _notes(session: Session, asked: click.Context, manifest: Path) -> Iterator[str]:
    """Yield what to know of the money that the runs may spend; warn where no run would begin."""
    from ...app import plan
    from ...errors import BatchgenError

    try:
        budget = plan.read_manifest(session.project(), session.file(manifest)).budget
    except BatchgenError as error:
        first = str(error).partition("\n")[0]
        output.say(f"warning: this run will not begin: {first}")
        return
    free = asked.params["sandbox"] or asked.params["dry_run"]
    if not (free or budget or _holds(asked, "yes") or _holds(asked, "budget")):
        add = "add  -- --budget USD  (or -- --yes), or budget: in the manifest"
        output.say(f"warning: this run will not begin: nobody agrees to spend; {add}")
    if asked.params["budget"] is not None and not budget:
        cap = f"--budget {asked.params['budget']} holds for each run by itself, not for the batch or a day"
        yield f"{cap}: those stand in the manifest, budget: {{usd: 40, per_day: {{usd: 10}}}}"


def _warn_of_controls(session: Session, *, sandbox: bool) -> None:
    """Warn of pauses and limits in force, which the scheduled runs will keep to as well."""
    from ...app import control
    from ..render.controls import control_line

    project = session.project(sandbox=sandbox)
    for one in control.active_controls(project):
        output.say(f"warning: {control_line(one, project.command_flags(), datetime.now(UTC))}")


def _holds(asked: click.Context, name: str) -> bool:
    """Tell whether a run by the clock will be told this too: by its line, or by a file of variables."""
    if not asked.params[name]:
        return False
    source = asked.get_parameter_source(name)
    if source is click.core.ParameterSource.ENVIRONMENT:
        [option] = [one for one in asked.command.params if one.name == name]
        said = next((one for one in shape.variables(asked, option) if one in os.environ), None)
        return said in dotenv.origins
    return source is click.core.ParameterSource.COMMANDLINE


def _command(session: Session, manifest: Path, rest: tuple[str, ...]) -> list[str]:
    """Return the command of a run that needs no shell, folder or search path of its own."""
    folder = session.folder.absolute()
    files = [word for path in environment.named for word in ("--env-file", str(path.absolute()))]
    table = ["--db", str(folder / session.db)] if session.db else []
    return [*_program(), "-q", "-C", str(folder), *files, *table, "run", str(session.file(manifest)), *rest]


def _program() -> list[str]:
    """Return this program by its absolute path."""
    beside = Path(sys.executable).with_name("batchgen")
    if beside.is_file():
        return [str(beside)]
    found = shutil.which("batchgen")
    return [str(Path(found).absolute())] if found else [sys.executable, "-m", "batchgen"]
