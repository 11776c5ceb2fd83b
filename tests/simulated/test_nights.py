"""Nights of hours in seconds: what the providers' own logs say about a run, with the real runner and job table.

Every night is seeded, so that a figure is the same each time. ``python -m tests.bench.flow`` plays them in full.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from batchgen.budget import BudgetLimit
from batchgen.engine.backlog import Backlog
from batchgen.engine.lane import Closure
from batchgen.providers.pricing import estimate

from . import scenarios, witness
from .night import Night, Wish, wishes
from .server import Nature, Outage, Said, Tells


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
    [
        pytest.param(5, 1, 0.0, 1.02, id="one image a call"),
        pytest.param(60, 10, 0.02, 1.02, id="ten images a call", marks=pytest.mark.slow),
        pytest.param(4, 1, 0.02, 1.15, id="throttled by chance"),
    ],
)
def test_a_known_limit_is_used_and_never_exceeded(folder, minutes, images, throttled, slowest):
    told = scenarios.steady(folder, minutes=minutes, images=images, throttled=throttled).figures
    assert told["fullest"] <= 1
    assert told["makespan"] <= slowest
    assert told["waste"] < 0.01
    assert told["done"] == 1
    assert told["charges"] == 1


@pytest.mark.parametrize("tells", [pytest.param(Tells.HEADER, marks=pytest.mark.slow), Tells.NOTHING, Tells.LIMITS])
def test_a_limit_without_configuration_is_found(folder, tells):
    told = scenarios.unknown(folder, minutes=25, tells=tells)
    assert told.figures["used"] >= 0.9
    assert told.figures["throttled"] < 0.03
    assert set(witness.charges([told.night.log()]).values()) == {1}


def test_what_is_down_is_gone_round_and_every_job_is_done_once(folder):
    told = scenarios.trouble(folder, jobs=350)
    out, throttled, dead = told.night.lives[-1].lanes
    assert told.figures["done"] == 1
    assert told.figures["charges"] == told.figures["sold"] == 1
    assert told.figures["after_402"] == 0
    assert (out.closed, out.images) == (Closure.MONEY, 105)
    assert throttled.closed is dead.closed is None
    assert throttled.failed_over["aimlapi"] + dead.failed_over["aimlapi"] == 350 - 105
    assert min(throttled.images, dead.images) > 0


def test_without_a_way_round_each_trouble_stays_in_its_lane(folder):
    told = scenarios.trouble(folder, jobs=350, routed=False)
    out, throttled, dead = told.night.lives[-1].lanes
    assert (told.figures["after_402"], told.figures["charges"]) == (0, 1)
    assert (out.closed, out.images) == (Closure.MONEY, 105)
    assert (throttled.closed, throttled.images, dead.closed, dead.images) == (None, 350, None, 350)
    assert 0 <= told.figures["back_after"] <= 300
    assert told.night.counts().pending == 350 - 105


@pytest.mark.parametrize(("any_order", "second", "minutes"), [(True, (0.4, 0.6), 5.0), (False, (0.0, 0.0), 9.0)])
def test_where_it_is_wished_whoever_has_room_takes_the_next(folder, any_order, second, minutes):
    told = scenarios.shared(folder, any_order=any_order).figures
    assert (told["done"], told["charges"]) == (1, 1)
    assert second[0] <= told["second"] <= second[1]
    assert told["minutes"] < minutes


def test_provider_outage_costs_no_job_and_few_calls(folder):
    told = scenarios.broken(folder, jobs=900).figures
    assert (told["done"], told["failed"], told["charges"]) == (1, 1, 1)
    assert told["during"] <= 100
    assert told["back_after"] <= 330


@pytest.mark.slow
def test_silence_is_reported_once_and_again(folder):
    night = Night(
        folder=folder,
        wishes=wishes(3, "openai"),
        natures={"openai": Nature(outages=[Outage(start=0, seconds=3000, said=Said.LIMIT, retry_after=3000)])},
        settings={"openai": {"limits": {"concurrency": 1}}},
    )
    said: list[tuple[float, str]] = []
    night.play(say=lambda text: said.append((night.clock.seconds, text)))
    assert [round(at / 60) for at, _ in said] == [15, 30, 45]
    assert "no answer for 15 min: openai: 0 in flight, waits 35 min more" in said[0][1]
    assert night.counts().done == 3


def test_storm_of_refusals_charges_nothing_twice(folder):
    told = scenarios.storm(folder, answers=1000)
    assert told.figures["answers"] >= 800
    assert told.figures["calls_per_attempt"] == 1
    assert told.figures["charges"] == 1
    assert told.figures["done"] == 1
    assert witness.calls_per_attempt([told.night.log()]).keys() == attempts(told.night)


def test_repeated_kills_rebuy_only_calls_cut_off(folder):
    told = scenarios.restart(folder, lives=4, each=97.3)
    night = told.night
    assert told.figures["done"] == 1
    assert told.figures["cut"] > 0
    assert told.figures["again"] <= told.figures["cut"]
    assert witness.calls_per_attempt([night.log()]).keys() <= attempts(night)
    assert max(witness.calls_per_attempt([night.log()]).values()) == 1


def test_urgent_jobs_go_first_and_lists_keep_their_order(folder):
    told = scenarios.priorities(folder).figures
    assert told["overtaken"] == 0
    assert told["displaced"] <= 10
    assert told["done"] == 1


def test_failing_jobs_delay_no_others_for_long(folder):
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


def test_lane_keeps_its_own_jobs_when_failover_is_too_dear(folder, monkeypatch):
    dear = Wish(key="dear", provider="openai", images=4, others=("aigate",))
    night = Night(
        folder=folder,
        wishes=[dear, *wishes(3, "aigate")],
        natures={"openai": Nature(), "aigate": Nature(median=5.0)},
        settings={"aigate": {"limits": {"concurrency": 1}}},
    )
    model = night.profiles["aigate"].models["gpt-image-2"]
    each = estimate(wishes(1, "aigate")[0].planned().task, model).high.usd
    made = night._batch()
    monkeypatch.setattr(
        night, "_batch", lambda: replace(made, budget=(BudgetLimit(usd=each * 7 // 2, scope="this batch"),))
    )
    night.play()
    assert (night.counts().done, night.counts().pending) == (3, 1)


def test_lane_waiting_for_failover_does_not_spin(folder, monkeypatch):
    looks, first = list[str](), Backlog.first

    async def counted(backlog, *args, **facts):
        looks.append(backlog.wanted.by)
        return await first(backlog, *args, **facts)

    monkeypatch.setattr(Backlog, "first", counted)
    night = Night(
        folder=folder,
        wishes=[Wish(key=f"job-{number}", provider="openai", others=("aigate",)) for number in range(12)],
        natures={"openai": Nature(weather={Said.ERROR: 0.5}, median=20.0), "aigate": Nature()},
        settings={"openai": {"limits": {"requests_per_minute": 6}, "retry": {"first_wait": 1, "max_wait": 5}}},
    )
    night.play()
    calls = len(night.log("openai"))
    assert (night.counts().done + night.counts().failed, calls > 12, night.log("aigate")) == (12, True, [])
    assert looks.count("aigate") < night.clock.seconds + 10 * calls


def test_run_does_not_wait_for_a_turn_that_is_not_needed(folder):
    night = Night(
        folder=folder,
        wishes=[
            Wish(key=f"job-{number}", provider="openai", others=("aigate",), any_order=True) for number in range(3)
        ],
        natures={name: Nature(median=5.0, sigma=0.1) for name in ("openai", "aigate")},
        settings={
            "openai": {"limits": {"concurrency": 1}},
            "aigate": {"limits": {"requests_per_minute": 1, "images_per_minute": None}},
        },
    )
    night.play()
    assert len(night.log("aigate")) == 1
    assert night.clock.seconds < 30


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
