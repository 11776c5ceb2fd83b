"""Which writes share a commit, and who gets their results."""

from __future__ import annotations

import asyncio
import threading

import pytest

from batchgen.errors import StaleClaim, StoreError
from batchgen.job import State
from batchgen.store import committer
from batchgen.store import writer as writer_module
from batchgen.store.reader import Reader
from batchgen.store.records import DueFilter
from batchgen.store.writer import FEW, Writer
from tests.timing import patience

from .kit import NOW, claimed, delivery, loaded, plan


@pytest.fixture
def long_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let transactions wait so long that a slow machine cannot miss a write."""
    monkeypatch.setattr(writer_module, "PAUSE_PER_CALL", patience(1))
    monkeypatch.setattr(writer_module, "LONGEST_PAUSE", patience(1))


async def test_writes_wait_for_each_other_while_many_calls_are_in_flight(
    writer: Writer, reader: Reader, long_pause: None
) -> None:
    batch_id = await loaded(writer, [plan(f"j{number}") for number in range(FEW + 6)])
    jobs = reader.due(batch_id, DueFilter(provider="aigate"), FEW + 6, NOW)
    for job in jobs[: FEW + 1]:
        await claimed(writer, job)
    before = writer.commits
    more = []
    for job in jobs[FEW + 1 :]:
        more.append(asyncio.ensure_future(claimed(writer, job)))
        await asyncio.sleep(0.005)
    assert writer.commits == before
    await asyncio.gather(*more)
    assert writer.commits == before + 1


async def test_few_calls_do_not_wait(writer: Writer, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "PAUSE_PER_CALL", 3_600.0)
    monkeypatch.setattr(writer_module, "LONGEST_PAUSE", 3_600.0)
    batch_id = await loaded(writer, [plan(f"j{number}") for number in range(FEW + 1)])
    async with asyncio.timeout(patience(30)):
        attempts = [
            (await claimed(writer, job))[1] for job in reader.due(batch_id, DueFilter(provider="aigate"), FEW, NOW)
        ]
        for attempt in attempts:
            await writer.settle(delivery(attempt), NOW)
        # A settled call is not in flight any more.
        await claimed(writer, reader.due(batch_id, DueFilter(provider="aigate"), 1, NOW)[0])


async def test_a_settlement_waits_for_a_claim_that_shares_its_commit(
    writer: Writer, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = await loaded(writer, [plan("a"), plan("b")])
    first, second = reader.due(batch_id, DueFilter(provider="aigate"), 2, NOW)
    _, attempt = await claimed(writer, first)
    monkeypatch.setattr(committer, "PATIENCE", 3_600.0)
    before = writer.commits
    settling = asyncio.ensure_future(writer.settle(delivery(attempt), NOW))
    await asyncio.sleep(0.05)
    assert not settling.done()
    async with asyncio.timeout(patience(30)):
        await claimed(writer, second)
        assert (await settling).state is State.DONE
    assert writer.commits == before + 1


async def test_a_settlement_without_company_is_committed(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan("a")])
    _, attempt = await claimed(writer, reader.job(batch_id, "a"))
    async with asyncio.timeout(patience(30)):
        assert (await writer.settle(delivery(attempt), NOW)).state is State.DONE


async def test_closing_commits_a_settlement_that_waits(
    writer: Writer, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = await loaded(writer, [plan("a")])
    _, attempt = await claimed(writer, reader.job(batch_id, "a"))
    monkeypatch.setattr(committer, "PATIENCE", 3_600.0)
    settling = asyncio.ensure_future(writer.settle(delivery(attempt), NOW))
    await asyncio.sleep(0)
    await asyncio.to_thread(writer.close)
    assert (await settling).state is State.DONE
    assert reader.job(batch_id, "a").state is State.DONE


async def test_a_group_gives_each_caller_its_own_result(writer: Writer, reader: Reader, long_pause: None) -> None:
    batch_id = await loaded(writer, [plan(f"j{number}") for number in range(FEW + 4)])
    jobs = reader.due(batch_id, DueFilter(provider="aigate"), FEW + 4, NOW)
    for job in jobs[: FEW + 1]:
        await claimed(writer, job)
    before = writer.commits
    stale, *fresh = await asyncio.gather(
        claimed(writer, jobs[0]), *(claimed(writer, job) for job in jobs[FEW + 1 :]), return_exceptions=True
    )
    assert writer.commits == before + 1
    assert isinstance(stale, StaleClaim)
    assert [job.key for job, _ in fresh] == [job.key for job in jobs[FEW + 1 :]]  # type: ignore[misc]


def test_callers_whose_loop_is_closed_do_not_stop_the_writer(writer: Writer, reader: Reader) -> None:
    go_on = threading.Event()

    async def leave() -> None:
        writer._committer.post(lambda _: go_on.wait(patience(30)))

    asyncio.run(leave())
    go_on.set()
    assert asyncio.run(loaded(writer, [plan("a")])) == 1
    assert reader.counts(1).pending == 1


async def test_a_committed_result_is_delivered_although_the_writer_dies_afterwards(writer: Writer) -> None:
    def fail(_: object) -> None:
        raise ValueError

    def die(_: object) -> None:
        raise SystemExit

    started, go_on = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        started.set()
        go_on.wait(patience(30))

    post = writer._committer.post
    holding = post(hold)
    assert started.wait(patience(30))
    answers = [post(lambda _: "committed"), post(fail), post(die)]
    go_on.set()
    writer._committer._thread.join(patience(30))  # the loop delivers nothing before the thread is dead
    _, first, second, third = await asyncio.gather(holding, *answers, return_exceptions=True)
    assert first == "committed"
    assert [type(error) for error in (second, third)] == [ValueError, StoreError]


async def test_many_writes_share_few_commits(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan(f"j{number}") for number in range(300)])
    before = writer.commits
    await asyncio.gather(
        *(claimed(writer, job) for job in reader.due(batch_id, DueFilter(provider="aigate"), 300, NOW))
    )
    assert writer.commits - before < 60
    assert reader.counts(batch_id).running == 300


async def test_a_cancelled_waiter_loses_no_write(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan(f"j{number}") for number in range(50)])
    tasks = [
        asyncio.ensure_future(claimed(writer, job))
        for job in reader.due(batch_id, DueFilter(provider="aigate"), 50, NOW)
    ]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    writer.close()
    assert reader.counts(batch_id).running == 50


async def test_a_dead_writer_fails_every_waiting_and_later_call(writer: Writer) -> None:
    def die(connection: object) -> None:
        raise SystemExit

    calls = [writer.open_batch("a", "", "", NOW), writer._committer.submit(die), writer.open_batch("c", "", "", NOW)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, StoreError) for result in results)
    with pytest.raises(StoreError):
        await writer.open_batch("d", "", "", NOW)
