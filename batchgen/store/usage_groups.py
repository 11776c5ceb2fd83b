"""Usage groups: the ledger by provider, model, day, tag, run or batch, and the document of ``usage --json``. Pure.

SQL sums up as much as it can; the sums are then assigned to days and tags here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import product
from typing import Any, assert_never

from .ledger import SCHEMA_VERSION, Calls, UsageLine, figures, merged


class GroupBy(StrEnum):
    """What the ledger can be grouped by."""

    PROVIDER = "provider"  #: that was called
    MODEL = "model"
    DAY = "day"  #: of the booking
    TAG = "tag"  #: of the job, as it is now; a job counts under each of its tags
    RUN = "run"  #: that sent the request
    BATCH = "batch"
    MODE = "mode"  #: in which the request was bought


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """A period by the time of booking, which is the end of an attempt: *since* inclusive, *until* exclusive."""

    since: datetime | None = None
    until: datetime | None = None

    def holds(self, moment: datetime) -> bool:
        """Return whether *moment* is in the period."""
        return (self.since is None or self.since <= moment) and (self.until is None or moment < self.until)


ALWAYS = Period()


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageQuery:
    """A question about the ledger."""

    by: tuple[GroupBy, ...] = (GroupBy.PROVIDER, GroupBy.MODEL)
    period: Period = ALWAYS


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageSum:
    """The sum of some attempts, with the values that they have in common."""

    line: UsageLine
    day: str | None = None  #: None: not requested, or in flight
    tags: tuple[str, ...] = ()
    run: str = ""
    batch: str = ""
    mode: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageGroup:
    """One group: its name by each key (None: a job without tags), and its sums."""

    names: tuple[str | None, ...]
    lines: Sequence[UsageLine]


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupedUsage:
    """Usage in total and by group."""

    query: UsageQuery
    lines: Sequence[UsageLine]  #: in total, by provider and model
    groups: Sequence[UsageGroup]
    left_out: int = 0  #: attempts in flight, which the period does not include

    @property
    def overlaps(self) -> bool:
        """Return whether the groups add up to more than the total, because a job counts under each of its tags."""
        return sum(line.attempts for group in self.groups for line in group.lines) > sum(
            line.attempts for line in self.lines
        )


def totals(sums: Iterable[UsageSum]) -> list[UsageLine]:
    """Return the sums by provider and model."""
    lines: dict[tuple[str, str], list[UsageLine]] = {}
    for part in sums:
        lines.setdefault((part.line.provider, part.line.model), []).append(part.line)
    return [merged(lines[name]) for name in sorted(lines)]


def group_usage(sums: Iterable[UsageSum], query: UsageQuery, now: datetime) -> GroupedUsage:
    """Group *sums* as *query* asks; *now* is in the time zone whose days count.

    Attempts in flight count as booked now, which is the earliest possible time: a past period leaves them out.
    """
    every = list(sums)
    inside = [part for part in every if not part.line.open or query.period.holds(now)]
    today = now.date().isoformat()
    groups: dict[tuple[str | None, ...], list[UsageLine]] = {}
    for part in inside:
        for names in product(*(_names(part, key, today) for key in query.by)):
            groups.setdefault(names, []).append(part.line)
    in_order = sorted(groups, key=lambda names: [(name is None, name or "") for name in names])
    return GroupedUsage(
        query=query,
        lines=totals(inside),
        groups=[UsageGroup(names=names, lines=groups[names]) for names in in_order],
        left_out=sum(part.line.open for part in every) - sum(part.line.open for part in inside),
    )


def _names(part: UsageSum, key: GroupBy, today: str) -> Sequence[str | None]:
    """Return the names under which a sum counts."""
    match key:
        case GroupBy.PROVIDER:
            return (part.line.provider,)
        case GroupBy.MODEL:
            return (part.line.model,)
        case GroupBy.DAY:
            return (part.day or today,)
        case GroupBy.TAG:
            return tuple(dict.fromkeys(part.tags)) or (None,)
        case GroupBy.RUN:
            return (part.run,)
        case GroupBy.BATCH:
            return (part.batch,)
        case GroupBy.MODE:
            return (part.mode,)
    assert_never(key)


def usage_document(used: GroupedUsage, calls: Sequence[Calls] = (), batch: str | None = None) -> dict[str, Any]:
    """Return the document of ``usage --json``; *batch* None: all batches."""
    period = used.query.period
    return {
        "schema_version": SCHEMA_VERSION,
        "totals": figures(used.lines),
        "by": usage_rows(used),
        "calls": [group.as_json() for group in calls],
        "selected": {
            "batch": batch,
            "by": [key.value for key in used.query.by],
            "since": period.since and period.since.isoformat(),
            "until": period.until and period.until.isoformat(),
            "open": sum(line.open for line in used.lines),
            "open_left_out": used.left_out,
        },
    }


def usage_rows(used: GroupedUsage) -> list[dict[str, Any]]:
    """Return a row for each group: its names by key, then its figures.

    Each provider's credits are a currency of their own, so they are one number only if rows are grouped by provider.
    """
    rows = []
    for group in used.groups:
        named = {key.value: name for key, name in zip(used.query.by, group.names, strict=True)}
        row: dict[str, Any] = named | figures(group.lines)
        if GroupBy.PROVIDER in used.query.by:
            row["credits"] = next(iter(row["credits"].values()), None)
        rows.append(row)
    return rows
