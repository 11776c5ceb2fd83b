"""The init and schema commands: a project that runs at once, and the JSON Schema for editors."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import output
from ..options import FOLDER, Session, command, option
from ..render.format import command_lines, display_path, under

if TYPE_CHECKING:
    from ...app.init import NewProject

_EXAMPLES = ("generate", "edit", "catalog")


@command("schema", "batchgen schema > manifest.schema.json")
def schema(session: Session) -> int:
    """Print the JSON Schema of manifests, for editors.

    `batchgen init` writes it to .batchgen/schema.json, to which the first line of its manifest refers.
    """
    from ...app import init as use_case

    del session
    output.document(use_case.schema())
    return 0


@command("init", "batchgen init shop --example catalog", "batchgen init shop --example edit")
@click.argument("where", metavar="[DIR]", default=".", type=FOLDER)
@option(
    "--example",
    type=click.Choice(_EXAMPLES),
    default=_EXAMPLES[0],
    show_default=True,
    help="Example: images from prompts, edits of a folder of photos, or a product list.",
)
@option("--force", is_flag=True, help="Overwrite existing files of the example.")
def init(session: Session, where: Path, example: str, force: bool) -> int:
    """Create a project: an example that runs at once on simulated providers.

    It has a commented manifest, settings and help for editors. Existing files are left alone.
    """
    from ...app import init as use_case

    project = use_case.init(session.file(where), example, force=force)
    document = {
        "folder": str(project.folder),
        "manifest": str(project.manifest),
        "written": [str(name) for name in project.written],
        "left": [str(name) for name in project.left],
    }
    session.print(document, [] if session.quiet else _lines(project), output.say)
    return 0


def _lines(project: NewProject) -> list[str]:
    lines = [f"wrote     {name}" for name in project.written]
    lines += [f"left      {name}    exists; --force overwrites it" for name in project.left]
    folder, manifest = display_path(project.folder.resolve()), project.manifest
    steps = [] if folder == "." else [(f"cd {shlex.quote(folder)}", "")]
    steps += [
        (f"batchgen validate {manifest}", "finds every mistake at once"),
        (f"batchgen plan {manifest}", "shows what it would make and cost; sends nothing"),
        (f"batchgen run {manifest} --sandbox", "a sandbox run: free, nothing leaves this machine"),
    ]
    lines += command_lines(steps)
    return [*lines, *under("for real", _real_steps(project))]


def _real_steps(project: NewProject) -> list[str]:
    """Return what a run that buys images needs: the provider's key, and the most that it may spend."""
    steps = []
    if project.with_key and project.provider not in project.with_key:
        steps.append(f"write  provider: {project.with_key[0]}  into {project.manifest}: its key is set")
    elif not project.with_key:
        steps.append(f"export {project.key_variable}=...    the key of {project.provider}; or a line in .env")
    return [*steps, "the same run with  --budget 1  in place of --sandbox spends at most 1 USD"]
