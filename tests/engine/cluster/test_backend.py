"""The backend of a cluster: whatever is lost, no call is sent twice, and what arrived is delivered."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from unittest.mock import AsyncMock

import pytest

from batchgen.engine.cluster import backend, link, marker, search
from batchgen.engine.cluster.call import Fenced
from batchgen.engine.lane import Lane
from batchgen.engine.limits.gate import Gate
from batchgen.errors import StoreError
from batchgen.fault import Cause
from batchgen.job import Delivered, Missed
from batchgen.providers.presets import profile

from .world import Direct, driver, until

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(search, "ROUND", 0.05)
    monkeypatch.setattr(link, "RETRY_PAUSE", 0.05)


async def workers(world, *names, host="host"):
    handles = [Direct(world=world, name=name, host=host) for name in names or ("w-0",)]
    for handle in handles:
        await handle.restart()
    return handles


def markers(world):
    return sorted(path.name for path in (world.folder / "output" / marker.FOLDER).iterdir())


async def test_backend_divides_attempts_among_its_workers(world):
    handles = await workers(world, "w-0", "w-1")
    async with driver(world, *handles) as ours:
        tasks = [ours.run(world.attempt(f"cat {number}")) for number in range(10)]
        await until(lambda: sum(len(each.in_flight) for each in ours.backend.links.values()) == 10)
        assert [len(each.in_flight) for each in ours.backend.links.values()] == [5, 5]
        outcomes = await asyncio.gather(*tasks)
    assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    assert world.charges == 10


async def test_each_worker_gets_its_share_of_every_lane(world):
    """A worker may write its share of a lane's rate only: calls of a lane that are all at one worker are slow."""
    handles = await workers(world, "w-0", "w-1")
    async with driver(world, *handles) as ours:
        second = Lane(provider="openai", account="SECOND", policy=ours.lane.policy, account_gate=Gate(width=500))
        tasks = []
        for number in range(10):
            tasks += [ours.run(world.attempt(f"cat {number}"), lane) for lane in (ours.lane, second)]
        await until(lambda: sum(len(each.in_flight) for each in ours.backend.links.values()) == 20)
        for link_ in ours.backend.links.values():
            lanes = Counter(call.clearance.lane.name for call in link_.in_flight.values())
            assert lanes == {"openai": 5, "openai@SECOND": 5}
        await asyncio.gather(*tasks)
        assert all(each.lanes.total() == 0 for each in ours.backend.links.values())


async def test_backend_releases_what_is_settled(world):
    [handle] = await workers(world)
    async with driver(world, handle) as ours:
        attempt = world.attempt()
        await ours.run(attempt)
        assert handle.worker.spool.holds(attempt.id)
        assert ours.backend.spool.holds(attempt.id), "the driver has a slot as well: the call may have been sent"
        await ours.backend.release(attempt, delivered=True)
        await until(lambda: not handle.worker.spool.holds(attempt.id))


async def test_backend_knows_that_nothing_was_sent_without_a_permit(world):
    [handle] = await workers(world)
    async with driver(world, handle, requests_per_minute=1) as ours:
        first, second = ours.run(world.attempt()), ours.run(world.attempt())
        await first
        await until(lambda: second.done() or ours.backend.links["w-0"].in_flight)
        await handle.die()
        outcome = await second
    assert isinstance(outcome, Missed)
    assert outcome.fault.cause is Cause.UNREACHED
    assert ours.lane.in_flight == 2, "the lane releases both places itself"
    assert world.arrivals == 1


async def test_backend_marks_a_call_as_unknown_that_died_with_its_worker(world):
    [handle] = await workers(world)
    async with driver(world, handle) as ours:
        running = ours.run(world.attempt())
        await until(lambda: world.arrivals)
        await handle.die()
        await handle.restart()
        outcome = await running
    assert isinstance(outcome, Missed)
    assert outcome.fault.cause is Cause.UNKNOWN
    assert world.arrivals == 1


async def test_backend_knows_that_a_call_was_sent_although_the_permit_of_its_repeat_expired(world):
    [handle] = await workers(world)
    async with driver(world, handle) as ours:
        attempt = world.attempt()
        running = ours.run(attempt)
        await until(lambda: world.arrivals)
        for expired in (False, True):  # as a worker asks to repeat a request under its key
            await handle.worker._ask(attempt.id, expired=expired)
        ours.lane.draining = True
        await handle.worker._ask(attempt.id, expired=True)
        await handle.die()
        await handle.restart()
        outcome = await running
    assert isinstance(outcome, Missed)
    assert outcome.fault.cause is Cause.UNKNOWN


