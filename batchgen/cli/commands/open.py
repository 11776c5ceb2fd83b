"""The open command: shows a delivered file."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .. import output
from ..options import Session, batch, command, option, sandbox
from ..render.format import display_path

#: Files of one job that are opened at once.
_MOST = 10


@command("open", "batchgen open", "batchgen open cat", "batchgen open cat --folder")
@click.argument("job", required=False)
@option("--folder", "parent", is_flag=True, help="Show the folder of the file.")
@option("--print", "only_print", is_flag=True, help="Print the path only, as without a terminal.")
@batch
@sandbox
def open_(session: Session, *, job: str | None, parent: bool, only_print: bool, batch: str | None) -> int:
    """Show the image of a job in the system's viewer; without a job, the newest.

    The path is printed too. BATCHGEN_OPENER names another program. Without a terminal or a screen the path is only
    printed. An image in an object store is downloaded to a temporary folder.
    """
    from ...app import viewer

    project = session.project()
    files = viewer.find_files(project, batch, job)
    if parent:
        files = list(dict.fromkeys(file.parent for file in files))
    files = files[:_MOST]
    if session.as_json:
        output.document({"schema_version": 1, "files": [str(file) for file in files]})
        return 0
    for file in files:
        output.data(display_path(file))
    if only_print or not sys.stdout.isatty():
        return 0
    if parent and not all(isinstance(file, Path) for file in files):
        serve = project.command_flags(batch).on_batch("serve")
        output.say(f"a folder in an object store cannot be opened; {serve} shows its images")
        return 0
    program = viewer.viewer()
    if program is None:
        output.say(f"no viewer was found on this machine; {viewer.VARIABLE} names one")
    elif not viewer.show(program, viewer.local_copies(files)):
        output.say(f"{program[0]} cannot be started; {viewer.VARIABLE} names another viewer")
    return 0
