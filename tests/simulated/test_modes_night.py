"""Nights in several modes: batches, flex for what is left, standard in the morning; the provider is the witness."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from batchgen.app.run_options import RunOptions
from tests import zones

from .clock import Clock
from .gemini import HOUR, OTHER, PICTURE_TOKENS, PRICE_IN, PRICE_OUT, Gemini, Habits, Sale, Tier
from .modes_night import ModesNight

EVENING = datetime(2026, 12, 1, 19, 0, tzinfo=UTC)
MODES = [{"batch": "until 04:00"}, {"flex": "until 06:00"}, "standard"]


@pytest.fixture(autouse=True)
def _utc():
    with zones.local("UTC"):
        yield


def hour(clock_time: str) -> float:
    """Return the virtual seconds of a time of day, in the night."""
    moment = datetime.strptime(clock_time, "%H:%M").replace(tzinfo=UTC)
    return ((moment.hour - EVENING.hour) % 24) * HOUR + moment.minute * 60


def until(night: ModesNight, clock_time: str) -> list[Sale]:
    """Return what was charged before a time of day."""
    return [sale for sale in night.provider.sales() if sale.at < hour(clock_time)]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_night_is_bought_in_batches_then_flex_then_standard(tmp_path):
    """The queue takes three batches at once, one is slow, some rows fail, and flex is shed, at last entirely."""
    habits = Habits(
        batch_hours=(3.0, 3.5, 10.2, 4.0, 4.0, 3.0),
        enqueued=3,
        row_errors=0.04,
        sheds=lambda at: 0.25 if at < hour("05:10") else 1.0,
    )
    provider = Gemini(clock=Clock(start=EVENING), habits=habits)
    settings = {"modes": MODES, "limits": {"concurrency": 40}}
    night = ModesNight(folder=tmp_path, provider=provider, jobs=1000, settings=settings)
    night.play()

    sales = provider.sales()
    assert (night.counts().done, len(night.pictures())) == (1000, 1000)
    assert max(Counter(sale.job for sale in sales).values()) == 1
    assert len(sales) == 1000
    assert night.spent().usd == sum(sale.usd for sale in sales)
    assert night.clock.seconds <= hour("07:00")
    standard = 1000 * max(sale.usd for sale in sales if sale.tier is Tier.STANDARD)
    assert sum(sale.usd for sale in sales) <= 0.6 * standard

    early = until(night, "04:00")
    assert {sale.tier for sale in early} == {Tier.BATCH}
    assert len(early) >= 500
    assert Tier.STANDARD not in {sale.tier for sale in until(night, "06:00")}
    assert Counter(sale.tier for sale in sales)[Tier.FLEX] >= 100
    assert provider.answers["flex", 503] > 0
    assert provider.answers["batch", 429] > 0
    # The results of a cancelled batch could not be downloaded: what runs at 04:00 is left to end.
    assert provider.answers["cancel", 200] == 0
    assert any(sale.tier is Tier.BATCH and sale.at > hour("05:00") for sale in sales)


#: A model without batches and flex, by the settings of a user.
WITHOUT_MODES = {
    "wire": OTHER,
    "generate": {"path": "generate", "n_max": 1, "size": {"mode": "none"}},
    "tariff": {"usd_per_million_tokens": {"text_in": 2, "image_out": 120}, "output_tokens": {"1K": PICTURE_TOKENS}},
}


def test_calls_to_a_model_without_batches_go_on_meanwhile(tmp_path):
    """Two minutes a call, one after the other; the provider takes one batch at a time, and each takes 20 minutes."""
    habits = Habits(batch_hours=(0.33,), enqueued=1, seconds=120.0)
    provider = Gemini(clock=Clock(start=EVENING), habits=habits)
    settings = {
        "modes": [{"batch": "until 21:00"}, "standard"],
        "limits": {"concurrency": 1},
        "models": {OTHER: WITHOUT_MODES},
        "batch": {"max_jobs": 5},
    }
    jobs = [{"id": f"j{number:02}", "prompt": f"Cat {number:02}"} for number in range(30)]
    jobs += [{"id": f"o{number:02}", "prompt": f"Dog {number:02}", "model": OTHER} for number in range(30)]
    night = ModesNight(folder=tmp_path, provider=provider, jobs=0, settings=settings, top={"jobs": jobs})
    runner = night.play()
    sales = provider.sales()
    assert night.counts().done == len(night.pictures()) == 60
    assert max(Counter(sale.job for sale in sales).values()) == 1
    assert night.spent().usd == sum(sale.usd for sale in sales)
    assert not any(lane.closed for lane in runner.lanes)
    dogs = [sale for sale in sales if sale.job.startswith("Dog")]
    assert {sale.tier for sale in dogs} == {Tier.STANDARD}
    end = hour("21:00")
    cats = [sale for sale in sales if sale.job.startswith("Cat")]
    in_batches = [sale for sale in cats if sale.tier is Tier.BATCH]
    assert 10 <= len(in_batches) < 30
    assert all(sale.at >= end for sale in cats if sale.tier is Tier.STANDARD)
    assert all(sale.at < end for sale in dogs)


#: nano-USD of one call at the standard price: two or three tokens in, 1,120 out.
CALL = PICTURE_TOKENS * PRICE_OUT + 3 * PRICE_IN


@pytest.mark.parametrize(("mode", "calls"), [("standard", (8, 10)), ("flex", (17, 20)), ("batch", (17, 20))])
def test_budget_for_half_of_the_jobs_holds_in_each_mode(tmp_path, mode, calls):
    budget = int(10.5 * CALL)
    provider = Gemini(clock=Clock(start=EVENING), habits=Habits(batch_hours=(0.1,), flex_minutes=(0.5, 2.0)))
    settings = {"modes": [mode], "limits": {"concurrency": 4}}
    options = RunOptions(budget=budget)
    night = ModesNight(folder=tmp_path, provider=provider, jobs=40, settings=settings, options=options)
    runner = night.play()
    sales = provider.sales()
    charged = sum(sale.usd for sale in sales)
    assert charged <= budget
    assert calls[0] <= len(sales) <= calls[1] + 1
    assert {sale.tier for sale in sales} == {mode}
    assert night.counts().done == len(sales)
    assert night.spent().usd == charged
    assert {str(lane.closed) for lane in runner.lanes} == {"budget"}
