"""Away with what nobody needs any more."""

from __future__ import annotations

import re
from datetime import timedelta

import click

from ...errors import UsageError
from .. import output
from ..options import Session, command
from ..options import sandbox as rehearsal

_ABOUT = {
    "temporary": "temporary files that a killed run left",
    "spool": "leftovers of the spool",
    "replaced": "images that a changed job replaced (their sidecars stay)",
    "log": "logs and summaries of runs",
}


@command("clean", "batchgen clean                        shows what could go", "batchgen clean --older-than 90d --yes")
@click.option("--older-than", default="30d", show_default=True, metavar="30d", help="For replaced images and logs.")
@click.option("--yes", is_flag=True, help="Remove it; without, it is only shown.")
@rehearsal
def clean(session: Session, older_than: str, yes: bool, sandbox: bool) -> int:
    """Show what nobody needs any more, or remove it: temporary files, spool leftovers, replaced images, old logs.

    What is delivered, paid for or may still be delivered is never touched.
    """
    from ...app import cleanup as use_case
    from ..render.result import display_path

    found_age = re.fullmatch(r"(\d{1,5})(h|d|w)", older_than)
    if found_age is None:
        raise UsageError(f"--older-than takes an age such as 12h, 30d or 8w, not {older_than!r}")
    age = timedelta(hours=int(found_age[1]) * {"h": 1, "d": 24, "w": 168}[found_age[2]])
    project = session.project(sandbox=sandbox)
    found = use_case.remove_leftovers(project, age) if yes else use_case.find_leftovers(project, age)
    if session.as_json:
        files = [{"what": one.what, "path": str(one.path), "bytes": one.size_bytes} for one in found]
        output.document({"schema_version": 1, "removed": yes, "files": files})
        return 0
    for what, about in _ABOUT.items():
        some = [one for one in found if one.what == what]
        if some:
            size = sum(one.size_bytes for one in some)
            example = display_path(some[0].path)
            output.data(f"{output.count(len(some), 'file'):>10}  {size / 1e6:9,.1f} MB  {about}, such as {example}")
    if not found:
        output.say("nothing to clean")
    elif yes:
        output.say(f"{output.count(len(found), 'file')} removed")
    else:
        flags = project.command_flags().flags
        output.say(f"nothing was removed.  To remove it: batchgen clean{flags} --older-than {older_than} --yes")
    return 0
