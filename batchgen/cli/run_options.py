"""The options of a run, and what they say."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from .observers import following
from .options import Function, Session, keep_changed, spoken
from .options import sandbox as rehearsal

if TYPE_CHECKING:
    from ..app.run import RunOptions
    from ..app.shutdown import StopConditions
    from ..manifest.overrides import Overlay
    from ..planning.selection import Selection

#: The limit that a rate is about, by its unit of time.
_RATES = {"s": "requests_per_second", "m": "requests_per_minute", "d": "requests_per_day"}

_OPTIONS = (
    rehearsal,
    click.option("-y", "--yes", is_flag=True, help="Spend without asking."),
    click.option("--budget", metavar="USD", help="Spend no more than this in this run; stating it is consent."),
    click.option("--allow-unpriced", is_flag=True, help="Send what has no known price even under a budget."),
    click.option("--no-input", is_flag=True, help="Ask nobody, also at a terminal."),
    click.option("-n", "--dry-run", is_flag=True, help="Only plan."),
    keep_changed,
    click.option(
        "-j", "--concurrency", type=click.IntRange(1, 5000), metavar="N", help="Requests in flight per provider."
    ),
    click.option(
        "--rate",
        "rates",
        multiple=True,
        metavar="PROVIDER=60/m",
        help="Requests a minute, in this run; also /s and /d.",
    ),
    click.option(
        "--max-attempts",
        type=click.IntRange(1, 50),
        metavar="N",
        help="Most paid attempts for a job, earlier runs included.",
    ),
    click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Put the images of this run there.",
    ),
    click.option("--stop-at", metavar="HH:MM", help="Start nothing new after this time of day."),
    click.option("--max-time", metavar="6h", help="Start nothing new after so long: 90s, 30m, 6h."),
    click.option("--max-failures", metavar="N|P%", help="Stop when more jobs than this failed."),
    click.option(
        "--fail-on",
        type=click.Choice(["any", "all", "never"]),
        default="any",
        show_default=True,
        help="Which failures of jobs end a run with 3; all: only where no job of the batch is done.",
    ),
    click.option("--wait-lock", type=float, default=0, metavar="SECONDS", help="Wait for another run to end."),
    click.option(
        "--progress",
        type=click.Choice(["auto", "bar", "plain", "json", "none"]),
        default="auto",
        show_default=True,
        help="A table that is drawn anew, plain lines, or JSON lines on stdout.",
    ),
    click.option("--latency", default="realistic", hidden=True, help="Of the sandbox."),
)


def run_options(function: Function) -> Function:
    """Give a command the options of a run."""
    function = following(function)
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def rehearsal_options(latency: str) -> dict[str, Any]:
    """Return the options of a run that nobody typed: on the sandbox, everything else as by default."""
    unset = dict.fromkeys(("budget", "concurrency", "max_attempts", "out", "stop_at", "max_time", "max_failures"))
    no = dict.fromkeys(("allow_unpriced", "keep_changed", "no_input", "dry_run"), False)
    chosen = {"sandbox": True, "yes": True, "wait_lock": 0.0, "rates": (), "fail_on": "any"}
    return unset | no | chosen | {"progress": "auto", "latency": latency}


def overlay_of(session: Session, options: Mapping[str, Any]) -> Overlay:
    """Return what *options* say over the manifest; raise UsageError."""
    from ..manifest.overrides import Overlay

    return Overlay(
        concurrency=options["concurrency"],
        rates=_rates(options["rates"]),
        attempts=options["max_attempts"],
        folder=session.file(options["out"]) if options["out"] else None,
    )


def terms_of(
    options: Mapping[str, Any],
    requeue: Selection | None,
    chosen: Selection | None,
    amend: Mapping[str, Any] | None = None,
) -> RunOptions:
    """Return what *options* say of a run; raise UsageError."""
    from ..app.run import RunOptions
    from ..planning.selection import Selection

    return RunOptions(
        budget=amount(options["budget"]),
        allow_unpriced=options["allow_unpriced"],
        wait_lock=options["wait_lock"],
        requeue=requeue,
        overrides=amend or {},
        selection=chosen or Selection(),
        keep_changed=options["keep_changed"],
        stop_conditions=bounds(
            options["stop_at"], options["max_time"], options["max_failures"], datetime.now().astimezone()
        ),
        fail_on=options["fail_on"],
        interactive=sys.stdin.isatty() and sys.stderr.isatty(),
        latency=options["latency"],
        selected_by=spoken(requeue or chosen or Selection()),
        again=_again(options),
    )


def amount(budget: str | None) -> int | None:
    """Read what --budget says, in nano-USD; raise UsageError."""
    from ..money import nano_usd

    found = None if budget is None else nano_usd(budget.lstrip("$"))
    if budget is not None and found is None:
        raise UsageError(f"--budget takes an amount in USD, such as 40 or 0.50, not {budget!r}")
    return found


def _again(options: Mapping[str, Any]) -> str:
    """Return the options of a run without which the next would spend more, or put its images elsewhere; as typed."""
    said = [("--budget", options["budget"]), ("--out", options["out"])]
    return "".join(f" {name} {shlex.quote(str(value))}" for name, value in said if value is not None)


def bounds(stop_at: str | None, max_time: str | None, max_failures: str | None, now: datetime) -> StopConditions:
    """Read the options that end a run; raise UsageError.  A time of day that has passed means tomorrow's."""
    from ..app.shutdown import StopConditions

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
    return StopConditions(stop_at=moment, max_time=span, max_failures=count, max_failures_percent=percent)


def _rates(said: Iterable[str]) -> dict[str, dict[str, float]]:
    """Read what --rate says, as limits by provider; raise UsageError."""
    found: dict[str, dict[str, float]] = {}
    for text in said:
        read = re.fullmatch(r"([^=]+)=(\d{1,9}(?:\.\d{1,9})?)/([smd])", text.strip())
        if read is None or not float(read[2]):
            raise UsageError(f"--rate takes a provider and a rate, such as openai=60/m, 2/s or 5000/d, not {text!r}")
        name, number, unit = read.groups()
        if unit == "d" and not number.isdecimal():
            raise UsageError(f"--rate {text}: requests a day are a whole number")
        found.setdefault(name, {})[_RATES[unit]] = int(number) if unit == "d" else float(number)
    return found
