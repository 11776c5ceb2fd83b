"""One provider's row of workers: it pauses, it closes, it can be woken."""

from __future__ import annotations

import anyio
import pytest

from batchgen.fault import Cause, Fault
from batchgen.job import Delivered, Missed
from batchgen.lane import DOUBT_ROUNDS, UNREACHED_ROUNDS, Closure, Lane
from batchgen.limits import Gate
from batchgen.retry import Policy
from batchgen.task import Usage

POLICY = Policy.of(attempts=4, first_wait=2, max_wait=300, on_unknown="retry")
CAME = Delivered(artifacts=(), usage=Usage())


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def lane(clock: Clock | None = None, width: int = 4) -> Lane:
    gate = Gate(clock=clock) if clock else Gate()
    return Lane(provider="aigate", width=width, policy=POLICY, gate=gate)


def missed(cause: Cause, retry_after: float | None = None) -> Missed:
    return Missed(fault=Fault(cause=cause, message="m", retry_after=retry_after))


def test_throttling_pauses_for_as_long_as_the_provider_asks():
    row = lane(Clock())
    row.heed(missed(Cause.THROTTLED, 7.5), 0.0)
    assert row.gate.pause_left == 7.5
    assert row.closed is None
    assert row.fault is not None


@pytest.mark.parametrize("cause", [Cause.THROTTLED, Cause.UNREACHED])
def test_without_a_stated_wait_each_pause_is_longer_than_the_last(cause):
    clock = Clock()
    row, pauses = lane(clock), []
    for _ in range(5):
        row.heed(missed(cause), 0.999)
        pauses.append(row.gate.pause_left)
        clock.now += row.gate.pause_left + 0.001
    assert pauses == pytest.approx([2, 4, 8, 16, 32], rel=0.01)


def test_calls_in_flight_that_meet_the_same_weather_are_one_miss():
    row = lane(Clock())
    for _ in range(30):
        row.heed(missed(Cause.UNREACHED), 0.5)
    assert row.misses == 1
    assert row.closed is None


def test_a_shorter_wait_never_shortens_a_pause():
    clock = Clock()
    row = lane(clock)
    row.heed(missed(Cause.THROTTLED, 60), 0.0)
    clock.now += 1
    row.heed(missed(Cause.THROTTLED, 5), 0.0)
    assert row.gate.pause_left == 59


def test_a_provider_out_of_reach_for_too_long_closes_its_lane_and_not_a_round_earlier():
    clock = Clock()
    row = lane(clock)
    for number in range(1, UNREACHED_ROUNDS + 1):
        assert row.closed is None, number
        row.heed(missed(Cause.UNREACHED), 0.5)
        clock.now += row.gate.pause_left + 1
    assert row.closed is Closure.DOWN


def test_throttling_never_closes_a_lane():
    clock = Clock()
    row = lane(clock)
    for _ in range(5 * UNREACHED_ROUNDS):
        row.heed(missed(Cause.THROTTLED, 1), 0.5)
        clock.now += 2
    assert row.closed is None


@pytest.mark.parametrize("outcome", [CAME, missed(Cause.ERROR), missed(Cause.REFUSED), missed(Cause.EMPTY)])
def test_any_answer_ends_the_count_of_misses(outcome):
    clock = Clock()
    row = lane(clock)
    for _ in range(UNREACHED_ROUNDS - 1):
        row.heed(missed(Cause.UNREACHED), 0.5)
        clock.now += row.gate.pause_left + 1
    row.heed(outcome, 0.5)
    assert row.misses == 0
    row.heed(missed(Cause.UNREACHED), 0.5)
    assert row.closed is None


def test_a_provider_that_takes_calls_and_does_not_answer_closes_after_few():
    clock = Clock()
    row = lane(clock)
    for number in range(1, DOUBT_ROUNDS + 1):
        assert row.closed is None, number
        row.heed(missed(Cause.UNKNOWN), 0.5)
        clock.now += row.gate.pause_left + 1
    assert row.closed is Closure.DOUBT


