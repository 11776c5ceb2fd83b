"""Nights of hours in seconds: what the providers' own logs say about a run, with the real runner and job table.

Every night is seeded, so that a figure is the same each time.  ``python -m tests.bench.flow`` plays them in full.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from batchgen.lane import Closure
from tests.simulated import scenarios, witness
from tests.simulated.night import Night, wishes
from tests.simulated.server import Nature, Said


@pytest.fixture
def folder(tmp_path):
    """Return a folder in memory where there is one: hours of commits are many."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    try:
        shelf = tempfile.TemporaryDirectory(dir=memory)
    except OSError:
        yield tmp_path
        return
    with shelf:
        yield Path(shelf.name)


@pytest.mark.parametrize(
    ("minutes", "images", "throttled", "slowest"),
    [(5, 1, 0.0, 1.02), (60, 10, 0.02, 1.02), (4, 1, 0.02, 1.15)],
    ids=["one image a call", "ten images a call", "throttled by chance"],
)
def test_a_known_limit_is_used_and_never_exceeded(folder, minutes, images, throttled, slowest):
    told = scenarios.steady(folder, minutes=minutes, images=images, throttled=throttled).figures
    assert told["fullest"] <= 1
    assert told["makespan"] <= slowest
    assert told["waste"] < 0.01
    assert told["done"] == 1
    assert told["charges"] == 1


def test_a_limit_that_nobody_configured_is_found(folder):
    told = scenarios.unknown(folder, minutes=15)
    assert told.figures["used"] >= 0.9
    assert set(witness.charges([told.night.log()]).values()) == {1}


def test_no_credit_a_storm_and_a_dead_hour_leave_their_jobs_to_those_that_can_do_them(folder):
    told = scenarios.trouble(folder, jobs=350)
    out, throttled, dead = told.night.lives[-1].lanes
    assert told.figures["after_402"] == 0
    assert told.figures["charges"] == 1
    assert told.figures["done"] == 1
    assert (out.closed, out.images) == (Closure.MONEY, 105)
    assert (throttled.closed, dead.closed) == (None, None)
    assert 0 <= told.figures["back_after"] <= 300
    assert throttled.stood_in["aimlapi"] + dead.stood_in["aimlapi"] >= 350 - 105
    assert out.images + throttled.images + dead.images == told.night.counts().done == 3 * 350


def test_a_storm_of_refusals_costs_one_request_an_attempt_and_nothing_twice(folder):
    told = scenarios.storm(folder, answers=1000)
    assert told.figures["answers"] >= 800
    assert told.figures["calls_per_attempt"] == 1
    assert told.figures["charges"] == 1
    assert told.figures["done"] == 1
    assert witness.calls_per_attempt([told.night.log()]).keys() == attempts(told.night)


def test_killed_again_and_again_every_call_is_known_and_only_those_cut_off_are_bought_again(folder):
    told = scenarios.restart(folder, lives=4, each=97.3)
    night = told.night
    assert told.figures["done"] == 1
    assert told.figures["cut"] > 0
    assert told.figures["again"] <= told.figures["cut"]
    assert witness.calls_per_attempt([night.log()]).keys() <= attempts(night)
    assert max(witness.calls_per_attempt([night.log()]).values()) == 1


def test_urgent_jobs_go_first_and_a_list_is_done_roughly_in_its_order(folder):
    told = scenarios.priorities(folder).figures
    assert told["overtaken"] == 0
    assert told["displaced"] <= 10
    assert told["done"] == 1


def test_jobs_that_fail_again_and_again_hold_up_no_others_for_long_nor_wait_for_all_of_them(folder):
    told = scenarios.poison(folder, jobs=300, poisoned=30, attempts=6).figures
    assert told["fresh_gap"] <= 60
    assert told["retry_late"] <= 90
    assert told["done"] == 1
    assert told["failed"] == 1


def test_an_answer_that_came_before_the_kill_is_not_paid_for_again(folder):
    night = Night(
        folder=folder,
        wishes=wishes(40, "openai"),
        natures={"openai": Nature(median=20.0, sigma=0.2)},
        settings={"openai": {"limits": {"concurrency": 8}}},
    )
    night.play(killed_at=50.0)
    whole = set(night.servers["openai"].heard)
    assert whole
    night.play()
    for job, count in witness.charges([night.log()]).items():
        calls = [call for call in night.log() if call.job == job]
        assert count == 1 or calls[0].attempt not in whole
    assert night.counts().done == 40


def test_the_same_seed_is_the_same_night(folder):
    logs = []
    for name in ("one", "two"):
        told = scenarios.steady(folder / name, minutes=1)
        logs.append([(call.job, call.sent, call.said, call.ended) for call in told.night.log()])
    assert logs[0] == logs[1]
    assert {Said.IMAGE, Said.BUSY} <= {said for _, _, said, _ in logs[0]}


def attempts(night: Night) -> set[str]:
    """Return every attempt that the job table holds."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(night.place.db)) as dbapi:
        return {row[0] for row in dbapi.execute("SELECT id FROM attempts")}