async def test_backend_collects_an_answer_from_the_spool_of_a_dead_worker(world):
    [handle] = await workers(world)
    (world.folder / "output").write_text("in the way of the folder")
    async with driver(world, handle) as ours:
        attempt = world.attempt()
        running = ours.run(attempt)
        await until(lambda: (slot := handle.worker.spool.find(attempt.id)) is not None and slot.sealed)
        await handle.die()
        (world.folder / "output").unlink()
        await handle.restart()
        assert isinstance(await running, Delivered)
    assert world.charges == 1


async def test_backend_reads_the_marker_of_a_worker_that_never_returns(world):
    first, second = await workers(world, "w-0", host="gone"), await workers(world, "w-1", host="other")
    handles = [*first, *second]
    async with driver(world, *first) as ours:
        attempt = world.attempt()
        await ours.run(attempt)
    await first[0].die()
    async with driver(world, *handles, epoch=2) as ours:
        outcome = await ours.run(replace(attempt, resumed=True))
        assert isinstance(outcome, Delivered)
        assert outcome.artifacts[0].path == "output/j1.png"
        assert ours.local.asked == []
        assert markers(world) == [f"{attempt.id}.json"]
        await ours.backend.release(attempt, delivered=True)
        await until(lambda: not markers(world))
    assert world.charges == 1


async def test_backend_removes_the_marker_of_a_worker_that_was_restarted(world):
    [handle] = await workers(world)
    async with driver(world, handle) as ours:
        attempt = world.attempt()
        await ours.run(attempt)
    await handle.die()
    await handle.restart()
    assert markers(world) == [f"{attempt.id}.json"]
    async with driver(world, handle, epoch=2) as ours:
        await ours.backend.tidy(lambda ids: dict.fromkeys(ids, True))
        assert markers(world) == []


async def test_backend_stops_the_run_when_a_link_fails_for_a_reason_of_its_own(world):
    [handle] = await workers(world)
    async with driver(world, handle) as ours:
        handle.worker.clock = None
        await until(lambda: ours.failures)
        assert isinstance(ours.failures[0], TypeError)
        assert not ours.backend.links["w-0"].ready


async def test_backend_answers_a_worker_whose_permit_fails_for_a_reason_of_its_own(world):
    async def broken(_attempt, _hello):
        raise KeyError("a bug")

    [handle] = await workers(world)
    async with driver(world, handle) as ours:
        ours.backend.links["w-0"].prepare = broken
        outcome = await ours.run(world.attempt())
        assert isinstance(outcome, Missed)
        assert outcome.fault.cause is Cause.UNREACHED
        assert isinstance(ours.failures[0], KeyError)
    assert world.arrivals == 0


async def test_backend_collects_the_calls_of_an_earlier_driver(world):
    handles = await workers(world, "w-0", "w-1")
    attempts = [world.attempt(f"cat {number}") for number in range(6)]
    async with driver(world, *handles) as ours:
        tasks = [ours.run(attempt) for attempt in attempts]
        await until(lambda: world.arrivals == 6)
        for task in tasks:
            task.cancel()
    async with driver(world, *handles, epoch=2) as ours:
        outcomes = await asyncio.gather(*[ours.run(replace(attempt, resumed=True)) for attempt in attempts])
        assert ours.local.asked == []
    assert all(isinstance(outcome, Delivered) for outcome in outcomes), outcomes
    assert (world.arrivals, world.charges) == (6, 6)


async def test_backend_leaves_attempts_that_it_never_sent_to_this_machine(world):
    [handle] = await workers(world)
    async with driver(world, handle) as ours:
        attempt = world.attempt()
        await ours.run(replace(attempt, resumed=True))
        assert ours.local.asked == [attempt.id]


async def test_backend_of_an_older_run_stops(world):
    [handle] = await workers(world)
    async with driver(world, handle, epoch=1) as older, driver(world, handle, epoch=2) as newer:
        await until(lambda: older.failures)
        assert isinstance(older.failures[0], Fenced)
        assert isinstance(await newer.run(world.attempt()), Delivered)
        assert not newer.failures
    assert world.charges == 1


