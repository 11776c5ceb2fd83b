"""The report command: the page that shows what a batch delivered, what failed and what it cost."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from .. import output
from ..options import (
    Session,
    as_options,
    batch,
    batch_argument,
    command,
    judging,
    option,
    sandbox,
    selecting,
    selection,
)
from ..params import LOCAL_FILE, LOCAL_FOLDER, SINCE_RUN
from ..reading import measuring
from ..render.report import report_lines, report_warnings

if TYPE_CHECKING:
    from ...app.report.write import ReportOptions

#: The value of --zip without a name.
_BESIDE = "-"


@command(
    "report",
    "batchgen report --open",
    "batchgen report --tag autumn --since 24h",
    "batchgen report 20261130-023000-6e9cb3          one run of a batch",
    "batchgen report --zip                           the output folder with the page, to hand on",
    "batchgen report --marked pick --contact-sheet picks.pdf",
)
@option("--open", "show", is_flag=True, help="Open the page in the browser.")
@option("--since", type=SINCE_RUN, help="Only pictures and calls since: a date, a time, a span ago, or a run.")
@option("--single-file", is_flag=True, help="Put the thumbnails into the page, as one file to send.")
@option(
    "--zip",
    "archive",
    is_flag=False,
    flag_value=_BESIDE,
    metavar="[FILE.zip]",
    help="Also write the output folder with the page as a zip.",
)
@option(
    "--contact-sheet",
    "sheet",
    type=LOCAL_FILE,
    metavar="FILE",
    help="Also write a contact sheet: FILE.pdf or FILE.png.",
)
@option("-o", "--out", "target", type=LOCAL_FOLDER, metavar="DIR", help="Write the page to this folder.")
@selecting
@judging
@batch_argument
@batch
@sandbox
def report(
    session: Session,
    *,
    show: bool,
    batch: str | None,
    **options: Any,  # noqa: ANN401 - those above, and the selection
) -> int:
    """Write a page that shows every picture, what failed and why, and what it cost.

    The page is report/index.html in the output folder of the batch; it opens from disk. BATCH may also be the id of a
    run. A page that shows only a part of the batch is report/selection.html. A second report makes only the thumbnails
    that are new.
    """
    from ...app.report.write import write

    project = session.project()
    wanted = _options(session, options)
    with measuring(session, "making thumbnails", "pictures") as on_files:
        written = write(project, batch, selection(options), wanted, on_files)
    flags = project.command_flags(written.batch)
    session.print(written.as_json(), report_lines(written, flags))
    for line in report_warnings(written, flags, single=wanted.single_file, selected_by=wanted.selected_by):
        output.say(line)
    if show and not session.as_json:
        if isinstance(written.page, Path):
            _open(written.page)
        else:
            serve = flags.on_batch("serve")
            output.say(f"the page is in the object store, where a browser may not read it; {serve} shows the same")
    return 0


def _options(session: Session, options: dict[str, Any]) -> ReportOptions:
    """Take how the report is written out of *options*; raise UsageError."""
    from ...app.report.write import ReportOptions

    target, sheet, archive = options.pop("target"), options.pop("sheet"), options.pop("archive")
    if sheet is not None and sheet.suffix.lower() not in (".pdf", ".png"):
        raise UsageError(f"--contact-sheet {sheet}: the name must end in .pdf or .png")
    if archive is not None and archive != _BESIDE and not archive.lower().endswith(".zip"):
        raise UsageError(f"--zip {archive}: the name must end in .zip; a batch is named before it: report BATCH --zip")
    return ReportOptions(
        since=options.pop("since"),
        selected_by=as_options(selection(dict(options))),
        folder=None if target is None else session.file(target),
        single_file=options.pop("single_file"),
        zipped=archive is not None,
        archive=None if archive in (None, _BESIDE) else session.file(Path(archive)),
        sheet=None if sheet is None else session.file(sheet),
    )


def _open(page: Path) -> None:
    from ...app import viewer

    program = viewer.viewer()
    if program is None:
        output.say(f"no viewer was found on this machine; {viewer.VARIABLE} names one")
    elif not viewer.show(program, [page]):
        output.say(f"{program[0]} cannot be started; {viewer.VARIABLE} names another viewer")
    elif not sys.stdout.isatty():
        output.say(f"opened with {program[0]}")
