"""The clean command."""

from __future__ import annotations

from datetime import timedelta

from .. import output
from ..options import Session, command, option, sandbox
from ..params import AGE
from ..render.format import count, display_path

_KINDS = {
    "temporary": "temporary files of a killed run",
    "spool": "leftovers of the spool",
    "replaced": "images that a changed job has replaced (their sidecars stay)",
    "thumbnail": "thumbnails of pictures that were replaced, and those of batchgen serve, which makes them when needed",
    "log": "logs and summaries of runs",
}


@command(
    "clean",
    "batchgen clean                        shows what would be removed",
    "batchgen clean --older-than 90d --yes",
)
@option("--older-than", type=AGE, default="30d", show_default=True, help="Age of replaced images, thumbnails and logs.")
@option("--yes", is_flag=True, help="Remove the files; without it, they are only shown.")
@sandbox
def clean(session: Session, older_than: timedelta, yes: bool) -> int:
    """Show or remove files that are no longer needed.

    These are temporary files, leftovers of the spool, replaced images, their thumbnails and old logs. Delivered images,
    paid responses and whatever may still be delivered are never touched.
    """
    from ...app import cleanup

    project = session.project()
    leftovers = cleanup.remove_leftovers(project, older_than) if yes else cleanup.find_leftovers(project, older_than)
    files = [{"what": file.what, "path": str(file.path), "bytes": file.size_bytes} for file in leftovers]
    lines = []
    for kind, text in _KINDS.items():
        files_of_kind = [file for file in leftovers if file.what == kind]
        if files_of_kind:
            megabytes = sum(file.size_bytes for file in files_of_kind) / 1e6
            number = count(len(files_of_kind), "file")
            lines.append(f"{number:>10}  {megabytes:9,.1f} MB  {text}, such as {display_path(files_of_kind[0].path)}")
    session.print({"removed": yes, "files": files}, lines)
    if session.as_json:
        return 0
    if not leftovers:
        output.say("nothing to clean")
    elif yes:
        output.say(f"{count(len(leftovers), 'file')} removed")
    else:
        hours = round(older_than.total_seconds() / 3600)
        age = f"{hours // 24}d" if hours % 24 == 0 else f"{hours}h"
        command = project.command_flags().plain("clean", f"--older-than {age} --yes")
        output.say(f"nothing was removed. To remove it: {command}")
    return 0
