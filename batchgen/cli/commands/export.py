"""The export command: a line per job for other programs, and copies of the files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
    judging,
    option,
    sandbox,
    selecting,
    selection,
)
from ..params import LOCAL_FOLDER
from ..render.format import count, csv_line
from ..render.jobs import csv_rows, job_document

if TYPE_CHECKING:
    from ...app.project import Project
    from ...job import Job
    from ...store.records import Bill


@command(
    "export",
    "batchgen export > jobs.jsonl",
    "batchgen export --format csv --status done > done.csv",
    "batchgen export --marked pick --files picked > picked.jsonl",
    "batchgen export --files handover --layout '{{ tag }}/{{ id }}' > handover.jsonl",
)
@option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "json", "csv"]),
    default="jsonl",
    show_default=True,
    help="Format of the lines.",
)
@option("--files", "target", type=LOCAL_FOLDER, metavar="DIR", help="Copy the files to this folder.")
@option(
    "--layout", metavar="TEMPLATE", help="Names of the copies; variables: id, batch, provider, model, kind, tag, file."
)
@selecting
@judging
@batch_argument
@batch
@sandbox
def export(
    session: Session,
    *,
    form: str,
    target: Path | None,
    layout: str | None,
    batch: str | None,
    **options: Any,  # noqa: ANN401 - the selection
) -> int:
    """Print one line per job for other programs; copy the files.

    A line has the state, the cost, and the files with their hashes. --files also copies what was delivered, under the
    names that --layout makes, such as '{{ tag }}/{{ id }}', or else under their own; "copy" of each file is its name.
    The folder must not be one that a run writes to. A missing or damaged file is reported and skipped; the exit code is
    3 then. With --marked or --suspect, a line has only the files that match, and only these are copied.
    """
    from ...app import queries

    if layout is not None and target is None:
        raise UsageError("--layout needs --files DIR")
    project, chosen = session.project(), selection(options)

    def jobs() -> Iterable[tuple[Job, Bill]]:
        return queries.jobs(project, batch, chosen, None)

    missing, copies = _copy(project, jobs, target, layout) if target is not None else (0, None)
    lines = _lines(jobs(), copies, project.root)
    if form == "json":
        output.document(list(lines))
    elif form == "jsonl":
        for line in lines:
            output.raw(output.to_json(line))
    else:
        for row in csv_rows(lines, copied=copies is not None):
            output.raw(csv_line(row))
    return 3 if missing else 0


def _copy(
    project: Project, jobs: Callable[[], Iterable[tuple[Job, Bill]]], target: Path, layout: str | None
) -> tuple[int, dict[str, str]]:
    """Copy the files of *jobs* to *target*; return how many are missing, and the copy of each by its path."""
    from ...app import export as use_case

    folder = project.root / target
    template = use_case.DEFAULT if layout is None else layout
    # Every mistake in the names is found before the first copy.
    number = use_case.require_separate(project, use_case.plan_copies(jobs(), template), folder)
    missing = use_case.copy_files(project, use_case.plan_copies(jobs(), template), folder)
    copies = {copy.file.path: str(target / copy.name) for copy in use_case.plan_copies(jobs(), template)}
    for copy in missing:
        output.say(f"{copy.job.key}: {copy.file.path} is missing or damaged, and was skipped (see verify)")
        copies.pop(copy.file.path, None)
    output.say(f"{count(number - len(missing), 'file')} in {folder}")
    return len(missing), copies


def _lines(jobs: Iterable[tuple[Job, Bill]], copies: dict[str, str] | None, root: Path) -> Iterator[dict[str, Any]]:
    for job, bill in jobs:
        line = job_document(job, bill, root)
        line["files"] = [file for file in line["files"] if bill.selects(file["picture"] - 1)]
        if copies is not None:
            for file in line["files"]:
                file["copy"] = copies.get(file["path"])  # null for a file that was skipped
        yield line
