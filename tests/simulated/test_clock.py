"""The clock jumps over waiting, and over nothing else."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from datetime import timedelta

import anyio
import pytest
from anyio import to_thread

from batchgen.store import migrate
from batchgen.store.writer import Writer
from tests.store.kit import NOW

from . import clock as clocks
from .clock import DUSK, Clock, StandstillError, UncountedError, live


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_hours_of_waiting_pass_in_order_and_in_no_time(clock):
    woken = []

    async def wait(hours: float) -> None:
        await anyio.sleep(3600 * hours)
        woken.append((hours, clock.seconds / 3600))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for hours in (8, 1, 0.5, 24):
                tasks.start_soon(wait, hours)

    live(clock, main)
    assert [hours for hours, _ in woken] == [0.5, 1, 8, 24]
    assert [at for _, at in woken] == pytest.approx([0.5, 1, 8, 24])
    assert clock.now() - DUSK == pytest.approx(timedelta(hours=24), abs=timedelta(seconds=1))


def test_the_clock_stops_while_a_thread_works(clock):
    order = []

    async def timer() -> None:
        await anyio.sleep(0.001)
        order.append("timer")

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(timer)
            await to_thread.run_sync(time.sleep, 0.05)
            order.append("thread")
            assert clock.seconds == 0

    live(clock, main)
    assert order == ["thread", "timer"]


def test_work_whose_waiter_left_is_waited_for_all_the_same(clock):
    begun, answer = threading.Event(), Future[int]()

    def work() -> None:
        begun.wait()
        time.sleep(0.05)
        done.append(clock.seconds)
        answer.set_result(1)

    done: list[float] = []
    thread = threading.Thread(target=work)
    thread.start()

    async def main() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            answer.set_running_or_notify_cancel()
            await asyncio.wrap_future(answer)
        begun.set()
        await anyio.sleep(3600)
        assert done == [0.0]

    live(clock, main)
    thread.join()
    assert clock.seconds == pytest.approx(3600)


def test_a_commit_takes_no_virtual_time(clock, tmp_path):
    path = tmp_path / "batchgen.db"
    migrate.ensure(path)
    ended = []

    async def write(number: int) -> None:
        await writer.open_batch(f"b{number}", "/m.yaml", "/out", NOW)
        ended.append(clock.seconds)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(write, number)
            await anyio.sleep(0.000_01)
            assert len(ended) == 20

    with Writer(path) as writer:
        live(clock, main)
    assert set(ended) == {0.0}


def test_nothing_left_that_could_happen_is_an_error_and_no_hang(clock):
    with pytest.raises(StandstillError, match="nothing is timed"):
        live(clock, anyio.Event().wait)


def test_waiting_without_letting_time_pass_is_an_error_and_no_hang(clock, monkeypatch):
    monkeypatch.setattr(clocks, "TURNS", 1000)

    async def spin() -> None:
        while clock.seconds < 1:
            await anyio.lowlevel.checkpoint()

    with pytest.raises(StandstillError, match="has not moved"):
        live(clock, spin)


def test_a_thread_that_answers_unseen_is_an_error(clock):
    async def main() -> None:
        came = asyncio.Event()
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(came.set))
        thread.start()
        await asyncio.sleep(1)
        thread.join()
        await came.wait()

    with pytest.raises(UncountedError):
        live(clock, main)


def test_an_answer_that_comes_while_it_is_being_asked_for_is_counted(clock):
    class Hasty(Future):
        def add_done_callback(self, callback):
            super().add_done_callback(callback)
            if not self.done():
                thread = threading.Thread(target=self.set_result, args=(7,))
                thread.start()
                thread.join()

    async def main() -> int:
        return await asyncio.wrap_future(Hasty())

    assert live(clock, main) == 7


def test_the_doors_are_put_back(clock):
    doors = to_thread.run_sync, asyncio.wrap_future
    with pytest.raises(ZeroDivisionError):
        live(clock, _fail)
    assert (to_thread.run_sync, asyncio.wrap_future) == doors


def test_a_clock_goes_on_in_the_next_loop(clock):
    live(clock, lambda: anyio.sleep(60))
    live(clock, lambda: anyio.sleep(60))
    assert clock.seconds == pytest.approx(120)


async def _fail() -> None:
    raise ZeroDivisionError
