"""The night of a report: bars, lanes and gaps."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from batchgen.app.report.lane_log import lane_spans
from batchgen.app.report.night import Night, Span, merge

from .reportjobs import NIGHT, SECOND, call, file, job, missed

HOUR = 3600
AT_ONE = datetime(2026, 11, 30, 1, tzinfo=UTC)


def night(*jobs, runs=(), logged=None):
    collector = Night()
    for each in jobs:
        collector.add(each)
    return collector.document(list(runs), logged or {})


def delivered(at, **fields):
    sent = call(at, **fields)
    return job([sent], [file(sent)])


def test_bars_count_the_images_of_each_step():
    found = night(*(delivered(at) for at in (0, 10, 20, 40, 4000)))
    assert sum(found["bars"]) == 5
    assert found["step"] == 60
    assert found["bars"][0] + found["bars"][1] == 4
    assert sum(found["usd"]) == 0.1


def test_bars_are_few_even_of_three_nights():
    found = night(*(delivered(at) for at in range(0, 72 * HOUR, HOUR)))
    assert len(found["bars"]) <= 96
    assert sum(found["bars"]) == 72
    start, end = (datetime.fromisoformat(found[name]) for name in ("from", "to"))
    assert (end - start).total_seconds() == found["step"] * len(found["bars"])


def test_night_without_a_call_is_empty():
    found = night(job())
    assert (found["bars"], found["lanes"], found["gaps"]) == ([], [], [])


def test_unknown_price_is_not_zero():
    assert set(night(delivered(0, usd=None))["usd"]) == {None}


def test_lane_shows_when_it_was_throttled():
    found = night(delivered(0), job([missed(100, "throttled"), missed(104, "throttled"), call(300)]))
    [lane] = found["lanes"]
    [span] = lane["spans"]
    assert (span["kind"], span["message"]) == ("throttled", "it was throttled")
    assert 85 <= span["from"] < span["to"] <= 130


def test_failures_are_an_outage_only_in_a_row():
    alone = night(job([call(0), missed(10, "error"), call(20), missed(30, "error"), call(40)]))
    assert alone["lanes"][0]["spans"] == []
    row = night(job([call(0), *(missed(at, "unreached") for at in range(100, 400, 50)), call(500)]))
    [span] = row["lanes"][0]["spans"]
    assert span["kind"] == "outage"
    assert span["to"] - span["from"] >= 250


def test_refusals_are_no_outage():
    assert night(job([missed(at, "refused") for at in range(0, 400, 50)]))["lanes"][0]["spans"] == []


def test_lanes_are_in_the_order_of_their_first_call():
    found = night(delivered(50, provider="aigate"), delivered(10, provider="openai"))
    assert [lane["name"] for lane in found["lanes"]] == ["openai", "aigate"]


def test_time_between_runs_is_a_gap():
    runs = [(AT_ONE, AT_ONE + timedelta(hours=1)), (AT_ONE + timedelta(hours=8), AT_ONE + timedelta(hours=9))]
    found = night(delivered(60), delivered(8.5 * HOUR), runs=runs)
    [gap] = found["gaps"]
    assert gap["to"] - gap["from"] == 7 * HOUR


def test_spans_of_one_kind_join_where_they_touch():
    spans = [
        Span("closed", 0, 10, "a"),
        Span("closed", 8, 20, "b"),
        Span("paused", 5, 6, ""),
        Span("closed", 90, 95, ""),
    ]
    assert merge(spans, 5) == [Span("closed", 0, 20, "a"), Span("paused", 5, 6, ""), Span("closed", 90, 95, "")]


def log(folder, *events):
    lines = []
    for second, event, fields in events:
        time = (AT_ONE + timedelta(seconds=second)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = {"time": time, "event": event, "run": "r1", "provider": "openai", "lane": "openai", **fields}
        lines.append(json.dumps(body))
    (folder / "batchgen.jsonl").write_text("\n".join([*lines, '{"event": "lane_cl', ""]), encoding="utf-8")


def test_log_shows_when_a_lane_was_closed_and_paused(tmp_path):
    log(
        tmp_path,
        (10, "lane_closed", {"why": "money", "message": "no credit"}),
        (20, "lane_reopened", {}),
        (30, "lane_held", {}),
        (40, "lane_throttled", {"seconds": 5, "message": "slow down"}),
        (50, "lane_held", {"run": "another"}),
    )
    spans = lane_spans(tmp_path, {"r1": AT_ONE + timedelta(seconds=60)})["openai"]
    seconds = [(span.kind, (span.start - NIGHT) // SECOND, (span.end - NIGHT) // SECOND) for span in spans]
    assert sorted(seconds) == [("closed", 10, 20), ("paused", 30, 60), ("throttled", 40, 45)]
    assert next(span.message for span in spans if span.kind == "closed") == "out of money: no credit"


def test_log_that_is_missing_has_no_spans(tmp_path):
    assert lane_spans(tmp_path / "none", {"r1": None}) == {}
