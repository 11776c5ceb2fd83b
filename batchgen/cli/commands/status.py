"""Commands that show a batch: status, list, show."""

from __future__ import annotations

import shlex
from typing import Any

import click

from .. import output
from ..options import STATES, Session, batch, batch_argument, command, judging, option, sandbox, selecting, selection
from ..render.controls import control_documents, control_lines
from ..render.jobs import job_document, job_table, show_document, show_lines
from ..render.runners import elsewhere_lines, holder_documents, runner_documents, runner_lines
from ..render.status import (
    at_provider_lines,
    run_document,
    run_documents,
    run_lines,
    run_table,
    status_lines,
    waiting_lines,
)
from ..render.submissions import submission_lines


@command("status", "batchgen status", "batchgen status --batch autumn --json | jq .jobs")
@batch_argument
@batch
@sandbox
def status(session: Session, batch: str | None) -> int:
    """Show progress, cost and failures on one screen.

    The last lines are the commands to type next.
    """
    from ...app import queries
    from ...store import ledger
    from ..render.result import advice, files_line, gone_lines, report_lines

    project = session.project()
    report = queries.status(project, batch)
    flags = project.command_flags(batch, report.again)
    figures = (report.batch.name, report.counts, report.usage, report.failures)
    lines = [
        *status_lines(*figures, flags, cut_off=report.interrupted, at_provider=report.running_at_provider),
        *waiting_lines(report, flags),
        *at_provider_lines(report.at_provider, is_running=report.holder is not None, is_held=report.is_held),
        *submission_lines(report.submissions),
        *run_lines(report, flags),
        *runner_lines(report.runners),
        *elsewhere_lines(report.elsewhere, report.preparing),
        *gone_lines(report.presence),
        *control_lines(project, report.controls),
        files_line(report, flags),
        *report_lines(report, flags),
    ]
    document = ledger.status_document(*figures) | {
        "at_provider": report.at_provider,
        "submissions": [each.as_json() for each in report.submissions],
        "controls": control_documents(report.controls),
        "runners": runner_documents(report.runners),
        "runners_elsewhere": runner_documents(report.elsewhere),
        "preparing": holder_documents(report.preparing),
        "waiting": queries.waiting_document(report),
        "files_gone": report.presence.as_json(),
        "last_run": run_document(report),
        "report": None if report.report is None else str(report.report.place),
    }
    session.print(document, [*lines, *advice(report, flags)])
    return 0


class _What(click.Choice[str]):
    """What ``list`` lists; a state or a batch in its place is answered with the option."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the choice; fail with the option that was probably meant."""
        if value not in self.choices:
            options = ["--status"] if value in STATES else ["--id", "--batch"]
            meant = ", or ".join(f"batchgen list {name} {shlex.quote(value)}" for name in options)
            self.fail(f"expected jobs or runs, not {value!r}; did you mean: {meant}", param, ctx)
        return value


@command("list", "batchgen list --status failed", "batchgen list --status orphaned", "batchgen list runs")
@click.argument("what", type=_What(["jobs", "runs"]), default="jobs")
@selecting
@judging
@batch
@sandbox
def list_(session: Session, what: str, batch: str | None, **options: Any) -> int:  # noqa: ANN401 - the selection
    """List jobs or runs.

    The default is jobs.
    """
    from ...app import queries

    project, chosen = session.project(), selection(options)
    if what == "runs":
        runs, running = queries.runs(project, batch)
        runs = runs[: chosen.limit]
        documents, lines = run_documents(runs), run_table(runs, running)
    else:
        jobs = list(queries.jobs(project, batch, chosen, chosen.limit))
        documents, lines = [job_document(job, bill, project.root) for job, bill in jobs], job_table(jobs)
    if session.as_json:
        output.document(documents)
    else:
        for line in lines:
            output.data(line)
    return 0


@command(
    "show",
    "batchgen show cat",
    "batchgen show cat --as-yaml > cat.yaml     a manifest that makes it again",
    "batchgen show cat --as-curl                the request, for a shell",
)
@click.argument("job")
@option("--as-yaml", "form", flag_value="yaml", help="Print a manifest with only this job.")
@option("--as-curl", "form", flag_value="curl", help="Print the request as curl sends it, with the key's variable.")
@batch
@sandbox
def show(session: Session, job: str, form: str | None, batch: str | None) -> int:
    """Show one job: its request, attempts, files and cost.

    Each attempt has its cause of failure and the provider's message.
    """
    project = session.project()
    if form is not None:
        from ...app import reproduce

        request = reproduce.find_reproduction(project, batch, job)
        as_curl = form == "curl"
        text = output.escape_json(reproduce.as_curl(request)) if as_curl else reproduce.as_yaml(request.job)
        output.raw(text.rstrip("\n"))
        return 0
    from ...app import queries
    from ...app.submissions import submissions_of
    from ...store.rows import encode_task

    found, attempts, bill = queries.show(project, batch, job)
    answers, waits = queries.kept_answers(project, attempts), queries.waits_of(project, batch, found)
    document = show_document(found, attempts, bill, encode_task(found.task), root=project.root, answers=answers)
    batches = submissions_of(project, batch, attempts)
    lines = list(show_lines(found, attempts, bill, answers, batches))
    if waits is not None:
        stuck = f", and no run sends it before {waits.ended} ({waits.state}) is done" if waits.ended else ""
        lines.insert(1, f"waiting   for {waits.parent}{stuck}")
    session.print(document | {"waits_for": waits and waits.parent}, lines)
    return 0
