"""The verify command: delivered files that are missing or damaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import output
from ..options import Session, batch, command, option, sandbox, selecting, selection
from ..render.format import count
from ..render.table import Fit, table

if TYPE_CHECKING:
    from ...app.project import CommandFlags
    from ...app.verify import VerifyReport


@command("verify", "batchgen verify", "batchgen verify --deep --requeue     requeues the jobs of damaged files")
@option("--deep", is_flag=True, help="Decode every image as well.")
@option("--requeue", is_flag=True, help="Requeue the jobs of missing or damaged files; a run makes them again.")
@selecting
@batch
@sandbox
def verify(session: Session, deep: bool, requeue: bool, batch: str | None, **options: Any) -> int:  # noqa: ANN401 - the selection
    """Check every delivered file against its hash.

    Ends with 3 if one is missing or damaged.
    """
    from ...app import verify as use_case

    check = use_case.requeue if requeue else use_case.verify
    project = session.project()
    report = check(project, batch, selection(options), deep=deep)
    code = 3 if report.problems else 0
    rows = [[flaw.what, flaw.key, flaw.path, flaw.detail] for flaw in report.problems]
    session.print(_document(report), _table(rows))
    if session.as_json:
        return code
    result = f"{len(report.problems)} missing or damaged" if report.problems else "all as delivered"
    output.say(f"{report.batch.name}: {count(report.checked, 'file')} checked, {result}")
    for line in _next(report, project.command_flags(batch), requeue=requeue):
        output.say(line)
    return code


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    fit = Fit(least={1: 12, 2: 16, 3: 12}, names=(1, 2), wrap=(3,))
    return table(rows, ("what", "job", "file", ""), fit=fit) if rows else []


def _next(report: VerifyReport, way: CommandFlags, *, requeue: bool) -> list[str]:
    if not report.problems:
        return []
    if not requeue:
        what = "requeues those jobs; a run then buys them again"
        return [f"next      batchgen verify{way.of_batch} --requeue    {what}"]
    lines = [f"{count(len(report.requeued), 'job')} pending again"]
    if report.requeued:
        lines.append(f"next      batchgen run {way.manifest(report.batch.manifest)}{way.flags}")
    return lines


def _document(report: VerifyReport) -> dict[str, Any]:
    return {
        "batch": report.batch.name,
        "checked": report.checked,
        "wrong": len(report.problems),
        "files": [
            {"id": flaw.key, "path": flaw.path, "what": flaw.what, "detail": flaw.detail} for flaw in report.problems
        ],
        "requeued": list(report.requeued),
    }
