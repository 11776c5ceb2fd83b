"""Handing over: a line a job for other programs, and copies of the files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import UsageError
from ...money import show_credits, show_usd
from .. import output
from ..options import Session, batch, command, selecting, selection
from ..options import sandbox as rehearsal

if TYPE_CHECKING:
    from ...app.project import Project
    from ...job import Job
    from ...store.records import Bill

_Line = dict[str, Any]


@command(
    "export",
    "batchgen export > jobs.jsonl",
    "batchgen export --format csv --status done > done.csv",
    "batchgen export --files handover --layout '{{ tag }}/{{ id }}' > handover.jsonl",
)
@click.option("--format", "form", type=click.Choice(["jsonl", "json", "csv"]), default="jsonl", show_default=True)
@click.option(
    "--files", "target", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Copy the files there."
)
@click.option("--layout", metavar="TEMPLATE", help="Their names: id, batch, provider, model, kind, tag, file.")
@selecting
@batch
@rehearsal
def export(
    session: Session,
    *,
    form: str,
    target: Path | None,
    layout: str | None,
    batch: str | None,
    sandbox: bool,
    **options: Any,  # noqa: ANN401 - the selection
) -> int:
    """Write a line a job on stdout: state, cost, files with their hashes.

    --files copies what was delivered as well, by the names that --layout makes, such as '{{ tag }}/{{ id }}'; without
    it by their own, and never into a folder that a run puts images in; the "copy" of each file says where.  A file that
    is gone or damaged is told and left out; then it ends with 3.
    """
    from ...app import queries

    if layout is not None and target is None:
        raise UsageError("--layout is about --files DIR: name a folder")
    project, chosen = session.project(sandbox=sandbox), selection(options)
    lacking, copied = 0, None
    if target is not None:
        lacking, copied = _hand_out(project, lambda: queries.jobs(project, batch, chosen, None), target, layout)
    lines = (_with_copies(job_document(job, bill), copied) for job, bill in queries.jobs(project, batch, chosen, None))
    if form == "json":
        output.document(list(lines))
    elif form == "jsonl":
        for line in lines:
            output.raw(output.packed(line))
    else:
        for text in csv_lines(lines, copied=copied is not None):
            output.raw(text)
    return 3 if lacking else 0


def _hand_out(
    project: Project, jobs: Callable[[], Iterable[tuple[Job, Bill]]], target: Path, layout: str | None
) -> tuple[int, dict[str, str]]:
    """Copy the files of *jobs* to *target*, say so; return how many could not be, and the copy of each by its path."""
    from ...app import export as handout

    folder = project.root / target
    known = handout.DEFAULT if layout is None else layout
    number = handout.require_separate(
        project, handout.plan_copies(jobs(), known), folder
    )  # every mistake before the first copy
    lacking = handout.copy_files(project, handout.plan_copies(jobs(), known), folder)
    made = {copy.file.path: str(target / copy.name) for copy in handout.plan_copies(jobs(), known)}
    for copy in lacking:
        output.say(f"{copy.job.key}: {copy.file.path} is gone or damaged, and was left out; batchgen verify tells more")
        made.pop(copy.file.path, None)
    output.say(f"{output.count(number - len(lacking), 'file')} in {folder}")
    return len(lacking), made


def _with_copies(line: _Line, copied: Mapping[str, str] | None) -> _Line:
    """Return *line* with the copy of each file, where copies were asked for; None for one that was left out."""
    if copied is not None:
        for file in line["files"]:
            file["copy"] = copied.get(file["path"])
    return line


def csv_lines(lines: Iterable[_Line], *, copied: bool = False) -> Iterator[str]:
    """Yield CSV: a row a file, or one for a job without files; *copied*: with the copies."""
    heads = ("id", "batch", "state", "cause", "kind", "provider", "model", "prompt", "attempts", "usd", "credits")
    of_file = ("path", "sha256", "bytes", "width", "height", "mime", *(["copy"] if copied else []))
    yield output.csv_line([*heads, *of_file])
    for line in lines:
        for file in line["files"] or [{}]:
            yield output.csv_line([*(line[name] for name in heads), *(file.get(name) for name in of_file)])


def job_document(job: Job, bill: Bill) -> _Line:
    """Return a job as ``export`` gives it."""
    return {
        "id": job.key,
        "batch": job.batch,
        "state": job.state.value,
        "cause": job.cause,
        "kind": job.task.kind.value,
        "provider": bill.provider or job.task.provider,
        "model": job.task.model,
        "prompt": job.task.prompt,
        "attempts": bill.attempts,
        "usd": show_usd(bill.usd),
        "credits": show_credits(bill.credits),
        "files": [
            {
                "path": file.path,
                "sha256": file.sha256,
                "bytes": file.size_bytes,
                "width": file.width,
                "height": file.height,
                "mime": file.mime,
            }
            for file in bill.files
        ],
    }
