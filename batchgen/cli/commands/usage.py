"""What was used: the ledger, divided as asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from ...errors import UsageError
from .. import output
from ..options import Session, batch, command
from ..options import sandbox as rehearsal

if TYPE_CHECKING:
    from ...app.queries import UsageReport
    from ...store.usage_groups import UsageGroup, UsageQuery

_KEYS = ("provider", "model", "day", "tag", "run", "batch")
_HEADS = ("attempts", "images", "tokens in", "tokens out", "credits", "USD", "source")
_COUNTED = ("attempts", "images", "input_tokens", "output_tokens")
_SOURCES = ("reported", "priced", "estimated")


@command(
    "usage",
    "batchgen usage",
    "batchgen usage --by day --by provider --since 7d",
    "batchgen usage --by tag --csv > tags.csv",
    "batchgen usage --all --since 2026-11-01 --until 2026-11-30    the bill of November",
    "batchgen usage --json | jq .totals.usd",
)
@click.option(
    "--by",
    multiple=True,
    type=click.Choice(_KEYS),
    help="A row for each; given twice: for each pair.  Default: provider and model.",
)
@click.option("--since", metavar="WHEN", help="What was booked from then on: a date, a time, or a span ago.")
@click.option("--until", metavar="WHEN", help="What was booked before then; a date: before its end.")
@click.option("--csv", "as_csv", is_flag=True, help="The table as CSV.")
@click.option("--all", "every", is_flag=True, help="All batches of the job table; --by batch means it, too.")
@batch
@rehearsal
def usage(session: Session, batch: str | None, sandbox: bool, **options: Any) -> int:  # noqa: ANN401 - those above
    """Show the ledger: attempts, images, tokens, credits and USD, by provider and model or as you like.

    WHEN is a date, a date and time, or a span ago: 30m, 24h, 7d, 2w.  Days and times are those of this machine's
    time zone (TZ), unless a time says its own: 2026-11-20T18:30Z.  An attempt is booked when it ends; one under way
    counts as now, with no cost yet.  A job counts under each of its tags.
    """
    from ...app import queries
    from ...store.usage_groups import usage_document

    if options["as_csv"] and session.as_json:
        raise UsageError("--csv or --json: stdout holds one of them")
    if options["every"] and batch is not None:
        raise UsageError("--all is every batch, --batch is one: say which")
    now = datetime.now().astimezone()
    every = options["every"] or ("batch" in options["by"] and batch is None)
    found = queries.usage(session.project(sandbox=sandbox), batch, asked(options, now), now, every=every)
    if session.as_json:
        output.document(usage_document(found.used, found.calls, found.batch))
        return 0
    for text in csv_lines(found) if options["as_csv"] else _screen(found):
        output.data(text)
    return 0


def asked(options: dict[str, Any], now: datetime) -> UsageQuery:
    """Read what is asked of the ledger; raise UsageError."""
    from ...store.usage_groups import GroupBy, Period, UsageQuery

    since = moment("--since", options["since"], now)
    until = moment("--until", options["until"], now, end=True)
    if since is not None and until is not None and since > until:
        raise UsageError(
            f"--since {options['since']} ({_clock(since)}) is later than --until {options['until']}"
            f" ({_clock(until)}): turn them round"
        )
    keys = dict.fromkeys(GroupBy(key) for key in options["by"])
    return UsageQuery(by=tuple(keys) or UsageQuery().by, period=Period(since=since, until=until))


def moment(option: str, text: str | None, now: datetime, *, end: bool = False) -> datetime | None:
    """Read a moment, in this machine's time zone where it names none; *end*: of a date, its end; raise UsageError."""
    if text is None:
        return None
    span = re.fullmatch(r"([0-9]{1,6})(m|h|d|w)", text.strip())
    try:
        if span is not None:
            minutes = {"m": 1, "h": 60, "d": 24 * 60, "w": 7 * 24 * 60}[span[2]]
            return (now - timedelta(minutes=int(span[1]) * minutes)).astimezone()
        date = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2})([T ].+)?", text.strip())
        if date is not None:
            days = timedelta(days=end and date[2] is None)
            # not astimezone alone: a midnight that a change of clocks leaves out would be an hour early
            return datetime.fromtimestamp((datetime.fromisoformat(date[0]) + days).timestamp(), UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        pass  # a thirteenth month, or a day beyond what calendars and clocks can tell
    raise UsageError(
        f"{option} takes a date such as 2026-11-20, a date and time such as 2026-11-20T18:30, "
        f"or a span ago such as 24h or 7d, not {text!r}"
    )


def _screen(found: UsageReport) -> Iterator[str]:
    """Yield the ledger for people: the rows, then all of it in words."""
    from ...store.usage_groups import usage_rows

    used = found.used
    keys = [key.value for key in used.asked.by]
    rows = [_row(keys, share, row) for share, row in zip(used.groups, usage_rows(used), strict=True)]
    yield from output.table(rows, [*keys, *_HEADS], right=range(len(keys), len(keys) + 6))
    if used.overlaps:
        yield "(a job counts under each of its tags, so these rows add up to more than there is; below, it counts once)"
    since, until = used.asked.period.since, used.asked.period.until
    if since is not None or until is not None:
        bounds = [f"from {_clock(since)}" if since else "", f"until {_clock(until)}" if until else ""]
        yield f"booked    {' '.join(bounds).strip()}"
    if used.left_out:
        yield f"left out  {output.count(used.left_out, 'attempt')} under way: each is booked when it ends"
    yield from output.money_lines(used.lines)
    yield from output.call_lines(found.calls)


def _row(keys: Sequence[str], share: UsageGroup, row: dict[str, Any]) -> list[object]:
    known = {basis for line in share.lines for basis in line.usd_by_basis}
    sources = [source for source in _SOURCES if source in known] + ["unknown"] * bool(row["unpriced"])
    if under_way := sum(line.open for line in share.lines):
        sources.append(f"{under_way} open")
    return [
        *("(no tag)" if row[key] is None else row[key] for key in keys),
        *("" if row[name] is None else row[name] for name in _COUNTED),
        _credits(row["credits"]),
        row["usd"] or "unknown",
        ", ".join(sources),
    ]


def csv_lines(found: UsageReport) -> Iterator[str]:
    """Yield the rows as CSV; what is unknown is an empty cell, and so is the tag of a job without one."""
    from ...store.usage_groups import usage_rows

    keys = [key.value for key in found.used.asked.by]
    sources = [f"usd_{source}" for source in _SOURCES]
    yield output.csv_line([*keys, *_COUNTED, "credits", "usd", *sources, "at_risk_usd", "unpriced"])
    for row in usage_rows(found.used):
        parts = [row["usd_by_source"][source] for source in _SOURCES]
        told = [*(row[name] for name in (*keys, *_COUNTED)), _credits(row["credits"]), row["usd"], *parts]
        yield output.csv_line([*told, row["at_risk_usd"], row["unpriced"]])


def _credits(amount: str | dict[str, str] | None) -> str:
    """Return credits for a cell: a number, or one for each provider."""
    if isinstance(amount, dict):
        return ", ".join(f"{number} {provider}" for provider, number in amount.items())
    return amount or ""


def _clock(when: datetime) -> str:
    return f"{when.astimezone():%Y-%m-%d %H:%M %z}"
