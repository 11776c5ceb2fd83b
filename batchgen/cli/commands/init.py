"""To begin with: a project that runs at once, and the schema that editors complete manifests by."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import output
from ..options import Session, command
from ..render.result import display_path

if TYPE_CHECKING:
    from ...app.init import NewProject

_EXAMPLES = ("generate", "edit", "catalog")


@command("schema", "batchgen schema > manifest.schema.json")
def schema(session: Session) -> int:
    """Print the JSON Schema of manifests, for editors.

    `batchgen init` writes it to .batchgen/schema.json, to which the first line of its manifest points.
    """
    from ...app import init as begin

    del session
    output.document(begin.schema())
    return 0


@command("init", "batchgen init shop --example catalog", "batchgen init shop --example edit")
@click.argument("where", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--example",
    type=click.Choice(_EXAMPLES),
    default=_EXAMPLES[0],
    show_default=True,
    help="Images from words, a folder of photos to edit, or a list of products.",
)
@click.option("--force", is_flag=True, help="Write over the files of the example that are there.")
def init(session: Session, where: Path, example: str, force: bool) -> int:
    """Write a project that runs at once on the sandbox: a manifest full of comments, settings, help for editors.

    What is there already is left alone.
    """
    from ...app import init as begin

    begun = begin.init(session.file(where), example, force=force)
    if session.as_json:
        output.document(
            {
                "schema_version": 1,
                "folder": str(begun.folder),
                "manifest": str(begun.manifest),
                "written": [str(name) for name in begun.written],
                "left": [str(name) for name in begun.left],
            }
        )
    elif not session.quiet:
        for line in _lines(begun):
            output.say(line)
    return 0


def _lines(begun: NewProject) -> list[str]:
    """Return what was written, what was left alone, and the commands that come next."""
    lines = [f"wrote     {name}" for name in begun.written]
    lines += [f"left      {name}    was there; --force writes over it" for name in begun.left]
    folder, manifest = display_path(begun.folder.resolve()), begun.manifest
    steps = [] if folder == "." else [(f"cd {shlex.quote(folder)}", "")]
    steps += [
        (f"batchgen validate {manifest}", "finds every mistake at once"),
        (f"batchgen plan {manifest}", "what it would make and cost; sends nothing"),
        (f"batchgen run {manifest} --sandbox", "a rehearsal: free, nothing leaves this machine"),
    ]
    width = max(len(step) for step, _ in steps)
    for number, (step, why) in enumerate(steps):
        lines.append(f"{'next' if number == 0 else '':<10}{step:<{width}}    {why}".rstrip())
    return lines
