"""The db command: the job database as a file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ...money import show_usd
from .. import output
from ..options import FILE, Session, command, group, manifest_argument, sandbox
from ..render.format import display_path


@group("db", "batchgen db check", "batchgen db backup /backup/batchgen.db", "batchgen db recover jobs/night.yaml")
def db() -> None:
    """Maintain the job database: path, check, backup, upgrade, vacuum, recover."""


@command("path", "batchgen db path")
@sandbox
def path(session: Session) -> int:
    """Print the path of the job database."""
    from ...store import migrate

    project = session.project()
    session.print({"path": str(project.db), "exists": migrate.exists(project.db)}, [str(project.db)])
    return 0


@command("check", "batchgen db check")
@sandbox
def check(session: Session) -> int:
    """Read the whole job database and report damage; ends with 1 if there is any."""
    from ...app import database

    project = session.project()
    health = database.check(project)
    lines = [f"{project.db}: {'ok' if not health.problems else 'sums differ' if health.only_totals else 'damaged'}"]
    lines += [f"          {problem}" for problem in health.problems]
    if health.rows:
        lines.append("rows      " + ", ".join(f"{number} {name}" for name, number in health.rows.items()))
    document = {"path": str(project.db), "ok": not health.problems, "problems": list(health.problems)}
    session.print({**document, "rows": dict(health.rows)}, lines)
    if health.problems and not session.as_json:
        flags = project.command_flags()
        if health.only_totals:
            output.say(f"next      {flags.plain('db vacuum')}    adds up the ledger again")
        else:
            what = "moves it aside and builds a new one from files and spool"
            output.say(f"next      {flags.plain('db recover', 'MANIFEST')}    {what}")
    return 1 if health.problems else 0


@command("backup", "batchgen db backup /backup/batchgen.db")
@click.argument("file", type=FILE)
@sandbox
def backup(session: Session, file: Path) -> int:
    """Copy the job database to FILE, also during a run.

    The copy is complete or not made at all, and never overwrites another file.
    """
    from ...app import database

    target = session.file(file)
    size_bytes = database.backup(session.project(), target)
    session.print({"path": str(target), "bytes": size_bytes}, [f"{file}: {size_bytes} bytes"], output.say)
    return 0


@command("upgrade", "batchgen db upgrade")
@sandbox
def upgrade(session: Session) -> int:
    """Upgrade the job database to the newest schema; a backup is kept.

    Every run does this on its own.
    """
    from ...app import database

    before, after = database.upgrade(session.project())
    line = f"already at {after}" if before == after else f"upgraded from {before or 'nothing'} to {after}"
    session.print({"before": before, "after": after}, [line], output.say)
    return 0


@command("vacuum", "batchgen db vacuum")
@sandbox
def vacuum(session: Session) -> int:
    """Return unused space of the job database to the disk, and add up its ledger again.

    Needs as much free space as the database takes while it works.
    """
    from ...app import database

    before, after = database.vacuum(session.project())
    session.print({"before": before, "after": after}, [f"{before:,} bytes before, {after:,} now"], output.say)
    return 0


@command("recover", "batchgen db recover jobs/night.yaml")
@manifest_argument
@sandbox
def recover(session: Session, manifest: str | None) -> int:
    """Recover a lost, damaged or outdated job database from MANIFEST, the delivered files and the spool.

    A damaged one is moved aside, never deleted; an intact one gets what it lacks. Sends nothing.
    """
    from ...app import plan
    from ...app.recovery import rebuild
    from ..render.result import recovery_lines

    project, file = session.project(), session.manifest(manifest)
    report = rebuild.recover(project, plan.read_manifest(project, file))
    aside = str(report.damaged_copy) if report.damaged_copy else None
    lines = [f"aside     the damaged job database is now {display_path(aside)}"] if aside else []
    lines += recovery_lines(report) if report.found_anything else ["recovered nothing: the job database was complete"]
    if report.found_anything:
        lines.append(f"next      {project.command_flags().on_manifest('run', file)}")
    intake = asdict(report.intake) | {"usd": show_usd(report.intake.usd)}
    session.print({"aside": aside, "taken_in": intake, "settled": report.settled}, lines, output.say)
    return 0


for subcommand in (path, check, backup, upgrade, vacuum, recover):
    db.add_command(subcommand)
