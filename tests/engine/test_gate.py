"""No window ever sees more than was configured, and nearly all that is allowed is used, evenly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import anyio
import pytest

from batchgen.engine.limits.adaptive import Controller
from batchgen.engine.limits.gate import Gate, Pacer, windows
from batchgen.engine.limits.windows import MARGIN
from tests.rawserver import answer, serve


def gate(**limits: float) -> Gate:
    """Return a gate that keeps to configured limits."""
    return Gate(limits=windows(**limits))  # type: ignore[arg-type]


async def pass_through(opened: Gate, images: int = 1) -> float:
    """Wait as a lane does until a request may go, and count it; return when it went."""
    await opened.wait_turn()
    while (seconds := opened.wait(images)) > 0:  # noqa: ASYNC110 - the gate has no event
        await anyio.sleep(seconds)
    return opened.sent(images)


#: Seconds by which every wake-up is late: one that is not would find a limiter a rounding error short of its turn.
LATE = 1e-6


class FastLoop(asyncio.SelectorEventLoop):
    """A real event loop on whose clock only waiting takes time, and at once: however busy the machine is."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1000.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if self._scheduled and not self._ready:
            self._now = max(self._now, self._scheduled[0].when() + LATE)
        super()._run_once()


def quickly(main: Callable[[], Awaitable[list[float]]]) -> list[float]:
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        return runner.run(main())


def passing(built: Callable[[], Gate], count: int, images: Callable[[int], int] = lambda _: 1) -> list[float]:
    """Let *count* requests through a gate; return when each passed."""

    async def main() -> list[float]:
        opened = built()
        return [await pass_through(opened, images(number)) for number in range(count)]

    return quickly(main)


def busiest(times: list[float], window: float, weights: list[int] | None = None) -> float:
    """Return the most that any window of so many seconds saw, its start included and its end not."""
    weights = weights or [1] * len(times)
    most, start, total = 0, 0, 0
    for end, at in enumerate(times):
        total += weights[end]
        while times[start] <= at - window:
            total -= weights[start]
            start += 1
        most = max(most, total)
    return most


@pytest.mark.parametrize("rate", [1, 7, 60, 300, 2000])
def test_no_minute_sees_more_requests_than_allowed_and_most_are_used(rate):
    times = passing(lambda: gate(requests_per_minute=rate), 3 * rate + 1)
    assert busiest(times, 60) <= rate
    assert (len(times) - 1) / (times[-1] - times[0]) >= 0.95 * rate / 60


@pytest.mark.parametrize("rate", [0.5, 1, 5, 50, 400])
def test_no_second_sees_more_requests_than_allowed_and_most_are_used(rate):
    times = passing(lambda: gate(requests_per_second=rate), int(4 * rate) + 2)
    assert busiest(times, 1) <= max(1, rate)
    assert (len(times) - 1) / (times[-1] - times[0]) >= 0.95 * rate


def test_the_tighter_of_two_limits_holds():
    times = passing(lambda: gate(requests_per_second=10, requests_per_minute=60), 130)
    assert busiest(times, 1) <= 10
    assert busiest(times, 60) <= 60
    times = passing(lambda: gate(requests_per_second=2, requests_per_minute=6000), 30)
    assert busiest(times, 1) <= 2


def test_spacing_keeps_requests_apart():
    times = passing(lambda: gate(spacing=1.5), 20)
    assert min(after - before for before, after in pairwise(times)) >= 1.5


def test_images_count_by_their_number():
    weights = [1 + number % 5 for number in range(200)]
    times = passing(lambda: gate(images_per_minute=60), 200, lambda number: weights[number])
    assert busiest(times, 60, weights) <= 60 + 5  # a request goes out when the last of its images may
    assert sum(weights[1:]) / (times[-1] - times[0]) >= 0.95


def test_a_request_with_many_images_pays_for_all_of_them():
    times = passing(lambda: gate(images_per_minute=60), 20, lambda _: 10)
    assert busiest(times, 60, [10] * 20) <= 60
    assert min(after - before for before, after in pairwise(times)) >= 9.5


