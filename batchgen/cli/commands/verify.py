"""The verify command: delivered files that are missing or damaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from ...object_url import is_object_url
from .. import output
from ..options import Session, batch, batch_argument, command, judging, option, sandbox, selecting, selection
from ..reading import counting
from ..render.format import command_lines, count
from ..render.marks import suspects_line
from ..render.table import Fit, table

if TYPE_CHECKING:
    from ...app.project import CommandFlags
    from ...app.verify import VerifyReport


@command("verify", "batchgen verify", "batchgen verify --deep --requeue     requeues the jobs of damaged files")
@option("--quick", is_flag=True, help="Check only whether each file is there with its size; nothing is read.")
@option("--deep", is_flag=True, help="Decode every image as well, and look for suspects.")
@option("--requeue", is_flag=True, help="Requeue the jobs of missing or damaged files; a run makes them again.")
@selecting
@judging
@batch_argument
@batch
@sandbox
def verify(
    session: Session,
    quick: bool,
    deep: bool,
    requeue: bool,
    batch: str | None,
    **options: Any,  # noqa: ANN401 - the selection
) -> int:
    """Check every delivered file against its hash.

    It reads all files, also those in an object store; --quick reads none. Ends with 3 if one is missing or damaged.
    With --deep it also looks for pictures that may be wrong, such as duplicates or wrong sizes; these do not count, and
    ``batchgen list --suspect KIND`` lists them. Derived copies are checked too; they do not count, because a run writes
    missing ones again.
    """
    from ...app import verify as use_case

    if quick and deep:
        raise UsageError("--quick reads no file and --deep decodes all of them: choose one")
    depth: use_case.Depth = "quick" if quick else "deep" if deep else "whole"
    check = use_case.requeue if requeue else use_case.verify
    project = session.project()
    with counting(session, "checking", "files") as on_files:
        report = check(project, batch, selection(options), depth=depth, on_files=on_files)
    code = 3 if report.problems else 0
    rows = [[flaw.what, flaw.key, flaw.path, flaw.detail] for flaw in (*report.problems, *report.copies)]
    session.print(_document(report), _table(rows))
    if session.as_json:
        return code
    flawless = "all there, with the right size" if quick else "all as delivered"
    result = f"{len(report.problems)} missing or damaged" if report.problems else flawless
    output.say(f"{report.batch.name}: {count(report.checked, 'file')} checked, {result}")
    if report.suspects:
        output.say(suspects_line(report.suspects))
    if report.notice:
        output.say(f"suspects were not looked for: {report.notice}")
    for line in _next(report, project.command_flags(batch), requeue=requeue):
        output.say(line)
    return code


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    fit = Fit(least={1: 12, 2: 16, 3: 12}, names=(1, 2), wrap=(3,))
    return table(rows, ("what", "job", "file", ""), fit=fit) if rows else []


def _next(report: VerifyReport, way: CommandFlags, *, requeue: bool) -> list[str]:
    run = way.on_manifest("run", report.batch.manifest)
    if report.requeued:
        return [f"{count(len(report.requeued), 'job')} pending again", *command_lines([(run, "buys them again")])]
    if requeue and report.problems:
        return ["no job is pending again: those jobs are not done, or are no longer in the manifest"]
    steps = []
    if any(flaw.what == "missing" for flaw in report.problems):
        redo = way.on_manifest("redo", report.batch.manifest, "--missing")
        steps.append((redo, "makes the missing images again: shows the price and asks"))
    if report.problems:
        what = "requeues the jobs of these files; a run then buys them again"
        steps.append((way.on_batch("verify", "--requeue"), what))
    missing = [flaw.path for flaw in report.copies if flaw.what == "copy missing"]
    if missing and not requeue and any(map(is_object_url, missing)):
        steps.append((way.on_batch("verify", "--requeue"), "lets the next run write the missing copies again"))
    elif missing:
        steps.append((run, "writes the missing copies; nothing is bought for them"))
    if report.suspects:
        kind = max(report.suspects, key=lambda kind: report.suspects[kind])
        steps.append((way.on_batch("list jobs", f"--suspect {kind}"), "shows these pictures"))
        steps.append((way.on_batch("report"), "shows all of them, as pictures"))
    return command_lines(steps) if steps else []


def _document(report: VerifyReport) -> dict[str, Any]:
    return {
        "batch": report.batch.name,
        "checked": report.checked,
        "wrong": len(report.problems),
        "files": [
            {"id": flaw.key, "path": flaw.path, "what": flaw.what, "detail": flaw.detail} for flaw in report.problems
        ],
        "requeued": list(report.requeued),
        "suspects": dict(report.suspects),
        "copies": [
            {"id": flaw.key, "path": flaw.path, "what": flaw.what.removeprefix("copy "), "detail": flaw.detail}
            for flaw in report.copies
        ],
    }
