"""Modes: which one is in force at a moment of the night."""

from __future__ import annotations

import re
from datetime import datetime, time
from zoneinfo import ZoneInfo

import pytest

from batchgen.mode import Mode, ModeStep, mode_at, read_step

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
    [(3, Mode.BATCH), (5, Mode.FLEX), (7, Mode.STANDARD), (9, Mode.STANDARD), (13, Mode.BATCH), (23, Mode.BATCH)],
)
def test_mode_at_the_start_of_a_run_follows_the_night_that_it_belongs_to(hour: int, mode: Mode) -> None:
    started = datetime(2026, 12, 2, hour, 0, tzinfo=BERLIN)
    assert mode_at(NIGHT, started, started) is mode


def test_mode_at_after_the_last_step_is_standard() -> None:
    steps = (ModeStep(mode=Mode.FLEX, until=time(20)),)
    assert mode_at(steps, EVENING, datetime(2026, 12, 1, 20, 0, tzinfo=BERLIN)) is Mode.STANDARD
    assert mode_at(steps, EVENING, EVENING) is Mode.FLEX


def test_mode_at_without_steps_is_standard() -> None:
    assert mode_at((), EVENING, EVENING) is Mode.STANDARD


def test_mode_at_skips_modes_that_are_not_offered() -> None:
    offered = (Mode.STANDARD, Mode.FLEX)
    assert mode_at(NIGHT, EVENING, EVENING, offered) is Mode.FLEX
    assert mode_at(NIGHT, EVENING, EVENING, (Mode.STANDARD,)) is Mode.STANDARD


@pytest.mark.parametrize(
    ("written", "step"),
    [
        ("flex", {"mode": Mode.FLEX}),
        ({"batch": "until 04:00"}, {"mode": Mode.BATCH, "until": time(4)}),
        ({"flex": "until 6:30"}, {"mode": Mode.FLEX, "until": time(6, 30)}),
        ({"flex": "06:00"}, {"mode": Mode.FLEX, "until": time(6)}),
        ({"mode": "flex", "until": "06:00:00"}, {"mode": "flex", "until": "06:00:00"}),
    ],
)
def test_read_step_reads_a_mode_and_its_end(written: object, step: object) -> None:
    assert read_step(written) == step


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("felx", "there is no mode 'felx'; use one of: standard, flex, batch"),
        ({"flex": 360}, "write  {flex: until 06:00}"),  # YAML 1.1 reads 06:00 as a number
        ({"flex": "until dawn"}, "write  {flex: until 06:00}"),
        ({"flex": "until 24:00"}, "write  {flex: until 06:00}"),
        ({"flex": "until 04:00", "batch": "until 05:00"}, "should be a mode"),
        (5, "should be a mode"),
    ],
)
def test_read_step_refuses_with_an_example(written: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read_step(written)