def test_images_and_requests_are_limited_apart():
    by_requests = passing(lambda: gate(requests_per_minute=30, images_per_minute=600), 10, lambda _: 2)
    assert by_requests[-1] - by_requests[0] == pytest.approx(9 * 2 * (1 + MARGIN), rel=0.02)
    by_images = passing(lambda: gate(requests_per_minute=600, images_per_minute=30), 10, lambda _: 2)
    assert by_images[-1] - by_images[0] == pytest.approx(9 * 4 * (1 + MARGIN), rel=0.02)


def test_without_limits_nothing_waits():
    times = passing(gate, 1000)
    assert times[-1] - times[0] < 1
    assert not gate().paced
    assert gate(spacing=1).paced
    assert gate(images_per_minute=1).paced


def test_request_heavier_than_the_limit_goes_alone():
    times = passing(lambda: gate(images_per_minute=5), 3, lambda _: 17)
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps == pytest.approx([17 * 12] * 2, rel=0.02)


class Impatient(Pacer):
    """A pacer that never waits."""

    async def wait(self) -> None:
        pass


@pytest.mark.parametrize("images", [1, 7])
@pytest.mark.parametrize(
    ("limits", "window", "most"),
    [({"requests_per_minute": 60}, 60, 60), ({"requests_per_second": 5}, 1, 5), ({"requests_per_day": 50}, 86_400, 50)],
)
def test_windows_hold_the_limit_without_any_pacer(monkeypatch, limits, window, most, images):
    monkeypatch.setattr("batchgen.engine.limits.gate.Pacer", Impatient)
    times = passing(lambda: gate(**limits), 3 * most + 1, lambda _: images)
    assert busiest(times, window) == most
    times = passing(lambda: gate(images_per_minute=60), 60, lambda _: images)
    assert busiest(times, 60, [images] * 60) == 60 // images * images


def test_requests_are_spaced_evenly():
    times = passing(lambda: gate(requests_per_minute=60), 100)
    gaps = [after - before for before, after in pairwise(times)]
    assert min(gaps) >= 0.5
    assert gaps[5:] == pytest.approx([1 + MARGIN] * len(gaps[5:]), rel=1e-4)


def test_learned_rate_is_spaced_evenly_and_followed():
    async def main() -> list[float]:
        controller = Controller(5.0, 100)
        controller.restore({"rate": 0.5 / 0.9}, 0.0)
        opened = Gate(limits=windows(requests_per_second=5), width=100, controller=controller)
        rates = []
        for rate in (0.5, 2.0, 0.1):
            controller._rate.value = rate
            began = await pass_through(opened)
            for _ in range(20):
                ended = await pass_through(opened)
                controller._rate.value = rate
            rates.append(20 / (ended - began))
        return rates

    assert quickly(main) == pytest.approx([0.5, 2.0, 0.1], rel=0.03)


def test_idle_time_is_not_saved_up_for_a_burst():
    async def main() -> list[float]:
        opened = gate(requests_per_second=10)
        await pass_through(opened)
        await anyio.sleep(60)
        times = []
        for _ in range(30):
            await pass_through(opened)
            times.append(anyio.current_time())
        return times

    assert busiest(quickly(main), 1) <= 10


def test_nothing_passes_during_a_pause_whenever_it_began_or_grew():
    async def main() -> list[float]:
        opened, passed = gate(requests_per_second=5), []
        closed: list[tuple[float, float]] = []

        async def drive() -> None:
            for _ in range(60):
                await pass_through(opened)
                passed.append(anyio.current_time())

        async def weather() -> None:
            for pause, later in ((2, 0.1), (1, 0.5), (3, 0.7), (2, 2.9), (4, 1.0)):
                opened.pause(pause)
                closed.append((anyio.current_time(), anyio.current_time() + pause))
                await anyio.sleep(later)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(drive)
            await anyio.sleep(1.05)
            tasks.start_soon(weather)
        assert closed
        assert not [at for at in passed for start, end in closed if start < at < end - 1e-6]
        return passed

    assert len(quickly(main)) == 60


