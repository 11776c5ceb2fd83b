"""The job table as a file: db path, check, backup, upgrade, vacuum, recover."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ...money import show_usd
from .. import output
from ..options import Session, command, group
from ..options import sandbox as rehearsal


@group("db", "batchgen db check", "batchgen db backup /backup/batchgen.db", "batchgen db recover jobs/night.yaml")
def db() -> None:
    """Look after the job table: where it is, whether it is whole, a copy of it, and how to get it back."""


@command("path", "batchgen db path")
@rehearsal
def path(session: Session, sandbox: bool) -> int:
    """Print where the job table is."""
    project = session.project(sandbox=sandbox)
    if session.as_json:
        output.document({"schema_version": 1, "path": str(project.db), "exists": project.db.exists()})
    else:
        output.data(str(project.db))
    return 0


@command("check", "batchgen db check")
@rehearsal
def check(session: Session, sandbox: bool) -> int:
    """Read the whole job table and say whether it is undamaged.  Ends with 1 where it is not."""
    from ...app import database

    project = session.project(sandbox=sandbox)
    health = database.check(project)
    if session.as_json:
        body = {"schema_version": 1, "path": str(project.db), "ok": not health.problems}
        output.document(body | {"problems": list(health.problems), "rows": dict(health.rows)})
        return 1 if health.problems else 0
    output.data(f"{project.db}: {'damaged' if health.problems else 'ok'}")
    for problem in health.problems:
        output.data(f"          {problem}")
    if health.rows:
        output.data("rows      " + ", ".join(f"{number} {name}" for name, number in health.rows.items()))
    if health.problems:
        flags = project.command_flags().flags
        output.say(
            f"next      batchgen db recover{flags} MANIFEST    moves it aside, makes a new one from files and spool"
        )
    return 1 if health.problems else 0


@command("backup", "batchgen db backup /backup/batchgen.db")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@rehearsal
def backup(session: Session, file: Path, sandbox: bool) -> int:
    """Copy the job table to FILE, whole or not at all; also while a run goes on.  Never over another file."""
    from ...app import database

    target = session.file(file)
    size = database.backup(session.project(sandbox=sandbox), target)
    if session.as_json:
        output.document({"schema_version": 1, "path": str(target), "bytes": size})
    else:
        output.say(f"{file}: {size} bytes")
    return 0


@command("upgrade", "batchgen db upgrade")
@rehearsal
def upgrade(session: Session, sandbox: bool) -> int:
    """Bring the job table to the newest form; a backup is kept.  Every run does this by itself."""
    from ...app import database

    before, after = database.upgrade(session.project(sandbox=sandbox))
    if session.as_json:
        output.document({"schema_version": 1, "before": before, "after": after})
    else:
        output.say(f"at {after} already" if before == after else f"upgraded from {before or 'nothing'} to {after}")
    return 0


@command("vacuum", "batchgen db vacuum")
@rehearsal
def vacuum(session: Session, sandbox: bool) -> int:
    """Give back to the disk what the job table does not use any more.  Needs as much room again while it works."""
    from ...app import database

    before, after = database.vacuum(session.project(sandbox=sandbox))
    if session.as_json:
        output.document({"schema_version": 1, "before": before, "after": after})
    else:
        output.say(f"{before:,} bytes before, {after:,} now")
    return 0


@command("recover", "batchgen db recover jobs/night.yaml")
@click.argument("manifest", type=click.Path(dir_okay=False, path_type=Path))
@rehearsal
def recover(session: Session, manifest: Path, sandbox: bool) -> int:
    """Get a lost, damaged or outdated job table back, from MANIFEST, the delivered files and the spool.

    A damaged one is moved aside, never deleted; one that is whole learns what it lacks.  Sends nothing.
    """
    from ...app import plan
    from ...app.recovery import rebuild
    from ..render.result import display_path, taken_lines

    project = session.project(sandbox=sandbox)
    learnt = rebuild.recover(project, plan.read_manifest(project, session.file(manifest)))
    aside = str(learnt.damaged_copy) if learnt.damaged_copy else None
    if session.as_json:
        body = asdict(learnt.intake) | {"usd": show_usd(learnt.intake.usd)}
        output.document({"schema_version": 1, "aside": aside, "taken_in": body, "settled": learnt.settled})
        return 0
    if aside:
        output.say(f"aside     the damaged job table is now {display_path(aside)}")
    for line in (
        taken_lines(learnt) if learnt.found_anything else ["taken in  nothing: the job table knew all there is"]
    ):
        output.say(line)
    way = project.command_flags()
    output.say(f"next      batchgen run {way.manifest(session.file(manifest))}{way.flags}")
    return 0


for _each in (path, check, backup, upgrade, vacuum, recover):
    db.add_command(_each)
