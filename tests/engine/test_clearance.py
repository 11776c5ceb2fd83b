"""Clearances: limits hold by the times at which requests are written, whatever happened since the gate let them go."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import anyio
import anyio.lowlevel
import pytest

from batchgen.engine.clearance import Clearance
from batchgen.engine.closure import Closure
from batchgen.engine.lane import Lane
from batchgen.engine.limits.adaptive import Controller
from batchgen.engine.limits.gate import Gate, windows
from batchgen.engine.limits.wire_queue import PATIENCE
from batchgen.engine.retry import Policy
from batchgen.fault import Cause, Charged, ProviderError
from batchgen.route import ModelFilter
from tests.simulated.clock import Clock, live

MODEL = "gpt-image-2"


def lane(model_gate: Gate | None = None, account_gate: Gate | None = None, **limits: float) -> Lane:
    gate = account_gate or Gate(limits=windows(**limits), width=500)  # type: ignore[arg-type]
    return Lane(provider="openai", policy=Policy(), account_gate=gate, model_gate=model_gate)


def let_go(row: Lane, images: int = 1) -> Clearance:
    """Let a request go, as a lane does whose gate has room, or had before a stall."""
    return Clearance(lane=row, model=MODEL, images=images, let_go_at=row.sent(images))


async def write(clearance: Clearance, times: list[float], reasons: list[str]) -> None:
    try:
        await clearance.ready()
        times.append(anyio.current_time())
    except ProviderError as error:
        is_free = (error.fault.cause, error.fault.charged) == (Cause.UNREACHED, Charged.NO)
        reasons.append(error.fault.message if is_free else repr(error.fault))


def fullest(times: Sequence[float], seconds: float) -> int:
    return max(sum(start <= at < start + seconds for at in times) for start in times)


def test_clearance_spreads_a_heap_over_the_windows():
    times: list[float] = []

    async def main() -> None:
        row = lane(requests_per_second=60, burst=60)
        heap = [let_go(row) for _ in range(200)]
        async with anyio.create_task_group() as tasks:
            for clearance in heap:
                tasks.start_soon(write, clearance, times, [])
        assert [clearance.written_at for clearance in heap] == times, "in the order in which they came"

    live(Clock(), main)
    assert len(times) == 200
    assert fullest(times, 1) == 60
    assert times[-1] - times[0] == pytest.approx(3.015, abs=0.01)


def test_clearance_keeps_the_least_time_between_two_requests():
    times: list[float] = []

    async def main() -> None:
        row = lane(spacing=0.5)
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(write, let_go(row), times, [])

    live(Clock(), main)
    assert min(later - sooner for sooner, later in pairwise(times)) >= 0.5


def test_clearance_counts_images_and_both_gates():
    account = Gate(limits=windows(requests_per_second=10, burst=10), width=99)
    groups = [lane(Gate(limits=windows(images_per_minute=images), width=99), account) for images in (8, 6000)]
    times: dict[int, list[float]] = {0: [], 1: []}

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for number, row in enumerate(groups):
                for _ in range(20):
                    tasks.start_soon(write, let_go(row, 4), times[number], [])

    live(Clock(), main)
    assert len(times[0]) == 2, "two of four images each; the others have to wait for a minute and are given back"
    assert len(times[1]) == 20, "the requests of one group do not wait for those of another"
    assert fullest(times[0] + times[1], 1) <= 10


def test_clearance_counts_what_earlier_runs_sent():
    async def main() -> None:
        row = lane(requests_per_second=2)
        row.account_gate.seed([(0.1, 1), (0.2, 1)])
        began, times = anyio.current_time(), list[float]()
        await write(let_go(row), times, [])
        assert times[0] - began == pytest.approx(1.005, abs=0.01)

    live(Clock(), main)


def drain(row: Lane) -> None:
    row.draining = True
    row.interrupt()


def pause(row: Lane) -> None:
    row.paused = True
    row.interrupt()


CHANGES = {
    "is ending": drain,
    "is paused": pause,
    "no more calls": lambda row: row.close(Closure.MONEY),
    "may not use": lambda row: setattr(row, "models", ModelFilter(frozenset({MODEL}))) or row.interrupt(),
}


@pytest.mark.parametrize("why", CHANGES)
def test_clearance_is_withdrawn_where_the_lane_sends_no_more(why):
    """Requests that wait at the wire are given back at once, and one that has just been connected as well."""

    async def main() -> None:
        row, times, reasons = lane(requests_per_second=1), list[float](), list[str]()
        waiting, late = [let_go(row) for _ in range(4)], let_go(row)
        async with anyio.create_task_group() as tasks:
            for clearance in waiting:
                tasks.start_soon(write, clearance, times, reasons)
            await anyio.sleep(0.1)
            CHANGES[why](row)
            await anyio.lowlevel.checkpoint()
        assert anyio.current_time() == pytest.approx(0.1, abs=0.01)
        await write(late, times, reasons)
        assert (len(times), len(reasons)) == (1, 4)
        assert all(why in reason for reason in reasons)
        assert [clearance.unsent for clearance in (*waiting, late)] == [False, True, True, True, True]
        assert row.account_gate.wire.waiting == 0

    live(Clock(), main)


def test_clearance_waits_for_a_short_pause_and_not_for_a_long_one():
    async def main() -> None:
        row, times, reasons = lane(), list[float](), list[str]()
        row.account_gate.pause(PATIENCE - 1)
        await write(let_go(row), times, reasons)
        assert times == [pytest.approx(PATIENCE - 1, abs=0.01)]
        row.account_gate.pause(PATIENCE + 1)
        await write(let_go(row), times, reasons)
        assert "may send again in 6 s" in reasons[0]

    live(Clock(), main)


def test_clearance_follows_changed_limits_at_once():
    async def main() -> None:
        row, times = lane(requests_per_minute=14), list[float]()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write, let_go(row), times, [])
            row.account_gate.seed([(59, 1)] * 13)
            tasks.start_soon(write, let_go(row), times, [])
            await anyio.sleep(0.1)
            assert len(times) == 1
            row.account_gate.configure(windows(requests_per_minute=30), 500)
        assert times[1] == pytest.approx(0.1, abs=0.01)

    live(Clock(), main)


def test_clearance_counts_every_write_and_holds_no_repeat_back():
    """A repeat under the same key settles what became of the first: it waits for room, and for nothing else."""

    async def main() -> None:
        row, times = lane(requests_per_second=1), list[float]()
        clearance = let_go(row)
        await write(clearance, times, [])
        drain(row)
        await write(clearance, times, [])
        await write(Clearance(lane=row, model=MODEL, images=1), times, [])
        assert [round(at) for at in times] == [0, 1, 2]
        assert row.account_gate.windows.used(anyio.current_time()) == [1], "the gate counts repeats as well"

    live(Clock(), main)


def test_clearance_of_a_cancelled_call_leaves_its_turn_to_the_next():
    async def main() -> None:
        row, times = lane(requests_per_second=1), list[float]()
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(write, let_go(row), times, [])
            await anyio.sleep(0.1)
            with anyio.move_on_after(0.1):
                await write(let_go(row), times, [])
        await write(let_go(row), times, [])
        assert [round(at) for at in times] == [0, 1, 2]
        assert row.account_gate.wire.waiting == 0

    live(Clock(), main)


def test_gate_lets_no_more_go_while_a_crowd_waits_at_the_wire():
    async def main() -> None:
        row, gate = (built := lane(requests_per_second=8, burst=8)), built.account_gate
        async with anyio.create_task_group() as tasks:
            for _ in range(14):
                tasks.start_soon(write, let_go(row), [], [])
            await anyio.sleep(0.1)
            assert gate.wire.waiting == 6
            gate.windows.change([])  # those that were let go are long forgotten
            assert gate.wait(1) > 0
        assert gate.wait(1) == 0

    live(Clock(), main)


def test_controller_learns_from_the_times_of_the_writes():
    controller = Controller(None, 4, start=8.0)
    controller.sent(10.0)
    controller.sent(11.0)
    controller.written(10.0, 14.0)
    controller.throttled(14.0, 15.0, 3.0)
    assert controller.refused_until == 18.0
    controller.withdrawn(11.0)
    assert controller._in_flight == 0
    assert not controller._taken


def test_withdrawn_probe_leaves_the_next_call_to_probe():
    controller = Controller(None, 4, start=8.0)
    for at in (0.0, 0.1, 2.0):
        controller.sent(at)
        controller.throttled(at, at + 0.5)
    controller.sent(30.0)
    assert controller.blocked_until(30.0) is not None, "the others wait for its answer"
    controller.withdrawn(30.0)
    assert controller.blocked_until(30.0) is None
    controller.sent(31.0)
    assert controller.blocked_until(31.0) is not None
