"""Modes: which one is in force at a moment of the night."""

from __future__ import annotations

from datetime import datetime, time
from zoneinfo import ZoneInfo

import pytest

from batchgen.mode import Mode, ModeStep, mode_at

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = (
    ModeStep(mode=Mode.BATCH, until=time(4)),
    ModeStep(mode=Mode.FLEX, until=time(6)),
    ModeStep(mode=Mode.STANDARD),
)
EVENING = datetime(2026, 12, 1, 19, 0, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("now", "mode"),
    [
        (EVENING, Mode.BATCH),
        (datetime(2026, 12, 2, 3, 59, tzinfo=BERLIN), Mode.BATCH),
        (datetime(2026, 12, 2, 4, 0, tzinfo=BERLIN), Mode.FLEX),
        (datetime(2026, 12, 2, 6, 0, tzinfo=BERLIN), Mode.STANDARD),
        (datetime(2026, 12, 3, 1, 0, tzinfo=BERLIN), Mode.STANDARD),
    ],
)
def test_mode_at_follows_the_times_of_one_night(now: datetime, mode: Mode) -> None:
    assert mode_at(NIGHT, EVENING, now) is mode


@pytest.mark.parametrize(
    ("hour", "mode"),
    [(3, Mode.BATCH), (5, Mode.FLEX), (7, Mode.STANDARD), (15, Mode.STANDARD), (19, Mode.BATCH), (23, Mode.BATCH)],
)
def test_mode_at_the_start_of_a_run_follows_the_nearest_times(hour: int, mode: Mode) -> None:
    started = datetime(2026, 12, 2, hour, 0, tzinfo=BERLIN)
    assert mode_at(NIGHT, started, started) is mode


def test_mode_at_after_the_last_step_is_standard() -> None:
    steps = (ModeStep(mode=Mode.FLEX, until=time(20)),)
    assert mode_at(steps, EVENING, datetime(2026, 12, 1, 20, 0, tzinfo=BERLIN)) is Mode.STANDARD
    assert mode_at(steps, EVENING, EVENING) is Mode.FLEX


def test_mode_at_without_steps_is_standard() -> None:
    assert mode_at((), EVENING, EVENING) is Mode.STANDARD
