"""No window ever sees more than its limit, restarts included, and what is allowed is used."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.engine.limits.windows import DAY, MARGIN, SlidingWindows, Window

#: A request: when it went, and how many images it counts as.
Send = tuple[float, int]

MINUTE = 60.0


def send(pace: SlidingWindows, now: float, images: int = 1) -> float:
    """Wait as told, at most a few times, and send; return when it went."""
    for _ in range(10):
        wait = pace.wait(now, images)
        if wait == 0:
            pace.sent(now, images)
            return now
        now += wait
    raise AssertionError("told to wait again and again")


def drive(
    pace: SlidingWindows, count: int, images: Callable[[int], int] = lambda _: 1, late: float = 0.0
) -> list[Send]:
    """Send *count* requests as fast as the pace allows, each up to *late* seconds late; return them."""
    chance, now, sends = random.Random(1), 0.0, []
    for number in range(count):
        weight = images(number)
        wait = pace.wait(now, weight)
        while wait:
            now += wait + chance.uniform(0, late)
            wait = pace.wait(now, weight)
        pace.sent(now, weight)
        sends.append((now, weight))
    return sends


def overfull(sends: list[Send], window: Window) -> list[Send]:
    """Return the requests with which a half-open window saw more than its limit, alone ones excepted."""
    wrong, start, total = [], 0, 0
    for index, (at, images) in enumerate(sends):
        total += window.weigh(images)
        while sends[start][0] <= at - window.span:
            total -= window.weigh(sends[start][1])
            start += 1
        if total > window.most and start != index:
            wrong.append((at, images))
    return wrong


def utilisation(sends: list[Send], window: Window) -> float:
    """Return how much of the limit was used from the first request to the last."""
    weight = sum(window.weigh(images) for _, images in sends[:-1])
    return weight / (sends[-1][0] - sends[0][0]) * window.seconds / window.limit


windows = st.builds(
    Window,
    st.sampled_from([0.5, 1.0, 7.0, MINUTE]),
    st.integers(1, 12) | st.sampled_from([0.25, 0.5, 2.5, 7.3]),
    st.sampled_from(["requests", "images"]),
    st.sampled_from([1, 1, 2, 5, 100]),
)
#: Gaps between arrivals, how late each is woken, and how many images it counts as.
arrivals = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.01, 0.9, 5.0, 70.0]), st.floats(0, 0.3), st.integers(1, 6)),
    min_size=1,
    max_size=60,
)
origins = st.sampled_from([0.0, -100.0, 1.7e9])


@given(st.lists(windows, min_size=1, max_size=3), st.sampled_from([0.0, 0.2]), arrivals, origins, st.integers(0, 60))
def test_no_window_anywhere_sees_more_than_its_limit(limits, spacing, story, origin, restart):
    spaced = [Window(spacing, 1)] if spacing else []
    pace, now, sends = SlidingWindows([*limits, *spaced]), origin, []
    for number, (gap, late, images) in enumerate(story):
        if number == restart:
            # another process, which knows what the first one sent and nothing else
            pace = SlidingWindows([*limits, *spaced])
            pace.seed(entry for entry in reversed(sends) if entry[0] > now - pace.memory)
        now += gap
        if pace.wait(now, images):
            now += pace.wait(now, images) + late
        now = send(pace, now, images)
        sends.append((now, images))
    for limit in limits:
        assert overfull(sends, limit) == []
    if spacing:
        assert all(after - before >= spacing for (before, _), (after, _) in pairwise(sends))


@given(windows, st.lists(st.tuples(st.floats(-90, 0), st.integers(1, 6)), max_size=40), st.integers(1, 6))
def test_next_call_goes_soon_after_its_window_has_room(window, seeds, images):
    pace = SlidingWindows([window])
    pace.seed(seeds)
    at = send(pace, 0.0, images)
    weight = window.weigh(images)
    seen = sum(window.weigh(many) for when, many in seeds if when > at - window.span)
    assert seen + weight <= window.most or seen == 0
    assert at <= (max(window.most, window.burst) + 12) * window.span / window.most * (1 + MARGIN) + 1e-6


@given(st.lists(windows, min_size=1, max_size=3), arrivals, st.lists(windows, min_size=1, max_size=3))
def test_a_change_of_limits_holds_from_then_on_and_back_again(limits, story, others):
    pace, now, sends = SlidingWindows(limits), 0.0, []
    third = max(1, len(story) // 3)
    in_force = {0: limits, third: others, 2 * third: limits}
    for number, (gap, _, images) in enumerate(story):
        if number and number in in_force:
            pace.change(in_force[number])
        now = send(pace, now + gap, images)
        sends.append((now, images))
    for first, last in pairwise([*in_force, len(sends)]):
        for limit in in_force[first]:
            assert overfull(sends[first:last], limit) == []


@pytest.mark.parametrize(
    ("window", "late"),
    [
        pytest.param(Window(1, 1, "requests"), 0.004, id="1-a-second"),
        pytest.param(Window(1, 0.5, "requests"), 0.004, id="half-a-second"),
        pytest.param(Window(1, 2.5, "requests"), 0.004, id="2.5-a-second"),
        pytest.param(Window(1, 50, "requests"), 0.004, id="50-a-second"),
        pytest.param(Window(1, 400, "requests"), 0.001, id="400-a-second"),
        pytest.param(Window(MINUTE, 1, "requests"), 0.2, id="1-a-minute"),
        pytest.param(Window(MINUTE, 16.67, "requests"), 0.2, id="16.67-a-minute"),
        pytest.param(Window(MINUTE, 60, "requests"), 0.2, id="60-a-minute"),
        pytest.param(Window(MINUTE, 60, "requests", 10), 0.2, id="60-a-minute-in-bursts"),
        pytest.param(Window(DAY, 1000, "requests"), 1.0, id="1000-a-day"),
        pytest.param(Window(DAY, 1000, "requests", 1000), 1.0, id="1000-a-day-at-once"),
        pytest.param(Window(MINUTE, 250, "images"), 0.1, id="250-images-a-minute"),
    ],
)
def test_rate_is_used_to_98_percent_and_never_exceeded(window, late):
    # to the start of the next window, and several of them
    sends = drive(SlidingWindows([window]), 6 * window.most + 1, late=late)
    assert overfull(sends, window) == []
    assert utilisation(sends, window) >= 0.98


@pytest.mark.parametrize("heaviest", [1, 2, 4])
def test_mixed_requests_use_98_percent_of_the_images_too(heaviest):
    window = Window(MINUTE, 250, "images")
    chance = random.Random(heaviest)
    sends = drive(SlidingWindows([window]), 2000, lambda _: chance.randint(1, heaviest))
    assert overfull(sends, window) == []
    assert utilisation(sends, window) >= 0.98


def test_requests_that_do_not_fill_a_window_use_what_fits():
    window = Window(MINUTE, 60, "images")
    sends = drive(SlidingWindows([window]), 200, lambda _: 7)  # 8 of them fit, 56 images
    assert overfull(sends, window) == []
    assert utilisation(sends, window) == pytest.approx(56 / 60, rel=0.04)


def test_the_tightest_of_several_limits_is_used_fully():
    second, minute = Window(1, 5, "requests"), Window(MINUTE, 60, "images")
    sends = drive(SlidingWindows([second, minute]), 600, lambda number: 1 + number % 2)
    assert overfull(sends, second) == overfull(sends, minute) == []
    assert utilisation(sends, minute) >= 0.97  # 2 images in 3 requests leave one place of 60 empty now and then


def test_a_burst_above_the_limit_is_cut_by_the_limit():
    pace = SlidingWindows([Window(MINUTE, 3, "requests", 100)])
    sends = drive(pace, 4)
    assert [at for at, _ in sends[:3]] == [0, 0, 0]
    assert MINUTE < sends[3][0] < MINUTE * (1 + MARGIN)


def test_a_daily_quota_goes_at_once_and_survives_restarts():
    quota = Window(DAY, 100, "requests", 100)
    first = drive(SlidingWindows([quota]), 100)
    assert first[-1][0] == 0
    hour = 3600.0
    second = SlidingWindows([quota])
    second.seed((at - hour, images) for at, images in first)
    assert second.used(0.0) == [100]
    assert second.wait(0.0) == pytest.approx(DAY - hour, rel=0.01)
    assert second.wait(0.0) > DAY - hour


def test_seeds_of_another_process_in_the_middle_of_a_run_count():
    pace = SlidingWindows([Window(MINUTE, 10, "requests", 10)])
    drive(pace, 5)
    pace.seed([(-20.0, 1), (-10.0, 1), (0.0, 1), (-1000.0, 1)])
    assert pace.used(0.0)[0] == 8


def test_a_lower_limit_leaves_no_debt_beyond_its_own_window():
    pace = SlidingWindows([Window(MINUTE, 600, "requests")])
    sends = drive(pace, 600)
    pace.change([Window(MINUTE, 2, "requests")])
    assert send(pace, sends[-1][0]) - sends[-1][0] <= 1.1 * MINUTE


def test_limits_that_go_down_and_up_again_remember_what_was_sent():
    wide, narrow = Window(MINUTE, 60, "requests", 60), Window(MINUTE, 2, "requests")
    pace = SlidingWindows([wide])
    drive(pace, 60)
    pace.change([narrow])
    pace.change([wide])
    assert pace.wait(1.0) > 58


def test_without_limits_nothing_waits():
    pace = SlidingWindows()
    assert all(at == 0 for at, _ in drive(pace, 1000))
    assert pace.used(0.0) == []
    assert pace.memory == 0


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"limit": 0}, {"limit": float("nan")}, {"burst": 0}], ids=str)
def test_a_limit_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="above 0"):
        Window(**({"seconds": MINUTE, "limit": 1} | wrong))


def test_memory_is_bounded_by_the_limit_however_much_was_sent():
    pace = SlidingWindows([Window(DAY, 10_000, "requests", 10_000)])
    tracemalloc.start()
    try:
        for number in range(40_000):
            pace.sent(number * 1e-3)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pace.used(40.0)[0] == 10_000
    assert held < 2_000_000
