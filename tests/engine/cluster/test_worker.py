"""Workers: idempotent by attempt id, never without a permit, and no answer is lost with a process."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from batchgen.engine.cluster import worker as module
from batchgen.engine.cluster.call import Fenced, Permit
from batchgen.fault import Cause
from batchgen.job import Delivered, Missed

from .world import grant, order, until

pytestmark = pytest.mark.anyio


async def test_worker_sends_an_attempt_once_however_often_it_is_ordered(world):
    worker, attempt = await world.worker(), world.attempt()
    both = asyncio.gather(worker.run(order(attempt)), worker.run(order(attempt)))
    await grant(worker)
    first, second = await both
    third = await worker.run(order(replace(attempt, resumed=True)))
    assert isinstance(first.outcome, Delivered)
    assert first == second == third
    assert (world.arrivals, world.charges) == (1, 1)


async def test_worker_recovers_running_stored_and_unknown_attempts(world):
    worker, attempt, other = await world.worker(), world.attempt(), world.attempt()
    running = asyncio.ensure_future(worker.run(order(attempt)))
    await grant(worker)
    assert await worker.recover(1, [attempt.id, other.id]) == {attempt.id: "here", other.id: "never"}
    await running
    assert await worker.recover(1, [attempt.id]) == {attempt.id: "here"}
    assert await worker.keeps(1) == [attempt.id]
    assert list((world.folder / "output").rglob("attempts/*.json"))
    await worker.release(1, [(attempt.id, True)])
    assert await worker.recover(1, [attempt.id]) == {attempt.id: "never"}
    assert await worker.keeps(1) == []
    assert not list((world.folder / "output").rglob("attempts/*.json"))


async def test_worker_sends_nothing_with_a_stale_permit(world):
    worker, attempt = await world.worker(), world.attempt()
    running = asyncio.ensure_future(worker.run(order(attempt)))
    first = await grant(worker, life=-1)
    second = await grant(worker, after=first.serial, life=-1)
    assert (first.expired, second.expired) == (False, True)
    assert world.arrivals == 0
    await grant(worker, after=second.serial)
    assert isinstance((await running).outcome, Delivered)
    assert world.arrivals == 1


async def test_worker_sends_nothing_if_the_driver_is_silent(world, monkeypatch):
    monkeypatch.setattr(module, "DRIVER_PATIENCE", 0.2)
    worker, attempt = await world.worker(), world.attempt()
    outcome = (await worker.run(order(attempt))).outcome
    assert isinstance(outcome, Missed)
    assert outcome.fault.cause is Cause.UNREACHED
    assert world.arrivals == 0
    assert not worker.spool.holds(attempt.id), "a slot means that the call may have been sent"


async def test_worker_refuses_an_older_driver(world):
    worker, attempt = await world.worker(), world.attempt()
    await worker.hello(2, world.setup())
    for call in (worker.run(order(attempt, 1)), worker.news(1, 0, 0), worker.release(1, []), worker.recover(1, [])):
        with pytest.raises(Fenced):
            await call
    assert world.arrivals == 0


async def test_worker_finds_the_answer_of_a_dead_one_on_its_host(world):
    worker, attempt = await world.worker("w-0"), world.attempt()
    running = asyncio.ensure_future(worker.run(order(attempt)))
    await grant(worker)
    await running
    successor, stranger = await world.worker("w-1"), await world.worker("w-1", "another host")
    assert await successor.recover(1, [attempt.id]) == {attempt.id: "stored"}
    assert await stranger.recover(1, [attempt.id]) == {attempt.id: "never"}
    assert (successor.spool_id == worker.spool_id, stranger.spool_id == worker.spool_id) == (True, False)
    again = await successor.run(order(replace(attempt, resumed=True)))
    assert isinstance(again.outcome, Delivered)
    assert world.charges == 1


async def test_worker_publishes_again_without_another_call(world):
    worker, attempt = await world.worker(), world.attempt()
    (world.folder / "output").write_text("in the way of the folder")
    running = asyncio.ensure_future(worker.run(order(attempt)))
    await grant(worker)
    await until(lambda: world.charges == 1)
    await asyncio.sleep(0.3)
    assert not running.done()
    (world.folder / "output").unlink()
    assert isinstance((await running).outcome, Delivered)
    assert world.charges == 1


async def test_worker_keeps_an_answer_that_it_cannot_publish(world):
    worker, attempt = await world.worker(), world.attempt()
    worker.publish_patience = 0
    (world.folder / "output").write_text("in the way of the folder")
    running = asyncio.ensure_future(worker.run(order(attempt)))
    await grant(worker)
    result = await running
    assert result.outcome is None
    assert "cannot write" in (result.store_error or "")
    (world.folder / "output").unlink()
    assert await worker.recover(1, [attempt.id]) == {attempt.id: "stored"}
    assert isinstance((await worker.run(order(replace(attempt, resumed=True)))).outcome, Delivered)
    assert world.charges == 1


async def test_worker_spaces_the_requests_of_a_burst(world):
    worker = await world.worker()
    moment = [100.0]
    worker.clock = lambda: moment[0]
    permit = Permit(until=101.0, life=1.0, pace=4.0, lane="openai")
    waits = [worker._turn(permit) for _ in range(6)]
    assert waits[:5] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert waits[5] > 1.0, "too late for its permit"
    assert worker._turn(replace(permit, lane="another")) == 0.0


async def test_worker_is_abandoned_after_its_lease_unless_it_has_a_call(world):
    worker, attempt = await world.worker(), world.attempt()
    now = [worker.clock()]
    worker.clock = lambda: now[0]
    running = asyncio.ensure_future(worker.run(order(attempt)))
    await until(lambda: worker.in_flight)
    now[0] += 601
    assert not worker.is_abandoned
    await grant(worker)
    await running
    now[0] += 599
    assert not worker.is_abandoned
    now[0] += 2
    assert worker.is_abandoned
