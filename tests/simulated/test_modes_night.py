"""Nights in several modes: batches first, flex for what is left, standard in the morning, with the provider as witness."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from tests import zones

from .clock import Clock
from .gemini import HOUR, Gemini, Habits, Tier
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


def test_night_is_bought_in_batches_then_flex_then_standard(tmp_path):
    habits = Habits(
        batch_hours=(3.0, 3.5, 10.2, 4.0, 4.0, 3.0, 3.0),
        enqueued=3,
        row_errors=0.04,
        sheds=lambda at: 0.25 if at < hour("05:10") else 1.0,
    )
    provider = Gemini(clock=Clock(start=EVENING), habits=habits)
    settings = {"modes": MODES, "limits": {"concurrency": 20}}
    night = ModesNight(folder=tmp_path, provider=provider, jobs=1000, settings=settings)
    night.play()
    for at, text in night.messages:
        print(at.strftime("%H:%M:%S"), text)
    sales = provider.sales()
    tiers = Counter(sale.tier for sale in sales)
    print(tiers, provider.answers, night.clock.now(), sum(s.usd for s in sales)/1e9, night.counts())
