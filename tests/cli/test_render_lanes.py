"""What a run says of its lanes: while it goes on, and in its last lines."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from batchgen.app.lane_result import LaneResult
from batchgen.cli.render.progress import LONG_PAUSE, LaneEvents
from batchgen.cli.render.result import _failovers, _lane_line
from batchgen.engine.lane import Closure, Lane
from batchgen.engine.limits.gate import Gate
from batchgen.engine.limits.windows import Window
from batchgen.engine.retry import Policy
from batchgen.engine.runner import Runner
from batchgen.fault import Cause, Fault


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def lane(clock: Clock, name: str = "openai") -> Lane:
    return Lane(provider=name, policy=Policy(), account_gate=Gate(clock=clock, width=4))


def end(name: str, closed: Closure | None = None, message: str | None = None, **more) -> LaneResult:
    facts = {"left": 0, "cause": None} | more
    return LaneResult(provider=name.partition("@")[0], name=name, closed=closed, message=message, **facts)


def test_what_happens_to_a_lane_is_reported_once():
    clock = Clock()
    row, other = lane(clock), lane(clock, "aimlapi")
    news = LaneEvents(Runner(batch_id=1, lanes=[row, other], reader=None, attempts=SimpleNamespace()))  # type: ignore[arg-type]
    assert list(news.lines()) == []
    row.fault = Fault(cause=Cause.THROTTLED, message="slow down")
    row.account_gate.pause(LONG_PAUSE - 1)
    assert list(news.lines()) == []  # a short pause is no news
    row.account_gate.pause(1200)
    assert list(news.lines()) == ["openai: throttled, resumes in 20 min"]
    assert list(news.lines()) == []
    clock.now += 1201
    assert list(news.lines()) == []  # it waits no longer, but nothing was taken yet
    row.fault = None
    assert list(news.lines()) == ["openai: resumed"]
    row.close(Closure.MONEY, Fault(cause=Cause.MONEY, message="out of credit"))
    assert list(news.lines()) == ["openai: closed: out of credit"]
    assert list(news.lines()) == []
    row.reopen()
    assert list(news.lines()) == ["openai: resumed"]


def test_a_quota_that_is_used_up_is_reported_with_its_time():
    clock = Clock()
    row = lane(clock)
    row.account_gate.configure([Window(86_400, 2, burst=2)], 4)
    news = LaneEvents(Runner(batch_id=1, lanes=[row], reader=None, attempts=SimpleNamespace()))  # type: ignore[arg-type]
    for _ in range(2):
        row.sent(1)
    row.waits = "pace"
    assert list(news.lines()) == ["openai: its limits: next request in 24 h 7 min"]
    assert list(news.lines()) == []
    clock.now += 87_000
    assert list(news.lines()) == ["openai: resumed"]


@pytest.mark.parametrize(
    ("ended", "line"),
    [
        (end("a@K1", Closure.MONEY, "no credit", left=3), "stopped   a@K1: out of money: no credit (3 pending)"),
        (end("a", Closure.DOWN), "stopped   a: unreachable"),
        (
            end("a", Closure.DENIED, "bad value", cause=Cause.INVALID),
            "stopped   a: the first jobs were all refused alike, which looks like a mistake in its settings: bad value",
        ),
        (end("a", Closure.DOWN, "oops", cause=Cause.ERROR), "stopped   a: answered only with errors: oops"),
        (end("a", Closure.BUDGET, "the budget of today is used up"), "stopped   a: the budget of today is used up"),
    ],
    ids=["money", "down", "alike", "errors", "budget"],
)
def test_a_lane_that_stopped_is_a_line(ended, line):
    assert _lane_line(ended) == line


def test_a_fallback_is_reported_by_provider_not_by_key():
    lanes = [
        end("a", Closure.MONEY, "no credit"),
        end("b@K1", failed_over={"a": 2}),
        end("b@K2", failed_over={"a": 3, "c": 1}),
    ]
    assert _failovers(lanes) == ["failover  b: 5 jobs of a (out of money)", "failover  b: 1 job of c"]
