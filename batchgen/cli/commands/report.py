"""The report command: the page that shows what a batch delivered, what failed and what it cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..options import FOLDER, Session, batch, batch_argument, command, judging, option, sandbox, selecting, selection
from ..reading import measuring
from ..render.format import count, display_path

if TYPE_CHECKING:
    from ...app.report.write import WrittenReport


@command(
    "report",
    "batchgen report",
    "batchgen report --open",
)
@option("-o", "--out", "target", type=FOLDER, metavar="DIR", help="Write it to this folder.")
@selecting
@judging
@batch_argument
@batch
@sandbox
def report(
    session: Session,
    *,
    target: Path | None,
    batch: str | None,
    **options: Any,  # noqa: ANN401 - the selection
) -> int:
    """Write a page that shows every picture, what failed and why, and what it cost.

    The page is report/index.html in the output folder of the batch.
    """
    from ...app.report.write import ReportOptions, write

    project, chosen = session.project(), selection(options)
    wanted = ReportOptions(folder=None if target is None else session.file(target))
    with measuring(session, "making thumbnails", "pictures") as on_files:
        written = write(project, batch, chosen, wanted, on_files)
    session.print(written.as_json(), _lines(written))
    return 0


def _lines(written: WrittenReport) -> list[str]:
    others = [f"{number:,} {state}" for state in ("failed", "unknown", "pending") if (number := written.jobs[state])]
    return [f"report    {display_path(written.page)}    {', '.join([count(written.pictures, 'picture'), *others])}"]
