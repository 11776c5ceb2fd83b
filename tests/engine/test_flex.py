"""Flex calls that a provider sheds: they wait, and nothing else does."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from batchgen.engine.flex import FlexPause
from batchgen.engine.lane import Closure
from batchgen.engine.limits.adaptive import Controller
from batchgen.engine.retry import Policy
from batchgen.fault import Cause, Fault
from batchgen.mode import Mode

from .test_lane import CAME, JOB, Clock, lane, missed

SHED = Fault(cause=Cause.THROTTLED, message="The system is currently at capacity.", status=503)


def test_flex_pause_grows_with_each_round_and_starts_over_after_an_answer() -> None:
    pause, now, waits = FlexPause(policy=Policy(first_wait=2, max_wait=60)), 100.0, []
    for _ in range(6):
        pause.shed(SHED, now, 0.999)
        pause.shed(SHED, now, 0.999)  # was in flight with the first: the same round
        waits.append(pause.left(now))
        now += pause.left(now) + 0.001
    assert waits == pytest.approx([2, 4, 8, 16, 32, 60], rel=0.01)
    pause.answered()
    pause.shed(SHED, now, 0.999)
    assert pause.left(now) == pytest.approx(2, rel=0.01)


def test_flex_pause_is_as_long_as_the_provider_asks() -> None:
    pause = FlexPause(policy=Policy())
    pause.shed(replace(SHED, retry_after=33.0), 5.0, 0.5)
    assert pause.left(5.0) == 33.0
    assert pause.left(39.0) == 0.0


def test_flex_is_given_up_after_the_patience_unless_another_mode_takes_over() -> None:
    given_up = FlexPause(policy=Policy(patience=100))
    waiting = FlexPause(policy=Policy(patience=100), has_end=True)
    assert [given_up.shed(SHED, now, 0.5) for now in (0.0, 99.0, 100.0)] == [False, False, True]
    assert not any(waiting.shed(SHED, now, 0.5) for now in (0.0, 99.0, 5000.0))


def test_shed_flex_call_pauses_flex_and_neither_lane_nor_breaker() -> None:
    row = lane(Clock())
    row.record_outcome(JOB, missed(Cause.THROTTLED), row.sent(1), 0.5, Mode.FLEX)
    assert row.sheds_flex
    assert (row.in_flight, row.pause_left, row.closed, row.breaker.since) == (0, 0.0, None, None)
    assert not row.out_of_order(0.0)
    assert row.why_idle(None) == "flex capacity"


def test_shed_flex_call_is_no_throttling_to_the_learned_rate() -> None:
    def refused_until(mode: Mode) -> float:
        row = lane(Clock())
        controller = row.account_gate.controller = Controller(10.0, 400)
        row.record_outcome(JOB, missed(Cause.THROTTLED, 7.0), row.sent(1), 0.5, mode)
        return controller.refused_until

    assert refused_until(Mode.FLEX) == -math.inf
    assert refused_until(Mode.STANDARD) > 0


def test_other_outcomes_of_flex_calls_count_as_usual() -> None:
    row = lane(Clock())
    row.record_outcome(JOB, missed(Cause.MONEY), row.sent(1), 0.5, Mode.FLEX)
    assert row.closed is Closure.MONEY
    row = lane(Clock())
    row.record_outcome(JOB, missed(Cause.THROTTLED), row.sent(1), 0.5, Mode.FLEX)
    row.record_outcome(JOB, CAME, row.sent(1), 0.5, Mode.FLEX)
    assert row.breaker.since is None
    assert row.in_flight == 0


def test_flex_that_is_given_up_closes_the_lane() -> None:
    clock = Clock()
    row = lane(clock)
    row.record_outcome(JOB, missed(Cause.THROTTLED), row.sent(1), 0.5, Mode.FLEX)
    clock.now += row.policy.patience
    row.record_outcome(JOB, missed(Cause.THROTTLED), row.sent(1), 0.5, Mode.FLEX)
    assert row.closed is Closure.DOWN
    assert row.fault is not None
