"""Calls whose worker is lost: repeated under their own key, or settled once no worker can still have them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from batchgen.engine.cluster import backend, link, search
from batchgen.engine.cluster.call import Order
from batchgen.fault import Cause
from batchgen.job import Delivered, Missed

from .world import Direct, driver, until

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(search, "ROUND", 0.05)
    monkeypatch.setattr(link, "RETRY_PAUSE", 0.05)
    monkeypatch.setattr(backend, "FIRST_WORKER", 0.1)


@pytest.fixture
def keyed(world):
    world.key_header = "Idempotency-Key"
    return world


async def worker(world, name="w-0", host="host"):
    handle = Direct(world=world, name=name, host=host)
    await handle.restart()
    return handle


async def left_in_flight(world, *handles, prompt="a cat"):
    """Have a driver leave a call in flight at the first of its workers; return the attempt as the next run has it."""
    attempt = world.attempt(prompt)
    async with driver(world, *handles) as ours:
        await until(lambda: all(link.ready for link in ours.backend.links.values()))
        running = ours.run(attempt)
        await until(lambda: world.arrivals)
        running.cancel()
    return replace(attempt, resumed=True)


def is_unknown(outcome):
    return isinstance(outcome, Missed) and outcome.fault.cause is Cause.UNKNOWN


async def test_call_that_died_with_its_worker_is_repeated_under_its_key(keyed):
    handle = await worker(keyed)
    async with driver(keyed, handle) as ours:
        running = ours.run(keyed.attempt())
        await until(lambda: keyed.arrivals)
        await handle.die()
        await handle.restart()
        assert isinstance(await running, Delivered)
    assert (keyed.arrivals, keyed.charges) == (2, 1)


async def test_call_of_a_worker_that_never_returns_is_repeated_by_another(keyed, monkeypatch):
    monkeypatch.setattr(backend, "STORE_SECONDS", 0.5)
    monkeypatch.setattr(backend, "deadline", lambda *_: 0.5)
    first, second = await worker(keyed, "w-0", "gone"), await worker(keyed, "w-1", "other")
    async with driver(keyed, first, second) as ours:
        running = ours.run(keyed.attempt())
        await until(lambda: keyed.arrivals)
        await first.die()
        assert isinstance(await running, Delivered)
    assert (keyed.arrivals, keyed.charges) == (2, 1)


async def test_call_of_an_earlier_driver_and_a_dead_worker_is_repeated_under_its_key(keyed):
    handle = await worker(keyed)
    attempt = await left_in_flight(keyed, handle)
    await handle.die()
    await handle.restart()
    async with driver(keyed, handle, epoch=2) as ours:
        assert isinstance(await ours.run(replace(attempt, key_valid=True)), Delivered)
        assert ours.local.asked == []
    assert (keyed.arrivals, keyed.charges) == (2, 1)


async def test_call_whose_key_is_no_longer_valid_is_unknown(keyed):
    handle = await worker(keyed)
    attempt = await left_in_flight(keyed, handle)
    await handle.die()
    await handle.restart()
    async with driver(keyed, handle, epoch=2) as ours:
        assert is_unknown(await ours.run(attempt))
    assert keyed.arrivals == 1


async def test_call_is_repeated_a_few_times_at_most(keyed, monkeypatch):
    monkeypatch.setattr(backend, "KEYED_TRIES", 1)
    handle = await worker(keyed)
    async with driver(keyed, handle) as ours:
        running = ours.run(keyed.attempt())
        await until(lambda: keyed.arrivals)
        await handle.die()
        await handle.restart()
        assert is_unknown(await running)
    assert keyed.arrivals == 1


async def test_call_of_a_stopped_worker_is_left_to_it(world):
    handles = [await worker(world, "w-0"), await worker(world, "w-1")]
    attempt = await left_in_flight(world, *handles, prompt="[sandbox: slow=3]")
    owner = next(handle for handle in handles if handle.worker.in_flight)
    owner.stopped = asyncio.Event()
    async with driver(world, *handles, epoch=2) as ours:
        running = ours.run(attempt)
        await asyncio.sleep(0.5)
        assert not running.done(), "the other worker on its host must not settle it"
        owner.stopped.set()
        assert isinstance(await running, Delivered)
        assert ours.local.asked == []
    assert (world.arrivals, world.charges) == (1, 1)


async def test_call_of_a_driver_elsewhere_is_left_to_a_stopped_worker(world, monkeypatch):
    monkeypatch.setattr(backend, "ELSEWHERE_PATIENCE", 0.1)
    handles = [await worker(world, "w-0"), await worker(world, "w-1")]
    attempt = await left_in_flight(world, *handles, prompt="[sandbox: slow=3]")
    owner = next(handle for handle in handles if handle.worker.in_flight)
    owner.stopped = asyncio.Event()
    async with driver(world, *handles, epoch=2, inherited=["w-0", "w-1"]) as ours:
        (world.folder / "driver" / f"{attempt.id}.slot").unlink()  # it is on the machine of the earlier driver
        running = ours.run(replace(attempt, elsewhere=True))
        await asyncio.sleep(0.5)
        assert not running.done()
        owner.stopped.set()
        assert isinstance(await running, Delivered)
        assert ours.local.asked == []
    assert (world.arrivals, world.charges) == (1, 1)


async def test_call_of_a_stopped_worker_is_settled_after_its_deadline(world, monkeypatch):
    monkeypatch.setattr(backend, "STORE_SECONDS", -3_600.0)
    handles = [await worker(world, "w-0"), await worker(world, "w-1")]
    attempt = await left_in_flight(world, *handles, prompt="[sandbox: stall]")
    next(handle for handle in handles if handle.worker.in_flight).stopped = asyncio.Event()
    async with driver(world, *handles, epoch=2) as ours:
        assert is_unknown(await ours.run(attempt))
    assert world.arrivals == 1


async def test_call_of_another_shard_is_collected_from_its_workers_without_taking_them_over(world):
    theirs, own = await worker(world, "w-0", "host"), await worker(world, "w-1", "other")
    attempt = await left_in_flight(world, theirs)
    async with (
        driver(world, theirs, epoch=7) as first,
        driver(world, own, theirs, epoch=3, guest_of=["w-0"]) as ours,
    ):
        assert isinstance(await ours.run(attempt), Delivered)
        assert {link.name for link in ours.backend.links.values() if link.ready} == {"w-0", "w-1"}
        await ours.run(world.attempt("a dog"))
        assert not theirs.worker.in_flight, "a guest gives it nothing new"
        assert ours.failures == first.failures == ours.local.asked == []
        assert theirs.worker.epoch == 7
        await ours.backend.release(attempt, delivered=True)
        await until(lambda: not theirs.worker.spool.holds(attempt.id))
    assert (world.arrivals, world.charges) == (2, 2)


async def test_call_of_another_shard_that_is_lost_is_not_sent_by_its_workers(keyed):
    theirs = await worker(keyed, "w-0", "host")
    attempt = await left_in_flight(keyed, theirs)
    await theirs.die()
    await theirs.restart()
    result = await theirs.worker.run(Order(attempt=replace(attempt, key_valid=True), epoch=None))
    assert result.is_unknown
    assert keyed.arrivals == 1