def test_after_a_call_in_doubt_one_call_at_a_time_goes_out_until_one_is_answered():
    row = lane(Clock(), width=4)
    row.heed(missed(Cause.UNKNOWN), 0.5)
    assert not row.full
    row.in_flight = 1
    assert row.full
    row.heed(CAME, 0.5)
    assert not row.full


def test_a_lane_is_full_at_its_width():
    row = lane(width=2)
    assert [(setattr(row, "in_flight", number), row.full)[1] for number in range(4)] == [False, False, True, True]


@pytest.mark.parametrize(("cause", "why"), [(Cause.MONEY, Closure.MONEY), (Cause.DENIED, Closure.DENIED)])
def test_an_account_that_cannot_pay_or_is_refused_closes_at_once(cause, why):
    row = lane(Clock())
    row.heed(missed(cause), 0.5)
    assert row.closed is why
    assert row.fault is not None
    assert row.fault.cause is cause


def test_the_first_reason_for_closing_stays():
    row = lane(Clock())
    row.heed(missed(Cause.DENIED), 0.5)
    row.heed(missed(Cause.MONEY), 0.5)
    row.close(Closure.BUDGET)
    row.heed(CAME, 0.5)
    assert row.closed is Closure.DENIED
    assert row.fault is not None
    assert row.fault.cause is Cause.DENIED


@pytest.mark.parametrize("cause", [Cause.REFUSED, Cause.INVALID, Cause.EMPTY, Cause.SPOILED, Cause.ERROR])
def test_the_trouble_of_one_job_neither_pauses_nor_closes_its_lane(cause):
    row = lane(Clock())
    row.heed(missed(cause), 0.5)
    assert row.gate.pause_left == 0
    assert row.closed is None


def test_every_cause_is_heeded():
    for cause in Cause:
        lane(Clock()).heed(missed(cause), 0.5)


def test_a_delivery_clears_what_the_lane_waited_for():
    row = lane(Clock())
    row.heed(missed(Cause.THROTTLED, 1), 0.5)
    row.heed(CAME, 0.5)
    assert row.fault is None


async def test_rest_ends_with_its_time():
    with anyio.fail_after(1):
        await lane().rest(0.02)


@pytest.mark.parametrize("how", ["stir", "wake"])
@pytest.mark.parametrize("seconds", [None, 30.0])
async def test_rest_ends_when_something_changes(how, seconds):
    row = lane()
    with anyio.fail_after(1):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(row.rest, seconds)
            await anyio.lowlevel.checkpoint()
            getattr(row, how)()


async def test_waking_ends_a_wait_at_the_gate_and_closing_wakes():
    row = lane()
    row.gate.pause(30)
    passed = []

    async def wait() -> None:
        with row.interruptible():
            await row.gate.pass_through(1)
            passed.append("the gate")
        passed.append("the wait")

    with anyio.fail_after(1):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.sleep(0.02)
            row.close(Closure.MONEY)
    assert passed == ["the wait"]


async def test_waking_ends_every_wait_and_only_those_that_are_on():
    row = lane()
    ended = []

    async def wait(number: int) -> None:
        with row.interruptible():
            await anyio.sleep(30)
        ended.append(number)

    with anyio.fail_after(1):
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(wait, number)
            await anyio.sleep(0.01)
            row.wake()
    assert sorted(ended) == [0, 1, 2, 3, 4]
    with row.interruptible():
        await anyio.lowlevel.checkpoint()
        ended.append(5)
    assert ended[-1] == 5


async def test_stirring_does_not_end_a_wait_at_the_gate():
    row = lane()
    row.gate.pause(0.05)
    start = anyio.current_time()

    async def wait() -> None:
        with row.interruptible():
            await row.gate.pass_through(1)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        row.stir()
    assert anyio.current_time() - start >= 0.05


async def test_a_cancelled_run_is_not_held_up_by_a_resting_lane():
    row = lane()
    with anyio.move_on_after(0.02) as scope:
        await row.rest(None)
    assert scope.cancelled_caught
