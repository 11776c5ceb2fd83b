"""What ``usage`` reads and prints: moments on this machine's clock, rows for people and for spreadsheets."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta

import pytest

from batchgen.app.queries import UsageReport
from batchgen.cli.commands.usage import grouping
from batchgen.cli.params import parse_moment
from batchgen.cli.render.usage import csv_lines, usage_lines
from batchgen.errors import UsageError
from batchgen.store.ledger import Calls, UsageLine
from batchgen.store.usage_groups import GroupBy, Period, UsageQuery, UsageSum, group_usage
from tests.zones import BERLIN, CAIRO, KATHMANDU, local

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("tz", "text", "end", "expected"),
    [
        ("UTC0", "2026-11-20", False, "2026-11-20T00:00"),
        ("UTC0", "2026-11-20", True, "2026-11-21T00:00"),
        ("UTC0", "2026-11-20T18:30", True, "2026-11-20T18:30"),
        ("UTC0", "2026-11-20 18:30:05", False, "2026-11-20T18:30:05"),
        (BERLIN, "2026-11-20T18:30Z", False, "2026-11-20T18:30"),
        (BERLIN, "2026-11-20T18:30-05:00", False, "2026-11-20T23:30"),
        (BERLIN, "2026-11-20", False, "2026-11-19T23:00"),
        (BERLIN, "2026-07-01T00:00", False, "2026-06-30T22:00"),
        # a day of 23 hours, and one of 25
        (BERLIN, "2026-03-29", False, "2026-03-28T23:00"),
        (BERLIN, "2026-03-29", True, "2026-03-29T22:00"),
        (BERLIN, "2026-10-25", False, "2026-10-24T22:00"),
        (BERLIN, "2026-10-25", True, "2026-10-25T23:00"),
        (CAIRO, "2026-04-24", False, "2026-04-23T22:00"),
        (KATHMANDU, "2026-11-20", False, "2026-11-19T18:15"),
        (BERLIN, "24h", False, "2026-11-20T12:00"),
        (BERLIN, " 7d ", True, "2026-11-14T12:00"),
        (BERLIN, "90m", False, "2026-11-21T10:30"),
        (BERLIN, "2w", False, "2026-11-07T12:00"),
    ],
)
def test_a_moment_is_read_on_the_clock_of_this_machine(tz: str, text: str, end: bool, expected: str) -> None:
    with local(tz):
        assert parse_moment(text, NOW, end=end) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-13-01", "2026-02-30", "20261120", "24", "7 days", "-7d", "1.5h", "2026-11-20T25:00",
     "2026-11-20 noon", "2026-W47", "0001-01-01x", "0000-01-01", "999999w", "٢٤h"],
)  # fmt: skip
def test_a_moment_nobody_can_read_is_refused_with_a_good_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a date such as 2026-11-20, .* such as 24h or 7d"):
        parse_moment(text, NOW, end=True)


def test_what_is_asked() -> None:
    nothing = {"by": (), "since": None, "until": None}
    assert grouping(nothing) == UsageQuery(by=(GroupBy.PROVIDER, GroupBy.MODEL), period=Period())
    keys = grouping(nothing | {"by": ("day", "provider", "day"), "since": NOW - timedelta(days=1)})
    assert keys == UsageQuery(by=(GroupBy.DAY, GroupBy.PROVIDER), period=Period(since=NOW - timedelta(days=1)))
    since, until = (parse_moment("2026-11-20", NOW, end=end) for end in (False, True))
    one_day = grouping(nothing | {"since": since, "until": until}).period
    assert one_day.until - one_day.since == timedelta(days=1)
    with pytest.raises(UsageError, match=r"--since \(2026-.*\) is later than --until \(2026-.*\)"):
        grouping(nothing | {"since": until, "until": since})


def account(*booked: UsageSum, by: tuple[GroupBy, ...] = (GroupBy.TAG,), period: Period = Period()) -> UsageReport:  # noqa: B008 - frozen
    calls = [Calls(provider="aimlapi", home="aimlapi", outcome="delivered", count=1)]
    return UsageReport(batch="b", used=group_usage(booked, UsageQuery(by=by, period=period), NOW), calls=calls)


PAID = UsageLine(
    provider="aimlapi", model="m", attempts=1, images=1, credits=12_500, usd_by_basis={"reported": 5_000_000}
)
TIER = UsageLine(provider="gptimageapi", model="m", attempts=2, images=2, credits=4_000, unpriced=2)


def test_the_screen_names_what_has_no_tag_and_what_counts_twice() -> None:
    text = list(usage_lines(account(UsageSum(line=PAID, tags=("a", "b")), UsageSum(line=TIER))))
    assert [line.split("  ")[0] for line in text[1:4]] == ["a", "b", "(no tag)"]
    assert text[3].split()[-2:] == ["unknown", "unknown"]
    assert "add up to more" in text[4]
    assert "spent     $0.0050 for this batch ($0.0050 reported)" in text
    assert text[-1] == "calls     aimlapi: 1 delivered"
    alone = list(usage_lines(account(UsageSum(line=TIER))))
    assert "add up" not in "".join(alone)
    assert "spent     unknown for this batch" in alone


def test_the_screen_says_when_and_what_is_left_out() -> None:
    going = UsageSum(line=UsageLine(provider="aimlapi", model="m", attempts=2, open=2))
    over = Period(since=NOW - timedelta(days=2), until=NOW - timedelta(days=1))
    with local(BERLIN):
        text = list(usage_lines(account(UsageSum(line=PAID), going, period=over)))
    assert "booked    from 2026-11-19 13:00 +0100 until 2026-11-20 13:00 +0100" in text
    assert "excluded  2 attempts in flight: each is booked when it ends" in text
    with local(BERLIN):
        text = list(usage_lines(account(UsageSum(line=PAID), going, period=Period(until=NOW + timedelta(days=1)))))
    assert "booked    until 2026-11-22 13:00 +0100" in text
    assert "excluded" not in "".join(text)
    assert text[1].split()[-3:] == ["reported,", "2", "open"]


def test_csv_has_one_table_and_no_cell_that_a_spreadsheet_runs() -> None:
    found = account(UsageSum(line=PAID, tags=("=HYPERLINK()",)), UsageSum(line=TIER), UsageSum(line=PAID))
    rows = list(csv.DictReader(csv_lines(found)))
    assert list(rows[0]) == [
        "tag", "attempts", "images", "input_tokens", "output_tokens", "credits", "usd", "usd_reported", "usd_priced",
        "usd_estimated", "at_risk_usd", "unpriced",
    ]  # fmt: skip
    assert [row["tag"] for row in rows] == ["'=HYPERLINK()", ""]
    assert (rows[1]["credits"], rows[1]["usd"], rows[1]["unpriced"]) == ("12.5 aimlapi, 4 gptimageapi", "0.005", "2")
    apart = list(csv.DictReader(csv_lines(account(UsageSum(line=TIER), by=(GroupBy.PROVIDER,)))))
    assert (apart[0]["credits"], apart[0]["usd"], apart[0]["input_tokens"]) == ("4", "", "")
