"""What lanes learn is kept in the job table, and the next run goes on from it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from batchgen.app.lanes import LaneHistory, lanes
from batchgen.database_url import Database
from batchgen.engine.lane import Lane
from batchgen.engine.limits.adaptive import DAY, FORGOTTEN, KEEP, Controller
from batchgen.fault import RateLimitInfo
from batchgen.providers.presets import profile
from batchgen.store.history import LearnedRate
from batchgen.store.reader import Reader
from batchgen.store.writer import Writer

from .kit import NOW, Raw

RATE = {"rate": 2.5, "throttled": True, "width": 6.0}
FREE = {"limits": {"requests_per_minute": None, "images_per_minute": None, "concurrency": 8}}


def spoil(path: Database, lane: str, state: str) -> None:
    with Raw(path) as dbapi:
        dbapi.execute("UPDATE learned SET state = ? WHERE lane = ?", (state, lane))


def lane_of(path: Database, reader: Reader, later: float = 0.0, **settings: object) -> Lane:
    """Return the lane of a run that begins *later* than what was learned, in seconds."""
    memory = LaneHistory(table=path, lessons=reader.learned_rates(), now=NOW + timedelta(seconds=later))
    (lane,) = lanes(profile("openai", FREE | settings), None, 8, memory)
    return lane


def rate_of(lane: Lane) -> float | None:
    controller = lane.inner_gate.controller
    assert controller is not None
    return controller.rate()


async def test_nothing_is_known_at_first(reader: Reader) -> None:
    assert reader.learned_rates() == {}


async def test_what_was_written_is_read_and_the_last_word_counts(writer: Writer, reader: Reader) -> None:
    await writer.learn({"openai": {"rate": 9.0}, "openai@KEY_2": {"stated": 4.0}}, NOW)
    await writer.learn({"openai": RATE}, NOW + timedelta(seconds=60))
    assert reader.learned_rates() == {
        "openai": LearnedRate(state=RATE, at=NOW + timedelta(seconds=60)),
        "openai@KEY_2": LearnedRate(state={"stated": 4.0}, at=NOW),
    }


@pytest.mark.parametrize("state", ["", "{", "[1, 2]", "null", '"rate"'], ids=["nothing", "cut", "list", "null", "text"])
async def test_what_cannot_be_read_is_forgotten_and_spoils_nothing_else(
    writer: Writer, reader: Reader, path: Database, state: str
) -> None:
    await writer.learn({"openai": RATE, "aigate": RATE}, NOW)
    spoil(path, "openai", state)
    assert set(reader.learned_rates()) == {"aigate"}


@pytest.mark.parametrize(
    "state",
    [{"rate": "fast"}, {"rate": -1}, {"rate": 0}, {"rate": None}, {"of a later version": {"x": 1}}, {"width": [3]}],
    ids=["text", "negative", "zero", "null", "unknown", "list"],
)
async def test_what_makes_no_sense_changes_nothing(writer: Writer, reader: Reader, path: Database, state: dict) -> None:
    fresh = rate_of(lane_of(path, reader))
    await writer.learn({"openai": RATE}, NOW)
    spoil(path, "openai", json.dumps(state))
    lane = lane_of(path, reader)
    assert rate_of(lane) == fresh
    assert lane.account_gate.room == 8


async def test_the_next_run_begins_just_below_what_was_found(writer: Writer, reader: Reader, path: Database) -> None:
    fresh = rate_of(lane_of(path, reader))
    assert fresh is not None
    assert fresh > 10
    await writer.learn({"openai": RATE}, NOW)
    lane = lane_of(path, reader, 3600)
    assert rate_of(lane) == pytest.approx(KEEP * 2.5)
    assert lane.account_gate.room == 5


async def test_what_is_old_counts_for_less_and_then_for_nothing(writer: Writer, reader: Reader, path: Database) -> None:
    fresh = rate_of(lane_of(path, reader))
    await writer.learn({"openai": RATE}, NOW)
    assert rate_of(lane_of(path, reader, DAY + 1)) == pytest.approx(1.25)
    assert lane_of(path, reader, DAY + 1).account_gate.room == 8
    assert rate_of(lane_of(path, reader, FORGOTTEN + 1)) == fresh
    assert rate_of(lane_of(path, reader, -3600)) == fresh  # the clock was set back: nobody knows how old it is


async def test_each_lane_has_a_memory_of_its_own(writer: Writer, reader: Reader, path: Database) -> None:
    await writer.learn({"openai/new": RATE, "openai@SECOND": RATE}, NOW)
    memory = LaneHistory(table=path, lessons=reader.learned_rates(), now=NOW)
    known = profile("openai", FREE | {"groups": {"new": {"models": ["gpt-image-2"]}}})
    made = {lane.name: rate_of(lane) for account in ("FIRST", "SECOND") for lane in lanes(known, account, 8, memory)}
    learned = {name for name, rate in made.items() if rate == pytest.approx(KEEP * 2.5)}
    assert set(made) == {"openai@FIRST", "openai/new@FIRST", "openai@SECOND", "openai/new@SECOND"}
    assert learned == {"openai@SECOND"}


async def test_where_nothing_adapts_nothing_is_recalled(writer: Writer, reader: Reader, path: Database) -> None:
    await writer.learn({"openai": RATE}, NOW)
    lane = lane_of(path, reader, limits={"concurrency": 8, "adaptive": False})
    assert lane.account_gate.controller is None
    assert lane.account_gate.room == 8


async def test_what_a_controller_knows_survives_the_job_table(writer: Writer, reader: Reader) -> None:
    one = Controller(None, 8, start=4.0)
    now = 0.0
    for _ in range(40):
        now += 1.0
        one.sent(now)
        one.answered(now, now + 0.2)
    one.learned(RateLimitInfo(limit=120, window_seconds=60.0), now)
    for _ in range(6):
        now += 0.1
        one.sent(now)
        one.throttled(now, now + 0.05, 1.0)
    known = one.state()
    assert known["throttled"] is True
    await writer.learn({"openai": known}, NOW)
    other = Controller(None, 8, start=4.0)
    other.restore(reader.learned_rates()["openai"].state, 60.0)
    again = other.state()
    assert again == pytest.approx(known)
