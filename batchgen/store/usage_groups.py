"""The ledger, divided: by provider and model, or by day, tag, run or batch; and what ``usage --json`` prints.  Pure.

The job table sums up what need not be told apart; only then a sum is put on its day or under its tags.
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
    """What the ledger can be divided by."""

    PROVIDER = "provider"  #: who did it
    MODEL = "model"
    DAY = "day"  #: on which it was booked
    TAG = "tag"  #: of the job, as it is now; a job counts under each of its own
    RUN = "run"  #: in which the call went out
    BATCH = "batch"


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """When an attempt was booked, which is at its end: *since* is part of it, *until* is not; None is no bound."""

    since: datetime | None = None
    until: datetime | None = None

    def holds(self, moment: datetime) -> bool:
        """Tell whether *moment* lies in it."""
        return (self.since is None or self.since <= moment) and (self.until is None or moment < self.until)


ALWAYS = Period()


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageQuery:
    """What somebody wants to know of the ledger."""

    by: tuple[GroupBy, ...] = (GroupBy.PROVIDER, GroupBy.MODEL)
    period: Period = ALWAYS


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageSum:
    """Attempts that the job table summed up, with what they share of what was asked for."""

    line: UsageLine
    day: str | None = None  #: None: not asked for, or under way
    tags: tuple[str, ...] = ()
    run: str = ""
    batch: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageGroup:
    """One row of a division: its name by each key (None: a job without tags), and what it holds."""

    names: tuple[str | None, ...]
    lines: Sequence[UsageLine]


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupedUsage:
    """What was used, in all and divided."""

    asked: UsageQuery
    lines: Sequence[UsageLine]  #: in all, by provider and model
    groups: Sequence[UsageGroup]
    left_out: int = 0  #: attempts under way, which the period does not hold

    @property
    def overlaps(self) -> bool:
        """Tell whether the shares add up to more than all: a job counts under each of its tags."""
        return sum(line.attempts for share in self.groups for line in share.lines) > sum(
            line.attempts for line in self.lines
        )


def totals(booked: Iterable[UsageSum]) -> list[UsageLine]:
    """Return what was booked, by provider and model."""
    lines: dict[tuple[str, str], list[UsageLine]] = {}
    for one in booked:
        lines.setdefault((one.line.provider, one.line.model), []).append(one.line)
    return [merged(lines[name]) for name in sorted(lines)]


def group_usage(booked: Iterable[UsageSum], asked: UsageQuery, now: datetime) -> GroupedUsage:
    """Divide what was booked as *asked*; *now* is in the time zone whose days count.

    What is under way counts as now, for that is the earliest it can be booked: a period that is over leaves it out.
    """
    found = list(booked)
    inside = [one for one in found if not one.line.open or asked.period.holds(now)]
    today = now.date().isoformat()
    shares: dict[tuple[str | None, ...], list[UsageLine]] = {}
    for one in inside:
        for names in product(*(_names(one, key, today) for key in asked.by)):
            shares.setdefault(names, []).append(one.line)
    in_order = sorted(shares, key=lambda names: [(name is None, name or "") for name in names])
    return GroupedUsage(
        asked=asked,
        lines=totals(inside),
        groups=[UsageGroup(names=names, lines=shares[names]) for names in in_order],
        left_out=sum(one.line.open for one in found) - sum(one.line.open for one in inside),
    )


def _names(one: UsageSum, key: GroupBy, today: str) -> Sequence[str | None]:
    """Return what *one* counts under."""
    match key:
        case GroupBy.PROVIDER:
            return (one.line.provider,)
        case GroupBy.MODEL:
            return (one.line.model,)
        case GroupBy.DAY:
            return (one.day or today,)
        case GroupBy.TAG:
            return tuple(dict.fromkeys(one.tags)) or (None,)
        case GroupBy.RUN:
            return (one.run,)
        case GroupBy.BATCH:
            return (one.batch,)
    assert_never(key)


def usage_document(used: GroupedUsage, calls: Sequence[Calls] = (), batch: str | None = None) -> dict[str, Any]:
    """Return what ``usage --json`` prints; *batch* None: all of the job table."""
    period = used.asked.period
    return {
        "schema_version": SCHEMA_VERSION,
        "totals": figures(used.lines),
        "by": usage_rows(used),
        "calls": [one.as_json() for one in calls],
        "selected": {
            "batch": batch,
            "by": [key.value for key in used.asked.by],
            "since": period.since and period.since.isoformat(),
            "until": period.until and period.until.isoformat(),
            "open": sum(line.open for line in used.lines),
            "open_left_out": used.left_out,
        },
    }


def usage_rows(used: GroupedUsage) -> list[dict[str, Any]]:
    """Return a row for each share: its names by key, then its figures.

    Credits of two providers are two currencies: only where each row is of one provider they are one number.
    """
    rows = []
    for share in used.groups:
        named = {key.value: name for key, name in zip(used.asked.by, share.names, strict=True)}
        row: dict[str, Any] = named | figures(share.lines)
        if GroupBy.PROVIDER in used.asked.by:
            row["credits"] = next(iter(row["credits"].values()), None)
        rows.append(row)
    return rows
