"""The ledger as a table, and as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .format import count, csv_line
from .status import call_lines, money_lines
from .table import Fit, table

if TYPE_CHECKING:
    from ...app.queries import UsageReport
    from ...store.usage_groups import UsageGroup

_HEADS = ("attempts", "images", "tokens in", "tokens out", "credits", "USD", "source")
_COUNTED = ("attempts", "images", "input_tokens", "output_tokens")
_SOURCES = ("reported", "priced", "estimated")


def usage_lines(report: UsageReport) -> Iterator[str]:
    """Yield the ledger for people: the rows, then the totals."""
    from ...store.usage_groups import usage_rows

    used = report.used
    keys = [key.value for key in used.query.by]
    rows = [_row(keys, share, row) for share, row in zip(used.groups, usage_rows(used), strict=True)]
    first = len(keys)
    fit = Fit(
        least=dict.fromkeys(range(first), 10), names=range(first), drop=[first + each for each in (2, 3, 6, 0, 1, 4)]
    )
    yield from table(rows, [*keys, *_HEADS], right=range(first, first + 6), fit=fit)
    if used.overlaps:
        yield "(a job counts under each of its tags, so the rows add up to more than the totals below)"
    since, until = used.query.period.since, used.query.period.until
    if since is not None or until is not None:
        bounds = [f"from {local_minute(since)}" if since else "", f"until {local_minute(until)}" if until else ""]
        yield f"booked    {' '.join(bounds).strip()}"
    if used.left_out:
        yield f"excluded  {count(used.left_out, 'attempt')} in flight: each is booked when it ends"
    scope = "for all batches" if report.batch is None else "for this batch"
    bounded = " in this time" if since is not None or until is not None else ""
    yield from money_lines(used.lines, scope + bounded)
    yield from call_lines(report.calls)


def _row(keys: Sequence[str], share: UsageGroup, row: dict[str, Any]) -> list[object]:
    present = {basis for line in share.lines for basis in line.usd_by_basis}
    sources = [source for source in _SOURCES if source in present] + ["unknown"] * bool(row["unpriced"])
    if in_flight := sum(line.open for line in share.lines):
        sources.append(f"{in_flight} open")
    return [
        *("(no tag)" if row[key] is None else row[key] for key in keys),
        *("" if row[name] is None else row[name] for name in _COUNTED),
        _credits(row["credits"]),
        row["usd"] or "unknown",
        ", ".join(sources),
    ]


def csv_lines(report: UsageReport) -> Iterator[str]:
    """Yield the rows as CSV; an unknown value, and the tag of a job without one, is an empty cell."""
    from ...store.usage_groups import usage_rows

    keys = [key.value for key in report.used.query.by]
    sources = [f"usd_{source}" for source in _SOURCES]
    yield csv_line([*keys, *_COUNTED, "credits", "usd", *sources, "at_risk_usd", "unpriced"])
    for row in usage_rows(report.used):
        counted = [row[name] for name in (*keys, *_COUNTED)]
        by_source = [row["usd_by_source"][source] for source in _SOURCES]
        yield csv_line(
            [*counted, _credits(row["credits"]), row["usd"], *by_source, row["at_risk_usd"], row["unpriced"]]
        )


def _credits(amount: str | dict[str, str] | None) -> str:
    if isinstance(amount, dict):
        return ", ".join(f"{number} {provider}" for provider, number in amount.items())
    return amount or ""


def local_minute(moment: datetime) -> str:
    """Return a moment in this machine's time zone, to the minute."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M %z}"
