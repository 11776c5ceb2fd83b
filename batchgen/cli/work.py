"""The run itself."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import SpendNotConfirmed, UsageError
from . import words
from .company import Company, following
from .options import Session, command, keep_changed, of_manifest, selecting, selection, spoken
from .options import sandbox as rehearsal
from .planning import amend_lines, many, plan_lines, question

if TYPE_CHECKING:
    from ..app.run import Agree, Ended, Terms
    from ..app.stop import Bounds
    from ..manifest import Batch
    from ..plan import Plan
    from ..selection import Selection


def run_options(function: Any) -> Any:  # noqa: ANN401 - a command's function, as click takes it
    """Give a command the options of a run."""
    function = following(function)
    for option in reversed(
        (
            rehearsal,
            click.option("-y", "--yes", is_flag=True, help="Spend without asking."),
            click.option("--budget", metavar="USD", help="Spend no more than this in this run; stating it is consent."),
            click.option(
                "-j",
                "--concurrency",
                type=click.IntRange(1, 5000),
                metavar="N",
                help="Requests in flight per provider.",
            ),
            click.option("--allow-unpriced", is_flag=True, help="Send what has no known price even under a budget."),
            click.option("-n", "--dry-run", is_flag=True, help="Only plan."),
            keep_changed,
            click.option("--stop-at", metavar="HH:MM", help="Start nothing new after this time of day."),
            click.option("--max-time", metavar="6h", help="Start nothing new after so long: 90s, 30m, 6h."),
            click.option("--max-failures", metavar="N|P%", help="Stop when more jobs than this failed."),
            click.option("--wait-lock", type=float, default=0, metavar="SECONDS", help="Wait for another run to end."),
            click.option(
                "--progress",
                type=click.Choice(["auto", "bar", "plain", "none"]),
                default="auto",
                show_default=True,
                help="A table that is drawn anew, or plain lines.",
            ),
            click.option("--latency", default="realistic", hidden=True, help="Of the sandbox."),
        )
    ):
        function = option(function)
    return function


@command(
    "run",
    "batchgen run jobs/night.yaml --sandbox",
    "batchgen run jobs/night.yaml --budget 40",
    "batchgen run jobs/night.yaml --limit 10      try ten first",
)
@click.argument("manifest", type=click.Path(dir_okay=False, path_type=Path))
@run_options
@selecting
def run(session: Session, manifest: Path, dry_run: bool, **options: Any) -> int:  # noqa: ANN401 - see run_options
    """Make the images that MANIFEST asks for and that are not there yet: all, or those selected.

    Running the same command again is the resume: what is done stays done, what was under way is finished first.
    """
    return run_selected(session, manifest, options, dry_run=dry_run)


def run_selected(session: Session, manifest: Path, options: dict[str, Any], *, dry_run: bool) -> int:
    """Run what *options* select of a manifest, or only plan it; return the exit code."""
    chosen = _sendable(of_manifest(selection(options)), manifest)
    if dry_run:
        from .prepare import show_plan

        asked = {name: options[name] for name in ("sandbox", "keep_changed", "concurrency")}
        return show_plan(session, manifest, chosen, **asked)
    return carry_out(session, manifest, options, requeue=None, chosen=chosen)


def _sendable(chosen: Selection, manifest: Path) -> Selection:
    """Return *chosen* for a run, which sends what is pending and nothing else; raise UsageError."""
    from dataclasses import replace

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


def carry_out(
    session: Session,
    manifest: Path,
    options: dict[str, Any],
    *,
    requeue: Selection | None,
    chosen: Selection | None = None,
    amend: Mapping[str, Any] | None = None,
) -> int:
    """Run a manifest, or those of its jobs that are *chosen*, and say how it went; return the exit code."""
    from ..app import prepare, run
    from .display import follower

    place = session.place(sandbox=options["sandbox"])
    batch = prepare.read_manifest(place, session.file(manifest))
    terms = terms_of(options, requeue, chosen, amend)
    agree = _agreement(session, terms, yes=options["yes"] or place.sandbox)
    company = Company.of(session, place, batch.name, options)
    follow = company.follow(follower(_mode(session, options["progress"])))
    with company.attending():
        ended = run.run(place, batch, terms, agree, follow, company.say, silence=company.silence)
        _tell_end(session, ended)
        company.finished(ended)
    return ended.exit_code


def _tell_end(session: Session, ended: Ended) -> None:
    from ..app import summary
    from ..app.after import needs_a_person
    from .closing import closing

    if session.as_json:
        words.document(summary.document(ended))
    elif not session.quiet or needs_a_person(ended):
        for line in closing(ended):
            words.say(line)


def rehearsal_options(latency: str) -> dict[str, Any]:
    """Return the options of a run that nobody typed: on the sandbox, everything else as by default."""
    unset = dict.fromkeys(("budget", "concurrency", "stop_at", "max_time", "max_failures"))
    no = dict.fromkeys(("allow_unpriced", "keep_changed"), False)
    return unset | no | {"sandbox": True, "yes": True, "wait_lock": 0.0, "progress": "auto", "latency": latency}


def terms_of(
    options: Mapping[str, Any],
    requeue: Selection | None,
    chosen: Selection | None,
    amend: Mapping[str, Any] | None = None,
) -> Terms:
    """Return what *options* say of a run; raise UsageError."""
    from ..app.run import Terms
    from ..money import nano_usd
    from ..selection import Selection

    budget = None
    if options["budget"] is not None:
        budget = nano_usd(options["budget"].lstrip("$"))
        if budget is None:
            raise UsageError(f"--budget takes an amount in USD, such as 40 or 0.50, not {options['budget']!r}")
    return Terms(
        budget=budget,
        allow_unpriced=options["allow_unpriced"],
        concurrency=options["concurrency"],
        wait_lock=options["wait_lock"],
        requeue=requeue,
        amend=amend or {},
        selection=chosen or Selection(),
        keep_changed=options["keep_changed"],
        bounds=bounds(options["stop_at"], options["max_time"], options["max_failures"], datetime.now().astimezone()),
        latency=options["latency"],
        chosen=spoken(requeue or chosen or Selection()),
    )


def bounds(stop_at: str | None, max_time: str | None, max_failures: str | None, now: datetime) -> Bounds:
    """Read the options that end a run; raise UsageError.  A time of day that has passed means tomorrow's."""
    from ..app.stop import Bounds

    moment = span = count = percent = None
    if stop_at is not None:
        if not re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", stop_at):
            raise UsageError(f"--stop-at takes a time of day such as 06:30, not {stop_at!r}")
        hour, minute = map(int, stop_at.split(":"))
        moment = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        moment += timedelta(days=moment <= now)
    if max_time is not None:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", max_time)
        if found is None:
            raise UsageError(f"--max-time takes a duration such as 90s, 30m or 6h, not {max_time!r}")
        span = timedelta(seconds=float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2] or "s"])
    if max_failures is not None:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)(%)?", max_failures)
        if found is None or (found[2] is None and "." in found[1]):
            raise UsageError(f"--max-failures takes a number such as 20, or a share such as 5%, not {max_failures!r}")
        count, percent = (None, float(found[1])) if found[2] else (int(found[1]), None)
    return Bounds(stop_at=moment, max_time=span, max_failures=count, max_failures_percent=percent)


