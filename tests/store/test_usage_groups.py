"""The ledger divided: every share is exact, the whole is the whole, and what is unknown stays unknown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.store.ledger import UsageLine
from batchgen.store.usage_groups import GroupBy, Period, UsageQuery, UsageSum, group_usage, usage_document, usage_rows

NOW = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)
AIML = UsageLine(
    provider="aimlapi",
    model="gpt-image-2",
    attempts=10,
    images=10,
    input_tokens=120,
    credits=1_073_410_000,
    usd_by_basis={"reported": 536_705_000},
)
TIER = UsageLine(provider="gptimageapi", model="gpt-image-2", attempts=2, images=2, credits=12_000, unpriced=2)
OPEN = UsageLine(provider="aigate", model="gpt-image-2", attempts=3, open=3)


def document(*lines: UsageLine) -> dict[str, Any]:
    return json.loads(
        json.dumps(usage_document(group_usage([UsageSum(line=line) for line in lines], UsageQuery(), NOW)))
    )


def rows(booked: list[UsageSum], *by: GroupBy) -> list[dict[str, Any]]:
    return usage_rows(group_usage(booked, UsageQuery(by=by), NOW))


def test_usage_has_the_shape_scripts_rely_on() -> None:
    found = document(AIML)
    assert found["schema_version"] == 1
    assert found["by"] == [
        {
            "provider": "aimlapi",
            "model": "gpt-image-2",
            "attempts": 10,
            "images": 10,
            "input_tokens": 120,
            "output_tokens": None,
            "credits": "1073410",
            "usd": "0.536705",
            "usd_by_source": {"reported": "0.536705", "priced": "0", "estimated": "0", "unknown": "0"},
            "at_risk_usd": "0",
            "unpriced": 0,
        }
    ]
    assert found["totals"]["usd"] == "0.536705"
    assert found["totals"]["credits"] == {"aimlapi": "1073410"}
    assert set(found) == {"schema_version", "totals", "by", "calls", "selected"}


def test_an_unknown_price_is_null_never_zero() -> None:
    line = document(TIER)["by"][0]
    assert line["usd"] is None
    assert line["usd_by_source"]["unknown"] is None
    assert document(TIER)["totals"]["usd"] is None
    free = UsageLine(provider="p", model="m", attempts=3)
    assert document(free)["by"][0]["usd"] == "0"
    # with what cost nothing in one row, it still is unknown
    [day] = rows([UsageSum(line=TIER, day="2026-11-20"), UsageSum(line=free, day="2026-11-20")], GroupBy.DAY)
    assert (day["usd"], day["attempts"], day["unpriced"]) == (None, 5, 2)


def test_a_sum_that_leaves_something_out_says_so() -> None:
    totals = document(AIML, TIER)["totals"]
    assert (totals["usd"], totals["unpriced"]) == ("0.536705", 2)
    assert totals["usd_by_source"]["unknown"] is None
    assert totals["credits"] == {"aimlapi": "1073410", "gptimageapi": "12"}


def test_credits_of_two_providers_are_two_currencies() -> None:
    booked = [UsageSum(line=AIML, day="2026-11-20"), UsageSum(line=TIER, day="2026-11-20")]
    [day] = rows(booked, GroupBy.DAY)
    assert day["credits"] == {"aimlapi": "1073410", "gptimageapi": "12"}
    assert [row["credits"] for row in rows(booked, GroupBy.DAY, GroupBy.PROVIDER)] == ["1073410", "12"]


def test_a_job_counts_under_each_of_its_tags_and_once_in_all() -> None:
    booked = [UsageSum(line=AIML, tags=("autumn", "lamp", "autumn")), UsageSum(line=TIER)]
    used = group_usage(booked, UsageQuery(by=(GroupBy.TAG,)), NOW)
    assert [share.names for share in used.groups] == [("autumn",), ("lamp",), (None,)]
    assert used.overlaps
    found = usage_document(used)
    assert [row["usd"] for row in found["by"]] == ["0.536705", "0.536705", None]
    assert (found["totals"]["usd"], found["totals"]["attempts"]) == ("0.536705", 12)
    assert not group_usage(booked[1:], UsageQuery(by=(GroupBy.TAG,)), NOW).overlaps


def test_keys_come_in_the_order_asked_for() -> None:
    booked = [
        UsageSum(line=AIML, run="r2", batch="b"),
        UsageSum(line=TIER, run="r1", batch="b"),
        UsageSum(line=AIML, run="r1", batch="a"),
    ]
    found = [list(row.items())[:2] for row in rows(booked, GroupBy.BATCH, GroupBy.RUN)]
    assert found == [
        [("batch", "a"), ("run", "r1")],
        [("batch", "b"), ("run", "r1")],
        [("batch", "b"), ("run", "r2")],
    ]
    assert [row["model"] for row in rows(booked, GroupBy.MODEL)] == ["gpt-image-2"]


def test_what_is_under_way_counts_as_today() -> None:
    booked = [UsageSum(line=AIML, day="2026-11-20"), UsageSum(line=OPEN)]
    assert [(row["day"], row["attempts"]) for row in rows(booked, GroupBy.DAY)] == [
        ("2026-11-20", 10),
        ("2026-11-21", 3),
    ]
    west = NOW.astimezone(timezone(-timedelta(hours=1)))
    [day] = usage_rows(group_usage(booked, UsageQuery(by=(GroupBy.DAY,)), west))
    assert (day["day"], day["attempts"]) == ("2026-11-20", 13)


@pytest.mark.parametrize(
    ("since", "until", "left_out"),
    [(None, None, 0), (-1, None, 0), (0, 1, 0), (None, 0, 3), (-2, -1, 3), (1, None, 3)],
)
def test_past_period_leaves_out_calls_in_flight(since: int | None, until: int | None, left_out: int) -> None:
    since_, until_ = (None if hours is None else NOW + timedelta(hours=hours) for hours in (since, until))
    used = group_usage(
        [UsageSum(line=AIML), UsageSum(line=OPEN)], UsageQuery(period=Period(since=since_, until=until_)), NOW
    )
    assert used.left_out == left_out
    selected = usage_document(used)["selected"]
    assert (selected["open"], selected["open_left_out"]) == (3 - left_out, left_out)
    assert sum(line.attempts for line in used.lines) == 13 - left_out


amounts = st.none() | st.integers(0, 10**12)
lines = st.builds(
    UsageLine,
    provider=st.sampled_from(["p", "q"]),
    model=st.sampled_from(["m", "n"]),
    attempts=st.integers(1, 9),
    credits=amounts,
    usd_by_basis=st.dictionaries(st.sampled_from(["reported", "priced"]), st.integers(0, 10**12)),
    unpriced=st.integers(0, 3),
)
several = st.lists(
    st.builds(
        UsageSum,
        line=lines,
        day=st.sampled_from(["2026-11-20", "2026-11-21"]),
        tags=st.lists(st.sampled_from("abc"), max_size=1).map(tuple),
        run=st.sampled_from("rs"),
        batch=st.sampled_from("xy"),
    )
)


@given(booked=several, by=st.lists(st.sampled_from(GroupBy), min_size=1, unique=True))
def test_rows_that_do_not_overlap_add_up_to_the_whole(booked: list[UsageSum], by: list[GroupBy]) -> None:
    used = group_usage(booked, UsageQuery(by=tuple(by)), NOW)
    assert not used.overlaps
    parts = [line for share in used.groups for line in share.lines]
    for name in ("attempts", "images", "unpriced"):
        whole = sum(getattr(one.line, name) for one in booked)
        assert sum(getattr(line, name) for line in parts) == sum(getattr(line, name) for line in used.lines) == whole
    for basis in ("reported", "priced"):
        whole = sum(one.line.usd_by_basis.get(basis, 0) for one in booked)
        assert sum(line.usd_by_basis.get(basis, 0) for line in parts) == whole
        assert sum(line.usd_by_basis.get(basis, 0) for line in used.lines) == whole
    assert sum(line.credits or 0 for line in parts) == sum(one.line.credits or 0 for one in booked)
