"""The usage command: the ledger, grouped as asked."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from ...errors import UsageError
from ..options import Session, batch, batch_argument, command, option, sandbox
from ..params import SINCE, UNTIL

if TYPE_CHECKING:
    from ...store.usage_groups import UsageQuery

_KEYS = ("provider", "model", "day", "tag", "run", "batch", "mode")


@command(
    "usage",
    "batchgen usage",
    "batchgen usage --by day --by provider --since 7d",
    "batchgen usage --by tag --csv > tags.csv",
    "batchgen usage --all --since 2026-11-01 --until 2026-11-30    the bill of November",
    "batchgen usage --json | jq .totals.usd",
)
@option(
    "--by",
    multiple=True,
    type=click.Choice(_KEYS),
    help="Group by this; given twice: by each pair. Default: provider and model.",
)
@option("--since", type=SINCE, help="Only what was booked since: a date, a time, or a span ago.")
@option("--until", type=UNTIL, help="Only what was booked before; a date: before its end.")
@option("--csv", "as_csv", is_flag=True, help="Print the table as CSV.")
@option("--all", "every", is_flag=True, help="All batches of the job database; implied by --by batch.")
@batch_argument
@batch
@sandbox
def usage(session: Session, batch: str | None, **options: Any) -> int:  # noqa: ANN401 - those above
    """Show the ledger by provider, model, day, tag, run, batch or mode.

    It has attempts, images, tokens, credits and USD. WHEN is a date, a date and time, or a span ago: 30m, 24h, 7d, 2w.
    Days and times are in this machine's time zone (TZ), unless a time names another: 2026-11-20T18:30Z. An attempt is
    booked when it ends; one in flight counts as now, at no cost yet. A job counts under each of its tags.
    """
    from ...app import queries
    from ...store.usage_groups import usage_document
    from ..render.usage import csv_lines, usage_lines

    if options["as_csv"] and session.as_json:
        raise UsageError("--csv and --json exclude each other")
    if options["every"] and batch is not None:
        raise UsageError("--all and --batch exclude each other")
    every = options["every"] or ("batch" in options["by"] and batch is None)
    now = datetime.now().astimezone()
    report = queries.usage(session.project(), batch, grouping(options), now, every=every)
    lines = csv_lines(report) if options["as_csv"] else usage_lines(report)
    session.print(usage_document(report.used, report.calls, report.batch), lines)
    return 0


def grouping(options: dict[str, Any]) -> UsageQuery:
    """Return the period and the keys that the options ask for; raise UsageError."""
    from ...store.usage_groups import GroupBy, Period, UsageQuery
    from ..render.usage import local_minute

    since, until = options["since"], options["until"]
    if since is not None and until is not None and since > until:
        raise UsageError(f"--since ({local_minute(since)}) is later than --until ({local_minute(until)})")
    keys = dict.fromkeys(GroupBy(key) for key in options["by"])
    return UsageQuery(by=tuple(keys) or UsageQuery().by, period=Period(since=since, until=until))
