"""A run's time limits by the clock on the wall: clock changes, suspend, a clock that is set."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, time, timedelta

import anyio
import pytest

from batchgen.app import clock, shutdown
from batchgen.app.shutdown import Stop, StopConditions
from batchgen.cli.run_options import stop_conditions
from tests.timing import patience
from tests.zones import BERLIN, local

EVENING = datetime(2026, 10, 24, 20, tzinfo=UTC)


class WaitingRunner:
    """A runner that ends when it is drained."""

    failure = None

    def __init__(self) -> None:
        self.drained: str | None = None
        self._end = anyio.Event()

    def subscribe(self, listener: object) -> None:
        del listener

    def drain(self, why: str | None = None) -> None:
        self.drained = why
        self._end.set()

    async def run(self) -> None:
        await self._end.wait()


async def stopped_by(conditions: StopConditions, now) -> str | None:
    runner = WaitingRunner()
    stop = Stop(runner, conditions, now)  # type: ignore[arg-type]
    with anyio.fail_after(patience(20)):
        await stop.guard(nullcontext())  # type: ignore[arg-type]
    return runner.drained


async def test_stop_at_follows_the_wall_clock_through_a_suspend(monkeypatch):
    """The machine sleeps from the first look on: the timer of a whole night would have stood still."""
    monkeypatch.setattr(shutdown, "CLOCK_LOOK", 0.02)
    looks = iter([EVENING, EVENING])
    why = await stopped_by(
        StopConditions(stop_at=EVENING + timedelta(hours=8)), lambda: next(looks, EVENING + timedelta(hours=9))
    )
    assert why == "--stop-at 04:00 reached"


async def test_max_time_counts_a_suspend_and_no_change_of_the_clock(monkeypatch):
    monkeypatch.setattr(shutdown, "CLOCK_LOOK", 0.02)
    seconds = iter([100.0, 100.0, 200.0])
    monkeypatch.setattr(shutdown, "elapsed_seconds", lambda: next(seconds, 100.0 + 3 * 3600))
    days = iter(range(1000))
    why = await stopped_by(
        StopConditions(max_time=timedelta(hours=2)), lambda: EVENING + timedelta(days=next(days, 1000))
    )
    assert why == "--max-time 2h reached"
    assert next(seconds, None) is None  # the clock on the wall, days ahead, did not end it before


@pytest.mark.parametrize(
    ("typed", "now", "seconds"),
    [
        (time(6, 30), EVENING, 9.5 * 3600),  # an hour more than the clock shows: 02:00 comes twice
        (time(6, 30), datetime(2026, 3, 28, 20, tzinfo=UTC), 8.5 * 3600),
        (time(2, 30), datetime(2026, 3, 28, 20, tzinfo=UTC), 5 * 3600),  # skipped: when the clock jumps over it
    ],
)
def test_stop_at_in_the_nights_of_clock_changes(typed, now, seconds):
    with local(BERLIN):
        conditions = stop_conditions(typed, None, None, now.astimezone())
        left = conditions.time_left(now, 0)
        assert left is not None
        assert left[0] == seconds


def test_steady_clock_runs_on_in_suspend_and_ignores_the_system_clock(monkeypatch):
    seconds = iter([50.0, 50.0 + 8 * 3600])
    monkeypatch.setattr(clock, "elapsed_seconds", lambda: next(seconds))
    moments = iter([EVENING, EVENING - timedelta(days=3650)])
    monkeypatch.setattr(clock, "utc_now", lambda: next(moments))
    assert clock.steady_clock()() == EVENING + timedelta(hours=8)
