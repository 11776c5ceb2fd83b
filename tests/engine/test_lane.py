"""One account's row of workers: it pauses, it closes, it can be woken."""

from __future__ import annotations

from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from batchgen.engine.lane import STANDBY, Closure, Lane
from batchgen.engine.limits.adaptive import Controller
from batchgen.engine.limits.gate import Gate
from batchgen.engine.limits.windows import Window
from batchgen.engine.retry import Policy
from batchgen.fault import WORKER_LOST, Cause, Fault, Scope
from batchgen.job import Delivered, Job, Missed, Outcome
from batchgen.route import ModelFilter
from batchgen.task import Kind, Task, Usage

POLICY = Policy(attempts=4, first_wait=2, max_wait=300, buy_again=True)
TASK = Task(kind=Kind.GENERATE, prompt="a cat", provider="aigate", model="gpt-image-2")
JOB = Job(id=1, batch="b", key="k", task=TASK, fingerprint="1:x", output="k", tries=1, claim=1)
CAME = Delivered(artifacts=(), usage=Usage())


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def lane(clock: Clock | None = None, width: int = 4, **facts: object) -> Lane:
    gate = Gate(clock=clock, width=width) if clock else Gate(width=width)
    return Lane(**{"provider": "aigate", "policy": POLICY, "account_gate": gate, **facts})  # type: ignore[arg-type]


def missed(cause: Cause, retry_after: float | None = None) -> Missed:
    return Missed(fault=Fault(cause=cause, message="m", retry_after=retry_after))


def end_call(row: Lane, outcome: Outcome, spread: float = 0.5) -> None:
    """Let one call go out and end like this."""
    row.record_outcome(JOB, outcome, row.sent(1), spread)


def test_throttling_pauses_for_as_long_as_the_provider_asks():
    row = lane(Clock())
    end_call(row, missed(Cause.THROTTLED, 7.5))
    assert row.pause_left == 7.5
    assert row.closed is None
    assert row.fault is not None


@pytest.mark.parametrize("cause", [Cause.THROTTLED, Cause.UNREACHED])
def test_without_a_stated_wait_each_pause_is_longer_than_the_last(cause):
    clock = Clock()
    row, pauses = lane(clock), []
    for _ in range(5):
        end_call(row, missed(cause), 0.999)
        pauses.append(row.pause_left)
        clock.now += row.pause_left + 0.001
    assert pauses == pytest.approx([2, 4, 8, 16, 32], rel=0.01)


def test_a_shorter_wait_never_shortens_a_pause():
    clock = Clock()
    row = lane(clock)
    end_call(row, missed(Cause.THROTTLED, 60))
    clock.now += 1
    end_call(row, missed(Cause.THROTTLED, 5))
    assert row.pause_left == 59


def test_throttling_reaches_the_innermost_gate_only():
    clock = Clock()
    gates = [Gate(clock=clock, width=4, controller=Controller(None, 4, start=8.0)) for _ in range(2)]
    row = lane(account_gate=gates[0], model_gate=gates[1])
    end_call(row, CAME)
    clock.now += 1
    end_call(row, missed(Cause.THROTTLED, 5))
    outer, inner = gates
    assert (outer.pause_left, inner.pause_left, row.pause_left) == (0, 5, 5)
    assert inner.closed_until < clock.now  # it is the controller that waits, so nothing is waited for twice
    assert inner.controller is not None
    assert inner.controller.state()["throttled"] is True


def test_a_denied_model_is_taken_no_more_until_the_user_asks():
    row = lane(Clock())
    denial = Missed(fault=Fault(cause=Cause.DENIED, message="not yours", scope=Scope.MODEL))
    end_call(row, denial)
    assert (row.closed, row.models.matches("gpt-image-2"), row.models.matches("gpt-image-1")) == (None, False, True)
    assert row.denied == {"gpt-image-2": denial.fault}
    row.deny("gpt-image-1", denial.fault)
    row.reopen()
    assert (row.denied, row.models.matches("gpt-image-2"), row.models.matches("gpt-image-1")) == ({}, True, True)


def test_a_denied_model_of_a_group_leaves_the_rest_of_it():
    row = lane(Clock(), group="new", models=ModelFilter(frozenset({"gpt-image-2", "mini"}), only=True))
    row.deny("gpt-image-2", Fault(cause=Cause.DENIED, message="not yours", scope=Scope.MODEL))
    assert [row.models.matches(name) for name in ("gpt-image-2", "mini", "other")] == [False, True, False]


def test_unreadable_answers_close_the_lane_after_one_more_call():
    clock = Clock()
    row = lane(clock)
    for number in range(3):
        row.record_unreadable(replace(JOB, id=number), row.sent(1))
    assert (row.closed, row.in_flight, row.account_gate.in_flight) == (None, 0, 0)
    assert not row.full
    sent_at = row.sent(1)
    assert row.full
    row.record_unreadable(replace(JOB, id=3), sent_at, "a bug")
    assert (row.closed, row.in_flight) == (Closure.NO_IMAGE, 0)
    assert row.fault is not None
    assert row.fault.message == "4 answers in a row, to 4 jobs, brought no image; the last: a bug"


