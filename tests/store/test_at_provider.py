"""Jobs at a provider, and the modes of calls: in bills, in the ledger, and as a change that a live page sees."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from batchgen.database_url import Database
from batchgen.job import Attempt, Job, State
from batchgen.mode import Mode
from batchgen.store.changes import Changes
from batchgen.store.claims import at_provider
from batchgen.store.reader import Reader
from batchgen.store.report_rows import calls_of
from batchgen.store.usage_groups import GroupBy
from batchgen.store.writer import Writer

from .kit import NOW, attempt_for, claimed, delivery, loaded, miss, one, plan
from .test_usage import by


async def claimed_in(writer: Writer, job: Job, mode: Mode, submission: str | None = None) -> Attempt:
    attempt = replace(attempt_for(job), mode=mode, submission=submission)
    await writer.claim(job, attempt, "run-1", 5_000, None, NOW)
    return attempt


async def test_bill_has_the_mode_of_the_last_attempt(writer: Writer, reader: Reader) -> None:
    batch_id, job = await one(writer, reader)
    assert reader.bills([job])[job.id].mode is None
    flex = await claimed_in(writer, job, Mode.FLEX)
    await writer.settle(miss(flex), NOW)
    await writer.requeue([reader.job(batch_id, "cat")], NOW)
    await claimed_in(writer, reader.job(batch_id, "cat"), Mode.BATCH, "5" * 32)
    bill = reader.bills([job])[job.id]
    assert (bill.mode, bill.at_provider, bill.attempts) == (Mode.BATCH, True, 2)


async def test_bill_is_at_the_provider_from_the_id_of_the_task_to_its_end(writer: Writer, reader: Reader) -> None:
    _, job = await one(writer, reader)
    _, attempt = await claimed(writer, job)
    assert not reader.bills([job])[job.id].at_provider
    await writer.remember(attempt.id, {"id": "task-1"})
    assert reader.bills([job])[job.id].at_provider
    await writer.settle(delivery(attempt), NOW)
    assert not reader.bills([job])[job.id].at_provider


async def test_jobs_at_the_provider_are_counted_like_those_in_flight(writer: Writer, reader: Reader) -> None:
    """A job that is no longer in the manifest is at the provider, but in none of the numbers by state."""
    batch_id = await loaded(writer, [plan("a"), plan("b")])
    for key in ("a", "b"):
        await claimed_in(writer, reader.job(batch_id, key), Mode.BATCH, "5" * 32)
    await loaded(writer, [plan("a")])
    remote = partial(at_provider, batch_id=batch_id)
    assert reader.counts(batch_id).running == reader.ask(partial(remote, state=State.RUNNING)) == 1
    assert reader.ask(remote) == 2


async def test_usage_by_mode(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan("a"), plan("b"), plan("c")])
    await writer.settle(delivery(await claimed_in(writer, reader.job(batch_id, "a"), Mode.BATCH), 1_000), NOW)
    await writer.settle(delivery(await claimed_in(writer, reader.job(batch_id, "b"), Mode.STANDARD), 20_000), NOW)
    await claimed_in(writer, reader.job(batch_id, "c"), Mode.BATCH)
    assert by(reader, batch_id, GroupBy.MODE) == {
        "batch": (2, "0.000001", {"aigate": "2"}),
        "standard": (1, "0.00002", {"aigate": "2"}),
    }


async def test_ledger_has_the_tier_of_the_answer_and_the_standard_price(writer: Writer, reader: Reader) -> None:
    _, job = await one(writer, reader)
    settled = delivery(await claimed_in(writer, job, Mode.FLEX))
    usage, charge = replace(settled.usage, tier="flex"), replace(settled.charge, standard_usd=2_000)
    await writer.settle(replace(settled, usage=usage, charge=charge), NOW)
    [call] = reader.ask(partial(calls_of, ids=[job.id]))[job.id]
    assert (call.mode_name, call.tier, call.usd, call.standard_usd) == ("flex", "flex", 1_000, 2_000)


async def test_id_of_a_remote_task_is_a_change_of_its_job(writer: Writer, reader: Reader, path: Database) -> None:
    batch_id, job = await one(writer, reader)
    _, attempt = await claimed(writer, job)
    with Changes(path) as changes:
        assert changes.changed(batch_id, NOW) == [job.id]
        assert changes.changed(batch_id, NOW) == []
        await writer.remember(attempt.id, {"id": "task-1"})
        assert changes.changed(batch_id, NOW) == [job.id]
