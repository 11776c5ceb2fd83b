"""The run command, and what resume, retry and demo share with it."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import AlreadyRunning, BatchgenError, UsageError
from .. import output
from ..confirm import confirmation
from ..options import Session, as_options, command, manifest_argument, of_manifest, option, selecting, selection
from ..reading import reading
from ..render.changes import requeue_lines
from ..render.format import hanging, under, warning_line
from ..render.plan import notices, plan_lines
from ..run_options import Observers, overlay_of, run_options, terms_of

if TYPE_CHECKING:
    from ...app.project import CommandFlags, Project
    from ...app.run import RunOptions, RunResult
    from ...manifest import Batch
    from ...planning.plan import Plan
    from ...planning.selection import Selection
    from ..render.stream import Stream


retry_failed = option("--retry-failed", is_flag=True, help="Requeue failed jobs first.")


@command(
    "run",
    "batchgen run jobs/night.yaml --sandbox      free: simulated providers",
    "batchgen run jobs/night.yaml --budget 40",
    "batchgen run jobs/night.yaml --limit 10      try ten first",
)
@manifest_argument
@retry_failed
@run_options
@selecting
def run(session: Session, manifest: str | None, **options: Any) -> int:  # noqa: ANN401 - see run_options
    """Make the images; the same command again resumes the batch.

    These are the images of the manifest that do not exist yet: all, or the selected ones. Done jobs stay done, and
    requests that an interrupted run left in flight are completed first. Without MANIFEST: the only one here, or that of
    the last run; - is standard input.
    """
    return run_selected(session, session.manifest(manifest), options)


def run_selected(session: Session, manifest: Path, options: dict[str, Any]) -> int:
    """Run the jobs of a manifest that *options* select, or only plan it; return the exit code."""
    chosen = of_manifest(selection(options))
    requeue = replace(chosen, states=("failed",)) if options["retry_failed"] else None
    if requeue is not None:
        # once requeued they are pending and without a cause, as other jobs may be
        chosen = replace(chosen, causes=())
    terms = terms_of(options, requeue, _pending(chosen, session.project().command_flags(), manifest))
    return carry_out(session, manifest, options, replace(terms, only_requeued=False))


def _pending(chosen: Selection, flags: CommandFlags, manifest: Path) -> Selection:
    """Return *chosen* for a run, which sends only pending jobs; raise UsageError."""
    if chosen.causes:
        raise UsageError(
            f"--cause selects failed jobs, and run does not send those again. "
            f"To retry them: {flags.on_manifest('retry', manifest, f'--cause {chosen.causes[0]}')}"
        )
    if others := [state for state in chosen.states if state != "pending"]:
        if others[0] == "done":
            command = flags.on_manifest("redo", manifest, as_options(replace(chosen, states=())) or "--id ID")
            raise UsageError(f"--status done: run sends only pending jobs. To make done ones again: {command}")
        raise UsageError(
            f"--status {others[0]}: run sends only pending jobs. "
            f"To requeue and run the others: {flags.on_manifest('retry', manifest, f'--status {others[0]}')}"
        )
    return replace(chosen, states=())


def carry_out(session: Session, manifest: Path, options: dict[str, Any], terms: RunOptions) -> int:
    """Run a manifest, or only plan it, and print the result; return the exit code."""
    project, path, mode = session.project(), session.file(manifest), _mode(session, options["progress"])
    with _reported_once(session, project, path), reading(session, path, plain=mode != "bar") as on_jobs:
        from ...app import plan, reported_errors, run
        from ..render.live import follower
        from ..render.stream import streamed

        batch = plan.read_manifest(project, path, overlay_of(session, options), on_jobs)
    if options["dry_run"]:
        return _print_plan(session, project, batch, run.preview(project, batch, terms), terms)
    confirm = confirmation(
        session, terms, yes=options["yes"] or project.sandbox, ask=not options["no_input"], real=not project.sandbox
    )
    observers = Observers.of(session, project, batch.name, options)
    if (stops := terms.stop_conditions.time_limits) and not (session.quiet or session.as_json):
        output.say(f"stops     {stops}")
    # From here on objects come and go, so garbage is looked for as usual; see batchgen/cli/__init__.py.
    gc.freeze()
    gc.set_threshold(700, 10, 10)
    with ExitStack() as parts:
        stream = parts.enter_context(streamed()) if mode == "json" else None
        parts.enter_context(observers.attending())
        parts.enter_context(_reported_once(session, project, path))
        follow = observers.follow(follower(mode) if stream is None else stream.follow)
        result = run.run(
            project, batch, terms, confirm, follow, show_message=observers.say, on_silence=observers.on_silence
        )
        _print_end(session, project, result, terms, stream)
        observers.report_end(result)
    reported_errors.forget(project, path)
    return result.exit_code


@contextmanager
def _reported_once(session: Session, project: Project, manifest: Path) -> Iterator[None]:
    """Mark an error that the unattended run before ended with as well: cron has sent it already."""
    from ...app import reported_errors

    try:
        yield
    except AlreadyRunning:
        raise
    except BatchgenError as error:
        error.already_reported = session.quiet and reported_errors.is_repeated(project, manifest, error)
        raise


def _print_plan(session: Session, project: Project, batch: Batch, plan: Plan, terms: RunOptions) -> int:
    from ...app.budgets import require_prices

    document, lines = notices(project, batch, plan)
    if session.as_json:
        output.document(plan.as_json() | document | (_requeue_document(plan, terms) if terms.only_requeued else {}))
        require_prices(batch, plan, terms.budget, unpriced=terms.allow_unpriced)
        return 0
    for warning in batch.warnings:
        output.say(warning_line(warning))
    shown = plan_lines(batch.name, plan, batch.manifest.parent, project.command_flags(batch.name), batch.manifest)
    for text in hanging([*shown, *requeue_lines(batch, plan, terms), *lines], output.columns()):
        output.data(text)
    if hint := _hint_at_done(project, batch.manifest, plan, terms):
        output.data(hint)
    require_prices(batch, plan, terms.budget, unpriced=terms.allow_unpriced)
    return 0


def _requeue_document(plan: Plan, terms: RunOptions) -> dict[str, Any]:
    """Return what ``retry --dry-run --json`` and ``redo --dry-run --json`` print in addition to the plan."""
    return {
        "with": dict(terms.overrides),
        "note": terms.note or None,
        "requeued": sorted(plan.again),
        "notices": [*plan.notices, *plan.ending],
    }


def _hint_at_done(project: Project, manifest: Path, plan: Plan, terms: RunOptions) -> str | None:
    """Return how done jobs are made again, for a retry that found nothing to requeue; or None."""
    if terms.requeue is None or terms.requeue.states != ("failed",) or not terms.only_requeued:
        return None
    if plan.matched or not plan.done:
        return None
    chosen = as_options(replace(terms.requeue, states=(), causes=())) or "--id ID"
    command = project.command_flags().on_manifest("redo", manifest, chosen)
    return f"retry requeues failed jobs. To make done ones again: {command}"


def _print_end(session: Session, project: Project, result: RunResult, terms: RunOptions, stream: Stream | None) -> None:
    from ..render.result import closing

    if stream is not None:
        stream.put_document("summary", result.as_json())
    elif session.as_json:
        output.document(result.as_json())
    elif not session.quiet or result.needs_attention:
        *lines, last = closing(result, resumed_shown=not session.quiet)
        hint = _hint_at_done(project, Path(result.status.batch.manifest), result.plan, terms)
        if terms.redo and result.failed:
            adopt = result.command_flags.on_batch("unknown adopt", "JOB FILE")
            hint = f"jobs whose redo failed keep their files. To accept one: {adopt}"
        # A plan that sends something has been shown with its notices.
        notes = [] if result.plan.lanes else under("note", result.plan.notices)
        lines = [*notes, *lines, *([hint] if hint else []), last]
        for line in hanging(lines, output.columns(sys.stderr)):
            output.say(line)


def _mode(session: Session, progress: str) -> str:
    if progress != "auto":
        return progress
    if session.quiet:
        return "none"
    # a terminal that cannot move its cursor would print the table again and again
    return "bar" if sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown") else "plain"
