"""The run itself."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import UsageError
from .. import output
from ..confirm import agreement
from ..observers import Observers
from ..options import Session, command, of_manifest, selecting, selection
from ..render.plan import amend_lines, notices, plan_lines
from ..run_options import overlay_of, run_options, terms_of

if TYPE_CHECKING:
    from ...app.project import Project
    from ...app.run import RunOptions, RunResult
    from ...manifest import Batch
    from ...planning.plan import Plan
    from ...planning.selection import Selection
    from ..render.stream import Stream


retry_failed = click.option("--retry-failed", is_flag=True, help="Put failed jobs back first, and run them as well.")


@command(
    "run",
    "batchgen run jobs/night.yaml --sandbox",
    "batchgen run jobs/night.yaml --budget 40",
    "batchgen run jobs/night.yaml --limit 10      try ten first",
)
@click.argument("manifest", type=click.Path(dir_okay=False, path_type=Path))
@retry_failed
@run_options
@selecting
def run(session: Session, manifest: Path, **options: Any) -> int:  # noqa: ANN401 - see run_options
    """Make the images that MANIFEST asks for and that are not there yet: all, or those selected.

    Running the same command again is the resume: what is done stays done, what was under way is finished first.
    """
    return run_selected(session, manifest, options)


def run_selected(session: Session, manifest: Path, options: dict[str, Any]) -> int:
    """Run what *options* select of a manifest, or only plan it; return the exit code."""
    chosen = of_manifest(selection(options))
    again = replace(chosen, states=("failed",)) if options["retry_failed"] else None
    if again is not None:
        # once put back they are pending and without a cause, as others may be
        chosen = replace(chosen, causes=())
    terms = terms_of(options, again, _sendable(chosen, manifest))
    return carry_out(session, manifest, options, replace(terms, only_requeued=False))


def _sendable(chosen: Selection, manifest: Path) -> Selection:
    """Return *chosen* for a run, which sends what is pending and nothing else; raise UsageError."""
    again = f"batchgen retry {shlex.quote(str(manifest))}"
    if chosen.causes:
        raise UsageError(
            f"--cause is about jobs that failed, and run does not send them again.  "
            f"To try them again: {again} --cause {chosen.causes[0]}"
        )
    if others := [state for state in chosen.states if state != "pending"]:
        raise UsageError(
            f"--status {others[0]}: run sends what is pending and nothing else.  "
            f"To put other jobs back and run them: {again} --status {others[0]}"
        )
    return replace(chosen, states=())


def carry_out(session: Session, manifest: Path, options: dict[str, Any], terms: RunOptions) -> int:
    """Run a manifest by *terms*, or only plan it, and say how it went; return the exit code."""
    from ...app import plan, run
    from ..render.live import follower
    from ..render.stream import streamed

    project = session.project(sandbox=options["sandbox"])
    batch = plan.read_manifest(project, session.file(manifest), overlay_of(session, options))
    if options["dry_run"]:
        return _tell_plan(session, project, batch, run.preview(project, batch, terms), terms)
    mode = _mode(session, options["progress"])
    agree = agreement(
        session, terms, yes=options["yes"] or project.sandbox, ask=not options["no_input"], real=not project.sandbox
    )
    company = Observers.of(session, project, batch.name, options)
    if (stops := terms.stop_conditions.time_limits) and not (session.quiet or session.as_json):
        output.say(f"stops     {stops}")
    with ExitStack() as parts:
        stream = parts.enter_context(streamed()) if mode == "json" else None
        parts.enter_context(company.attending())
        follow = company.follow(follower(mode) if stream is None else stream.follow)
        ended = run.run(project, batch, terms, agree, follow, show_message=company.say, on_silence=company.on_silence)
        _tell_end(session, ended, terms, stream)
        company.finished(ended)
    return ended.exit_code


def _tell_plan(session: Session, project: Project, batch: Batch, wish: Plan, terms: RunOptions) -> int:
    document, lines = notices(project, batch, wish)
    if session.as_json:
        output.document(wish.as_json() | document | ({"with": dict(terms.overrides)} if terms.only_requeued else {}))
        return 0
    for warning in batch.warnings:
        output.say(f"warning: {output.nearer(warning)}")
    for text in [*plan_lines(batch.name, wish, batch.manifest.parent), *amend_lines(wish, terms.overrides), *lines]:
        output.data(text)
    if hint := _of_the_done(wish, terms):
        output.data(hint)
    return 0


def _of_the_done(wish: Plan, terms: RunOptions) -> str | None:
    """Return how a retry that found nothing takes done jobs, or None."""
    if not (
        terms.only_requeued and not wish.matched and terms.requeue is not None and terms.requeue.states == ("failed",)
    ):
        return None
    return "retry puts failed jobs back; to make done ones again: --status done" if wish.done else None


def _tell_end(session: Session, ended: RunResult, terms: RunOptions, stream: Stream | None) -> None:
    from ...app.advice import needs_attention
    from ..render.result import closing

    if stream is not None:
        stream.tell("summary", **ended.as_json())
    elif session.as_json:
        output.document(ended.as_json())
    elif not session.quiet or needs_attention(ended):
        *lines, last = closing(ended, resumed_shown=not session.quiet)
        hint = _of_the_done(ended.plan, terms)
        for line in [*lines, *([hint] if hint else []), last]:
            output.say(line)


def _mode(session: Session, wanted: str) -> str:
    if wanted != "auto":
        return wanted
    if session.quiet:
        return "none"
    # a terminal that cannot move its cursor would get the table again and again
    return "bar" if sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown") else "plain"
