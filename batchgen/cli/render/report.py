"""Lines of ``report``: what was written, and what is missing from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .format import command_lines, count, display_path, size
from .marks import suspect_kinds

if TYPE_CHECKING:
    from ...app.project import CommandFlags
    from ...app.report.write import WrittenReport

#: Pictures from which on a page with its thumbnails inside is slow to open.
_MANY = 2_000


def report_lines(written: WrittenReport, flags: CommandFlags) -> Iterator[str]:
    """Yield what was written, and how many pictures may be wrong."""
    others = [f"{number:,} {state}" for state in ("failed", "unknown", "pending") if (number := written.jobs[state])]
    yield f"report    {display_path(written.page)}    {', '.join([count(written.pictures, 'picture'), *others])}"
    if written.archive is not None:
        yield f"zip       {display_path(written.archive.path)}    {size(written.archive.size_bytes)}"
    if written.sheet is not None:
        yield f"sheet     {display_path(written.sheet.files[0])}    {count(written.sheet.pages, 'page')}"
    if suspects := written.thumbnails.suspects:
        kind = max(suspects, key=lambda kind: suspects[kind])
        yield f"suspect   {suspect_kinds(suspects)}"
        yield from command_lines([(flags.on_batch("list", f"--suspect {kind}"), "lists these jobs")])


def report_warnings(
    written: WrittenReport, flags: CommandFlags, *, single: bool, selected_by: str = ""
) -> Iterator[str]:
    """Yield what is missing from a report; *single*: its thumbnails are inside the page.

    *selected_by*: the options that selected what it shows.
    """
    if selected_by and not sum(written.jobs[state] for state in written.jobs):
        command = flags.on_batch("marks import", "FILE")
        marks = f"; marks of a page count after {command}" if "--marked" in selected_by else ""
        yield f"warning: the page is empty, because nothing matched {selected_by}{marks}"
    if unreadable := written.thumbnails.unreadable:
        path, message = unreadable[0]
        yield f"warning: {count(len(unreadable), 'picture')} without a thumbnail, such as {path}: {message}"
    if written.archive is not None and (missing := written.archive.missing):
        yield f"warning: {count(len(missing), 'file')} gone and not in the zip, such as {missing[0]}"
    if single and written.pictures > _MANY:
        yield (
            f"warning: {written.pictures:,} pictures in one file of {size(written.size_bytes)}, which browsers open "
            "slowly; without --single-file the page loads its thumbnails as they are looked at"
        )