async def test_backend_sends_nothing_to_a_silent_worker(world, monkeypatch):
    monkeypatch.setattr(link, "SILENCE", 0.2)
    handles = await workers(world, "w-0", "w-1")
    async with driver(world, *handles) as ours:
        handles[0].stopped = asyncio.Event()
        await until(lambda: not ours.backend.links["w-0"].ready)
        outcomes = await asyncio.gather(*[ours.run(world.attempt(f"cat {number}")) for number in range(4)])
        assert all(isinstance(outcome, Delivered) for outcome in outcomes)
        handles[0].stopped.set()
        handles[0].stopped = None
        await until(lambda: ours.backend.links["w-0"].ready)
    assert world.charges == 4


async def test_backend_waits_for_a_worker_as_long_as_the_lane_may_send(world):
    [handle] = await workers(world)
    async with driver(world, handle) as ours:
        await handle.die()
        await until(lambda: not ours.backend.links["w-0"].ready)
        first, second = ours.run(world.attempt()), ours.run(world.attempt())
        await asyncio.sleep(0.1)
        assert not first.done()
        await handle.restart()
        assert isinstance(await first, Delivered)
        assert isinstance(await second, Delivered)
        await handle.die()
        await until(lambda: not ours.backend.links["w-0"].ready)
        ours.lane.draining = True
        outcome = await ours.run(world.attempt())
    assert isinstance(outcome, Missed)
    assert outcome.fault.cause is Cause.UNREACHED


async def test_backend_counts_a_late_request_at_its_own_time(world):
    [handle] = await workers(world)
    async with driver(world, handle, requests_per_minute=60, burst=60) as ours:
        running = ours.run(world.attempt())
        await until(lambda: handle.worker.in_flight)
        handle.worker._late.append(next(iter(ours.backend.links["w-0"].in_flight)))
        handle.worker._notify()
        await running
        assert ours.lane.account_gate.wire.windows.used(ours.lane.account_gate.clock()) == [2]


async def test_backend_stops_the_run_when_a_worker_cannot_store_answers(world):
    [handle] = await workers(world)
    async with driver(world, handle) as ours:
        handle.worker.executor.alarm(OSError(28, "No space left on device"))
        await until(lambda: ours.failures)
    assert "No space left on device" in str(ours.failures[0])


async def test_a_run_without_the_cluster_waits_for_calls_that_workers_have(world):
    [handle] = await workers(world)
    attempt = world.attempt()
    async with driver(world, handle) as ours:
        running = ours.run(attempt)
        await until(lambda: world.arrivals)
        running.cancel()
        local = replace((await world.worker("local", host="local")).executor, spool=ours.backend.spool)
    again = replace(attempt, resumed=True)
    with pytest.raises(StoreError, match="Run with --backend ray to collect it"):
        await local.run(again, AsyncMock())
    await until(lambda: marker.read(attempt.folder, attempt.id))
    assert isinstance(await local.run(again, AsyncMock()), Delivered)
    await local.release(again, delivered=True)
    assert markers(world) == []
    local.spool.close()
    assert not local.spool.holds(attempt.id)
    assert (world.arrivals, world.charges) == (1, 1)


async def test_a_run_without_the_cluster_settles_calls_of_dead_workers_after_their_deadline(world, monkeypatch):
    monkeypatch.setattr(backend, "STORE_SECONDS", -3_600.0)
    [handle] = await workers(world)
    attempt = world.attempt()
    async with driver(world, handle) as ours:
        ours.run(attempt)
        await until(lambda: world.arrivals)
        await handle.die()
        local = replace((await world.worker("local", host="local")).executor, spool=ours.backend.spool)
    outcome = await local.run(replace(attempt, resumed=True), AsyncMock())
    assert isinstance(outcome, Missed)
    assert outcome.fault.cause is Cause.UNKNOWN
    assert world.arrivals == 1


async def test_remote_task_is_carried_out_by_the_driver(world):
    attempt = world.attempt()
    submitted = replace(attempt, resumed=True, handle={"id": "task-1"})
    fal = replace(attempt, id="f" * 32, task=replace(attempt.task, provider="fal", model="gemini-3.1-flash-image"))
    async with driver(world, *await workers(world)) as ours:
        ours.backend.profiles = {**ours.backend.profiles, "fal": profile("fal")}
        for call in (submitted, fal):
            await ours.run(call)
        assert ours.local.asked == [submitted.id, fal.id]
    assert world.arrivals == 0