def test_growing_pause_is_kept_to_the_end():
    async def main() -> list[float]:
        opened, times = Gate(), [anyio.current_time()]
        opened.pause(1)

        async def wait() -> None:
            await pass_through(opened)
            times.append(anyio.current_time())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.sleep(0.5)
            opened.pause(5)
        return times

    start, passed = quickly(main)
    assert passed - start >= 5.5 - 1e-6


def test_a_longer_pause_in_force_stays():
    now = [100.0]
    opened = Gate(clock=lambda: now[0])
    assert opened.pause_left == 0
    opened.pause(10)
    opened.pause(3)
    assert opened.pause_left == 10
    now[0] += 8
    opened.pause(3)
    assert opened.pause_left == 3
    now[0] += 50
    assert opened.pause_left == 0


def test_cancelled_wait_costs_nothing_of_the_rate():
    async def main() -> list[float]:
        opened = gate(requests_per_minute=6)
        await pass_through(opened)
        start = anyio.current_time()
        for _ in range(5):
            with anyio.move_on_after(1):
                await pass_through(opened)
        await pass_through(opened)
        return [start, anyio.current_time()]

    start, passed = quickly(main)
    assert passed - start == pytest.approx(10, rel=0.04)


def test_interrupted_wait_still_pays_for_many_images():
    async def main() -> list[float]:
        opened = gate(images_per_minute=60)
        start = await pass_through(opened, 10)
        for _ in range(3):
            with anyio.move_on_after(0.5):
                await opened.wait_turn()
        return [start, await pass_through(opened)]

    start, passed = quickly(main)
    assert passed - start >= 8


async def arrivals(rate: int, count: int) -> list[float]:
    """Send so many requests through a gate, over real sockets in real time; return when each arrived."""
    async with serve(answer()) as server:
        opened = gate(requests_per_second=rate)

        async def call() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.read()
            writer.close()
            await writer.wait_closed()

        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                await pass_through(opened)
                tasks.start_soon(call)
    return sorted(request.at for request in server.requests)


async def test_fifty_a_second_as_the_far_side_sees_them():
    rate, count = 50, 100
    seen = []
    for _ in range(4):  # a machine busy with other work holds up now one request, now another; a wrong pace stays wrong
        times = await arrivals(rate, count)
        assert len(times) == count
        seen.append((busiest(times, 1), (count - 1) / (times[-1] - times[0])))
        if seen[-1][0] <= rate and seen[-1][1] >= 0.5 * rate:  # that all of it is used, virtual time shows
            return
    pytest.fail(f"busiest second and rate, four times over: {seen}")


def test_a_daily_quota_is_used_at_once_and_then_waited_for():
    times = passing(lambda: gate(requests_per_day=50, requests_per_minute=600), 60)
    assert times[49] - times[0] < 10
    assert times[50] - times[0] >= 86_400
    assert busiest(times, 86_400) <= 50


def test_used_up_daily_quota_leaves_no_turn_to_wait_for():
    async def main() -> list[float]:
        opened = gate(requests_per_day=2)
        for _ in range(2):
            await pass_through(opened)
        with anyio.fail_after(1):
            await opened.wait_turn()
        return [opened.wait(1)]

    assert quickly(main)[0] >= 86_000


def test_a_burst_goes_at_once_and_the_limit_holds_all_the_same():
    times = passing(lambda: gate(requests_per_minute=60, burst=20), 300)
    assert times[19] - times[0] < 1
    assert busiest(times, 60) <= 60
    assert (len(times) - 1) / (times[-1] - times[0]) >= 0.95


def test_what_an_earlier_run_sent_counts():
    earlier = [float(ago) for ago in range(1, 31)]

    async def main() -> list[float]:
        opened = gate(requests_per_minute=30)
        start = anyio.current_time()
        opened.seed((ago, 1) for ago in earlier)
        times = []
        for _ in range(40):
            await pass_through(opened)
            times.append(anyio.current_time() - start)
        return times

    assert busiest(sorted([-ago for ago in earlier] + quickly(main)), 60) <= 30