def test_unreadable_answers_of_an_earlier_run_leave_one_call():
    row = lane(Clock())
    for number in range(9):
        row.record_unreadable(replace(JOB, id=number), None)
    assert (row.closed, row.in_flight) == (None, 0)
    sent_at = row.sent(1)
    assert row.full
    row.record_unreadable(replace(JOB, id=9), sent_at)
    assert row.closed is Closure.NO_IMAGE


@pytest.mark.parametrize(("width", "bought"), [(1, 1), (4, 4)])
def test_as_many_unknown_jobs_are_rebought_as_the_lane_is_wide(width, bought):
    row, allowed = lane(width=width), 0
    while row.may_rebuy and allowed < 99:
        row.rebuys, allowed = row.rebuys + 1, allowed + 1
    assert allowed == bought


def test_a_lane_that_holds_buys_no_unknown_job_again():
    assert not lane(policy=Policy(attempts=4, first_wait=2, max_wait=300, buy_again=False)).may_rebuy


def test_a_closed_lane_goes_on_when_the_user_asks():
    row = lane(Clock())
    end_call(row, missed(Cause.UNKNOWN))
    end_call(row, missed(Cause.DENIED))
    row.reopen()
    assert (row.closed, row.fault, row.breaker.probing) == (None, None, False)


def test_unknown_call_narrows_the_lane_until_an_answer():
    row = lane(Clock(), width=4)
    end_call(row, missed(Cause.UNKNOWN))
    assert not row.full
    first = row.sent(1)
    assert row.full
    row.record_outcome(JOB, CAME, first, 0.5)
    row.sent(1)
    assert not row.full


def test_a_lane_is_full_at_its_width():
    row, seen = lane(Clock(), width=2), []
    for _ in range(4):
        seen.append(row.full)
        row.sent(1)
    assert seen == [False, False, True, True]


def test_a_lane_is_full_where_its_account_is():
    clock = Clock()
    shared, own = Gate(clock=clock, width=3), Gate(clock=clock, width=2)
    one, other = lane(account_gate=shared), lane(account_gate=shared, model_gate=own, group="images")
    assert (one.width, other.width) == (3, 2)
    one.sent(1)
    other.sent(1)
    assert (one.full, other.full) == (False, False)
    last = one.sent(1)
    assert (one.full, other.full) == (True, True)
    assert (one.in_flight, other.in_flight) == (2, 1)
    one.ended(last)
    assert (one.full, other.full) == (False, False)


def test_what_is_in_flight_is_counted_whatever_becomes_of_it():
    row = lane(Clock(), width=9)
    sent = [row.sent(1) for _ in range(4)]
    for outcome, at in zip((CAME, missed(Cause.THROTTLED, 0), missed(Cause.ERROR)), sent, strict=False):
        row.record_outcome(JOB, outcome, at, 0.5)
    row.ended(sent[-1])
    assert (row.in_flight, row.account_gate.in_flight) == (0, 0)


def test_the_longest_wait_of_all_gates_counts():
    clock = Clock()
    slow = Gate(clock=clock, limits=[Window(10, 1)], width=9)
    quick = Gate(clock=clock, limits=[Window(1, 1)], width=9)
    row = lane(account_gate=slow, model_gate=quick)
    assert row.wait(1) == 0
    row.sent(1)
    assert row.wait(1) == pytest.approx(10, rel=0.03)
    assert row.paced
    row.model_gate.pause(30)
    assert row.wait(1) == 30


@pytest.mark.parametrize(
    ("group", "account", "name"),
    [(None, None, "aigate"), ("images", None, "aigate/images"), (None, "KEY_2", "aigate@KEY_2"),
     ("images", "KEY_2", "aigate/images@KEY_2")],
)  # fmt: skip
def test_the_name_distinguishes_lanes_of_one_provider(group, account, name):
    assert lane(group=group, account=account).name == name


@pytest.mark.parametrize(("cause", "why"), [(Cause.MONEY, Closure.MONEY), (Cause.DENIED, Closure.DENIED)])
def test_an_account_that_cannot_pay_or_is_refused_closes_at_once(cause, why):
    row = lane(Clock())
    end_call(row, missed(cause))
    assert row.closed is why
    assert row.fault is not None
    assert row.fault.cause is cause


def test_the_first_reason_for_closing_stays():
    row = lane(Clock())
    end_call(row, missed(Cause.DENIED))
    end_call(row, missed(Cause.MONEY))
    row.close(Closure.BUDGET)
    end_call(row, CAME)
    assert row.closed is Closure.DENIED
    assert row.fault is not None
    assert row.fault.cause is Cause.DENIED


@pytest.mark.parametrize("cause", [Cause.REFUSED, Cause.INVALID, Cause.EMPTY, Cause.SPOILED, Cause.ERROR])
def test_the_trouble_of_one_job_neither_pauses_nor_closes_its_lane(cause):
    row = lane(Clock())
    end_call(row, missed(cause))
    assert row.pause_left == 0
    assert row.closed is None
    assert row.fault is None


