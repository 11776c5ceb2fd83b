"""Threads that read answers: as many at a time as there are, whatever becomes of the work or of those who wait."""

from __future__ import annotations

import asyncio
import threading

import anyio
import pytest

from batchgen.engine.readers import Readers
from batchgen.errors import StoreError

from ..timing import patience


@pytest.fixture
def readers():
    threads = Readers(2)
    yield threads
    threads.close()


async def test_readers_work_beside_the_loop_and_never_more_than_there_are(readers):
    lock, now, most = threading.Lock(), 0, 0
    both = threading.Barrier(2)

    def work() -> int:
        nonlocal now, most
        assert threading.current_thread() is not threading.main_thread()
        with lock:
            now += 1
            most = max(most, now)
        both.wait(patience(10))
        with lock:
            now -= 1
        return 7

    assert await asyncio.gather(*(readers.run(work) for _ in range(10))) == [7] * 10
    assert most == 2
    assert readers.idle == 2


@pytest.mark.parametrize("error", [ValueError("x"), MemoryError(), StopIteration(1), SystemError("x")])
async def test_an_error_reaches_the_caller_and_the_thread_continues(readers, error):
    def work() -> None:
        raise error

    for _ in range(5):
        with pytest.raises(RuntimeError if isinstance(error, StopIteration) else type(error)):
            await readers.run(work)
    assert await readers.run(lambda: 1) == 1


async def test_a_cancelled_caller_waits_until_its_work_is_done(readers):
    running, go, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        running.set()
        assert go.wait(patience(10))
        done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(readers.run, work)
        assert await anyio.to_thread.run_sync(running.wait, patience(10))
        assert readers.idle == 1
        tasks.cancel_scope.cancel()
        go.set()
    assert done.is_set()
    assert readers.idle == 2


async def test_what_comes_first_does_not_wait_for_a_busy_reader(readers):
    """An answer is made durable at once, however long the answers before it are read."""
    go, synced, order = threading.Event(), threading.Event(), []

    def sync() -> None:
        order.append("first")
        synced.set()

    def read() -> None:
        if not synced.is_set():
            sync()
        order.append("read")

    def busy() -> None:
        assert go.wait(patience(10))

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(readers.run, busy)
        while readers.idle:
            await anyio.lowlevel.checkpoint()
        tasks.start_soon(readers.run, read, sync)
        assert await anyio.to_thread.run_sync(synced.wait, patience(10))
        assert order == ["first"]
        go.set()
    assert order == ["first", "read"]
    synced.clear()
    await readers.run(read, sync)
    assert order == ["first", "read"] * 2, "an idle reader does both"


def test_readers_are_refused_before_anything_is_sent_where_threads_are_short(monkeypatch):
    real, left = threading.Thread.start, 2

    def start(thread: threading.Thread) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    before = threading.active_count()
    with pytest.raises(StoreError, match="Nothing was sent"):
        Readers(4)
    assert threading.active_count() == before
