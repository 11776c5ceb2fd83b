"""The marks command: picks, rejects, stars and notes that were made on the page of a report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import UsageError
from .. import output
from ..options import (
    Session,
    batch,
    batch_argument,
    command,
    complete_files,
    group,
    judging,
    option,
    sandbox,
    selecting,
    selection,
)
from ..render.format import csv_line
from ..render.marks import clear_lines, import_document, import_lines, mark_lines, next_lines

if TYPE_CHECKING:
    from ...planning.marks_file import MarksFile


@group(
    "marks",
    "batchgen marks import Downloads/marks.json",
    "batchgen marks list --marked reject",
    "batchgen marks clear --marked pick",
    default="list",
)
def marks() -> None:
    """Keep the marks of pictures: import, list or clear."""


@command(
    "import",
    "batchgen marks import Downloads/marks.json",
    "batchgen marks import ada.json ben.csv",
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, shell_complete=complete_files)
@batch
@sandbox
def import_(session: Session, files: tuple[str, ...], batch: str | None) -> int:
    """Take in marks that were saved on the page of a report.

    FILE is marks.json, or the same as a CSV table; - is standard input. Of two marks of the same picture the later one
    counts. Marks of pictures that were replaced since are skipped. A file of another job database, of another batch or
    of the sandbox is refused.
    """
    from ...app import marks as use_case

    project = session.project()
    parsed = [_read(session, name) for name in files]
    reports = [use_case.import_file(project, batch, file) for file in parsed]
    lines = [line for report in reports for line in import_lines(report)]
    lines += next_lines(reports, project.command_flags(batch))
    session.print({"files": [import_document(report) for report in reports]}, lines)
    return 0


def _read(session: Session, name: str) -> MarksFile:
    from ...app.clock import utc_now
    from ...planning import marks_file

    try:
        data = sys.stdin.buffer.read() if name == "-" else session.file(Path(name)).read_bytes()
    except OSError as error:
        hint = _download(name) if isinstance(error, FileNotFoundError) else ""
        raise UsageError(f"{name} cannot be read: {error.strerror}. Nothing was changed{hint}") from None
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise UsageError(
            f"{name} is not a text in UTF-8. Save it as CSV UTF-8, or as JSON. Nothing was changed"
        ) from None
    return marks_file.read(text, "stdin" if name == "-" else name, utc_now())


def _download(name: str) -> str:
    """Return where a missing file of marks may be: browsers save into a folder of their own."""
    folder = Path("~/Downloads").expanduser()
    if (folder / Path(name).name).is_file():
        return f". There is one in your downloads: {folder / Path(name).name}"
    return ". Browsers save to their downloads folder, usually ~/Downloads; give the path of the file"


@command(
    "list",
    "batchgen marks list --marked reject",
    "batchgen marks list --json > marks.json      for another machine, or the page",
)
@option("--csv", "as_csv", is_flag=True, help="Print the table as CSV.")
@selecting
@judging
@batch_argument
@batch
@sandbox
def list_(session: Session, *, as_csv: bool, batch: str | None, **options: Any) -> int:  # noqa: ANN401 - the selection
    """List the marks in the job database.

    With --json or --csv it is a file that import takes, here or in a copy of the project.
    """
    from ...app import marks as use_case
    from ...planning import marks_file

    if as_csv and session.as_json:
        raise UsageError("--csv and --json exclude each other")
    project = session.project()
    listed = use_case.list_marks(project, batch, selection(options))
    if as_csv:
        for row in marks_file.rows(listed.marks):
            output.raw(csv_line(row))
    elif session.as_json:
        output.document(listed.as_json())
    else:
        for line in mark_lines(listed, project.command_flags(batch)):
            output.data(line)
    return 0


@command("clear", "batchgen marks clear --marked reject", "batchgen marks clear --id 'cat-*'")
@selecting
@judging
@batch_argument
@batch
@sandbox
def clear(session: Session, batch: str | None, **options: Any) -> int:  # noqa: ANN401 - the selection
    """Remove marks from the job database: all of the batch, or the selected ones.

    They are saved to a file first, and the command that brings them back is printed. Pictures stay.
    """
    from ...app import marks as use_case

    project = session.project()
    removed = use_case.clear(project, batch, selection(options))
    session.print(
        {**removed.as_json(), "undo": None if removed.undo is None else str(removed.undo)},
        clear_lines(removed, project.command_flags(batch)),
        output.say,
    )
    return 0


for each in (import_, list_, clear):
    marks.add_command(each)
