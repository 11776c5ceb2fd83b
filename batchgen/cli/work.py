"""The run itself: run, retry."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import SpendNotConfirmed, UsageError
from . import words
from .options import Session, command, selecting, selection
from .options import sandbox as rehearsal

if TYPE_CHECKING:
    from ..app import Agree, Ended, Terms
    from ..manifest import Batch
    from ..plan import Plan

#: nano-USD above which a person at a terminal is asked.
CONFIRM_ABOVE = 1_000_000_000


def _run_options(function: Any) -> Any:  # noqa: ANN401 - a command's function, as click takes it
    for option in reversed(
        (
            click.argument("manifest", type=click.Path(dir_okay=False, path_type=Path)),
            rehearsal,
            click.option("-y", "--yes", is_flag=True, help="Spend without asking."),
            click.option("--budget", metavar="USD", help="Spend no more than this in this run; stating it is consent."),
            click.option(
                "-j",
                "--concurrency",
                type=click.IntRange(1, 2000),
                metavar="N",
                help="Requests in flight per provider.",
            ),
            click.option("-n", "--dry-run", is_flag=True, help="Only plan."),
            click.option("--wait-lock", type=float, default=0, metavar="SECONDS", help="Wait for another run to end."),
            click.option(
                "--progress", type=click.Choice(["auto", "bar", "plain", "none"]), default="auto", show_default=True
            ),
            click.option("--latency", default="realistic", hidden=True, help="Of the sandbox."),
        )
    ):
        function = option(function)
    return function


@command("run")
@_run_options
def run(session: Session, manifest: Path, dry_run: bool, **options: Any) -> int:  # noqa: ANN401 - see _run_options
    """Make the images that MANIFEST asks for and that are not there yet.

    Running the same command again is the resume: what is done stays done, what was under way is finished first.
    """
    if dry_run:
        from .prepare import plan

        code: int = plan.callback(session, manifest=manifest, sandbox=options["sandbox"])  # type: ignore[misc]
        return code
    return carry_out(session, manifest, options, requeue=None)


@command("retry")
@_run_options
@selecting
def retry(session: Session, manifest: Path, dry_run: bool, **options: Any) -> int:  # noqa: ANN401 - see _run_options
    """Put failed jobs of MANIFEST back, all or those selected, and run them."""
    from dataclasses import replace

    if dry_run:
        raise UsageError("retry has no dry run; see which jobs failed with: batchgen list --status failed")
    chosen = selection(options)
    return carry_out(session, manifest, options, requeue=replace(chosen, states=chosen.states or ("failed",)))


def carry_out(session: Session, manifest: Path, options: dict[str, Any], *, requeue: Any) -> int:  # noqa: ANN401
    """Run a manifest and say how it went; return the exit code."""
    from .. import app
    from .closing import closing
    from .display import follower

    place = session.place(sandbox=options["sandbox"])
    batch = app.read_manifest(place, session.file(manifest))
    terms = _terms(options, requeue)
    agree = _agreement(session, batch, terms, yes=options["yes"] or place.sandbox)
    ended = app.run(place, batch, terms, agree, follower(_mode(session, options["progress"])))
    if session.as_json:
        words.document(summary(ended))
    elif not session.quiet or ended.exit_code:
        for line in closing(ended, sandbox=place.sandbox):
            words.say(line)
    return ended.exit_code


def summary(ended: Ended) -> dict[str, Any]:
    """Return the end of a run as a JSON document."""
    from .. import ledger

    found = ended.standing
    body = ledger.status_document(found.batch.name, found.counts, found.usage, found.failures)
    return body | {
        "exit_code": ended.exit_code,
        "run": {
            "images": ended.images,
            "seconds": round(ended.seconds, 3),
            "lanes": [asdict(lane) for lane in ended.lanes],
            "folder": found.batch.folder,
        },
    }


def _terms(options: dict[str, Any], requeue: Any) -> Terms:  # noqa: ANN401
    from ..app import Terms
    from ..money import nano_usd

    budget = None
    if options["budget"] is not None:
        budget = nano_usd(options["budget"].lstrip("$"))
        if budget is None:
            raise UsageError(f"--budget takes an amount in USD, such as 40 or 0.50, not {options['budget']!r}")
    return Terms(
        budget=budget,
        concurrency=options["concurrency"],
        wait_lock=options["wait_lock"],
        requeue=requeue,
        latency=options["latency"],
    )


def _agreement(session: Session, batch: Batch, terms: Terms, *, yes: bool) -> Agree:
    """Return what agrees to a plan: a stated budget, --yes, a small sum, or a person at a terminal."""

    def agree(planned: Batch, wish: Plan) -> None:
        from .prepare import plan_lines

        if not session.quiet and not session.as_json:
            for warning in planned.warnings:
                words.say(f"warning: {warning}")
            for line in [*plan_lines(planned.name, wish), ""]:
                words.say(line)
        if yes or terms.budget is not None or batch.budget_usd is not None or batch.budget_credits:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise SpendNotConfirmed(
                "nobody agreed to spend: there is no terminal to ask.  Nothing was sent.  "
                "Say --yes, or name a limit: --budget USD, or budget: in the manifest"
            )
        high = wish.usd.high
        if high is not None and high <= CONFIRM_ABOVE and not wish.unpriced:
            return
        if not click.confirm(
            f"Spend {words.span(wish.usd, words.usd)} on {words.count(wish.images, 'image')}?", err=True
        ):
            raise SpendNotConfirmed("not confirmed.  Nothing was sent.")

    return agree


def _mode(session: Session, wanted: str) -> str:
    if wanted != "auto":
        return wanted
    if session.quiet:
        return "none"
    return "bar" if sys.stderr.isatty() else "plain"