def test_every_cause_is_heeded():
    for cause in Cause:
        end_call(lane(Clock()), missed(cause))


def test_a_delivery_clears_what_the_lane_waited_for():
    row = lane(Clock())
    end_call(row, missed(Cause.THROTTLED, 1))
    end_call(row, CAME)
    assert row.fault is None


# --- others take over ----------------------------------------------------------


def test_lane_fails_over_after_taking_nothing_for_so_long():
    clock = Clock()
    row = lane(clock)
    assert not row.out_of_order(0)
    for _ in range(7):
        end_call(row, missed(Cause.UNREACHED, 10))
        assert not row.out_of_order(60)
        clock.now += 10
    assert row.out_of_order(60)
    end_call(row, CAME)
    assert not row.out_of_order(60)


def test_a_lane_is_out_of_order_while_it_is_to_pause_for_longer():
    clock = Clock()
    row = lane(clock)
    end_call(row, missed(Cause.THROTTLED, 61))
    assert row.out_of_order(60)
    clock.now += 2
    assert not row.out_of_order(60)


def test_a_closed_or_held_lane_is_out_of_order():
    closed, held = lane(Clock()), lane(Clock(), paused=True)
    closed.close(Closure.MONEY)
    assert closed.out_of_order(1e9)
    assert held.out_of_order(1e9)


# --- waiting -------------------------------------------------------------------


async def test_wait_ends_with_its_time():
    with anyio.fail_after(1):
        await lane().wait_for_change(0.02)


@pytest.mark.parametrize("how", ["notify", "interrupt"])
@pytest.mark.parametrize("seconds", [None, 30.0])
async def test_wait_ends_when_something_changes(how, seconds):
    row = lane()
    with anyio.fail_after(1):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(row.wait_for_change, seconds)
            await anyio.lowlevel.checkpoint()
            getattr(row, how)()


async def test_what_changed_before_the_rest_began_is_not_missed():
    row = lane()
    since = row.changed
    row.notify()
    with anyio.fail_after(1):
        await row.wait_for_change(None, since)


async def test_closing_wakes():
    row = lane()
    passed = []

    async def wait() -> None:
        with row.interruptible():
            await anyio.sleep(30)
            passed.append("the pause")
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
            row.interrupt()
    assert sorted(ended) == [0, 1, 2, 3, 4]
    with row.interruptible():
        await anyio.lowlevel.checkpoint()
        ended.append(5)
    assert ended[-1] == 5


async def test_denied_model_ends_the_wait_for_a_turn():
    row = lane(account_gate=Gate(limits=[Window(60, 1)], width=4))
    await row.wait_turn()
    row.sent(1)
    with anyio.fail_after(1):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(row.wait_turn)
            await anyio.sleep(0.02)
            row.deny("gpt-image-2", Fault(cause=Cause.DENIED, message="not yours", scope=Scope.MODEL))
    assert not row.has_turn


async def test_stirring_ends_no_wait_but_a_rest():
    row = lane()
    start = anyio.current_time()

    async def wait() -> None:
        with row.interruptible():
            await anyio.sleep(0.05)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        row.notify()
    assert anyio.current_time() - start >= 0.05


async def test_a_cancelled_run_is_not_held_up_by_a_resting_lane():
    row = lane()
    with anyio.move_on_after(0.02) as scope:
        await row.wait_for_change(None)
    assert scope.cancelled_caught


def test_lane_continues_whatever_a_lost_worker_takes_with_it():
    row = lane(Clock(), width=300)
    for _ in range(250):
        end_call(row, Missed(fault=Fault(cause=Cause.UNKNOWN, message="its worker was lost", code=WORKER_LOST)))
    assert row.closed is None
    assert not row.breaker.probing
    assert (row.in_flight, row.pause_left) == (0, 0)


def test_models_in_batches_are_left_out_of_what_it_sends_and_nothing_else():
    row = lane(batched=frozenset({"gpt-image-2", "two"}))
    assert not row.sends.matches("two")
    assert row.sends.matches("other")
    assert row.models.matches("two")  # it may be used, so that no job fails over because of that
    row.models = ModelFilter(frozenset({"two", "three"}), only=True)
    assert row.sends == ModelFilter(frozenset({"three"}), only=True)


def test_lane_waits_for_its_batch_only_while_nothing_of_it_is_in_flight():
    row = lane(Clock(), batching="its batch")
    assert row.why_idle(None) == "its batch"
    assert not row.full
    sent_at = row.sent(1)
    assert row.why_idle(None) == ""
    row.ended(sent_at)
    row.batching = ""
    assert row.why_idle(None) == STANDBY


@pytest.mark.anyio
async def test_uploads_of_a_batch_end_with_the_run_and_not_with_a_turn():
    row = lane()
    with anyio.fail_after(5):
        with row.uploads.interruptible() as scope:
            row.interrupt()
            await anyio.lowlevel.checkpoint()
        assert not scope.cancelled_caught
        with row.uploads.interruptible() as scope:
            row.drain()
            await anyio.sleep_forever()
        assert scope.cancelled_caught
    assert row.draining