def _agreement(session: Session, terms: Terms, *, yes: bool) -> Agree:
    """Return what agrees to a plan: a stated budget, --yes, a small sum, or a person at a terminal."""

    def agree(batch: Batch, wish: Plan) -> int | None:
        if not session.quiet and not session.as_json:
            for warning in batch.warnings:
                words.say(f"warning: {words.nearer(warning)}")
            for line in [*plan_lines(batch.name, wish, None), *amend_lines(wish, terms.amend), ""]:
                words.say(line)
        capped = _is_capped(batch, wish, terms)
        if terms.budget is not None or batch.budget:
            _refuse_unpriced(batch, wish, terms)
        if yes or capped:
            return None
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise SpendNotConfirmed(
                "nobody agreed to spend: there is no terminal to ask.  Nothing was sent.  "
                "Say --yes, or name a limit: --budget USD, or budget: in the manifest"
            )
        return _asked(wish) if wish.asks else None

    return agree


def _is_capped(batch: Batch, wish: Plan, terms: Terms) -> bool:
    """Tell whether a stated budget covers everything that would be sent: only then it is consent."""
    if terms.budget is not None or any(limit.usd is not None and limit.only is None for limit in batch.budget):
        return True
    covered = {limit.only for limit in batch.budget if limit.usd is not None}
    covered |= {name for limit in batch.budget for name in limit.credits}
    asked = {*(lane.provider for lane in wish.lanes), *wish.alternates}
    return bool(batch.budget) and asked <= covered


def _asked(wish: Plan) -> int | None:
    """Ask a person; return how many jobs to try first, None for all; raise SpendNotConfirmed."""
    while True:
        said = click.prompt(question(wish), default="", show_default=False, prompt_suffix=" ", err=True).strip().lower()
        if said in ("y", "yes"):
            return None
        if said in ("", "n", "no"):
            raise SpendNotConfirmed("not confirmed.  Nothing was sent.")
        if said.isascii() and said.isdigit() and int(said) > 0:
            first = int(said)
            if first >= wish.requests:
                return None
            words.say(f"trying the first {many(first, 'job')} of {wish.requests:,}")
            return first
        words.say("y spends it, n does not, and a number such as 5 makes the first 5 jobs and leaves the rest")


def _refuse_unpriced(planned: Batch, wish: Plan, terms: Terms) -> None:
    """Raise SpendNotConfirmed where a budget could not be kept, because nobody knows what a request costs."""
    in_credits = {name for limit in planned.budget for name in limit.credits}
    usd = terms.budget is not None or any(limit.usd is not None for limit in planned.budget)
    told = terms.allow_unpriced or any(limit.unpriced for limit in planned.budget)
    lacking = dict.fromkeys(lane.provider for lane in wish.lanes if lane.unpriced and lane.provider not in in_credits)
    if usd and lacking and not told:
        raise SpendNotConfirmed(
            f"there is a budget in USD, but no price in USD for {', '.join(lacking)}, so nobody could say whether it "
            "holds.  Nothing was sent.  State the price (providers: NAME: tariff: {usd_per_image: 0.05}), or a budget "
            "in its credits, or say --allow-unpriced"
        )


def _mode(session: Session, wanted: str) -> str:
    if wanted != "auto":
        return wanted
    if session.quiet:
        return "none"
    # a terminal that cannot move its cursor would get the table again and again
    return "bar" if sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown") else "plain"
