"""Verbs of the writer: claim, settle, move, book and load, on real databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from batchgen.database_url import Database
from batchgen.errors import IllegalEvent, NotFound, StaleClaim, StoreError
from batchgen.job import Cancelled, PartialDelivery, Requeued, State
from batchgen.planning.selection import Selection
from batchgen.store.at_risk import attempts_at_risk
from batchgen.store.reader import Reader
from batchgen.store.records import DueFilter
from batchgen.store.writer import Writer
from batchgen.task import Basis, Charge

from .kit import NOW, attempt_for, claimed, delivery, loaded, miss, one, picture, plan


async def test_a_job_goes_from_plan_to_done(writer: Writer, reader: Reader) -> None:
    batch_id, job = await one(writer, reader)
    running, attempt = await claimed(writer, job)
    assert (running.state, running.claim, running.tries) == (State.RUNNING, 1, 1)
    assert reader.job(batch_id, "cat") == running
    [(owner, opened)] = reader.open_attempts(batch_id)
    assert owner == running
    assert (opened.id, opened.claim, opened.run_id, opened.estimate_usd) == (attempt.id, 1, "run-1", 7_000)

    done = await writer.settle(delivery(attempt), NOW + timedelta(seconds=4))
    assert (done.state, done.delivered) == (State.DONE, 1)
    assert reader.job(batch_id, "cat") == done
    [record] = reader.attempts(done)
    assert (record.state, record.request_id, record.seconds, record.cause) == ("delivered", "req-1", 4.0, None)
    [file] = reader.artifacts(done)
    assert (file.path, file.size_bytes, file.attempt_id) == ("cat.png", 9, attempt.id)
    [line] = reader.usage(batch_id)
    assert (line.usd, line.credits, line.output_tokens, line.attempts) == (1_000, 2_000, 50, 1)
    assert reader.open_attempts(batch_id) == []
    bill = reader.bills([done])[done.id]
    assert (bill.attempts, bill.usd, bill.files) == (1, 1_000, (file,))


async def test_only_one_of_two_claims_wins(writer: Writer, reader: Reader) -> None:
    _, job = await one(writer, reader)
    results = await asyncio.gather(*(claimed(writer, job) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(result, tuple) for result in results) == 1
    assert sum(isinstance(result, StaleClaim) for result in results) == 7
    assert len(reader.attempts(job)) == 1  # losers leave no row


async def test_a_claim_for_another_fence_is_refused(writer: Writer, reader: Reader) -> None:
    _, job = await one(writer, reader)
    with pytest.raises(StaleClaim):
        await writer.claim(job, replace(attempt_for(job), claim=9), "run-1", None, None, NOW)
    with pytest.raises(IllegalEvent):
        await claimed(writer, replace(job, state=State.DONE))


async def test_settling_twice_changes_nothing(writer: Writer, reader: Reader, path: Database) -> None:
    batch_id, job = await one(writer, reader)
    _, attempt = await claimed(writer, job)
    first = await writer.settle(delivery(attempt), NOW)
    assert await writer.settle(delivery(attempt, 5), NOW) == first
    assert await writer.settle(miss(attempt), NOW) == first
    assert [line.usd for line in reader.usage(batch_id)] == [1_000]
    assert len(reader.artifacts(first)) == 1


async def test_image_that_arrives_for_a_cancelled_job_completes_it(writer: Writer, reader: Reader) -> None:
    batch_id, job = await one(writer, reader)
    running, attempt = await claimed(writer, job)
    await writer.move(running, Cancelled(at=NOW))
    done = await writer.settle(delivery(attempt), NOW)
    assert (done.state, done.delivered, reader.job(batch_id, "cat")) == (State.DONE, 1, done)
    assert reader.usage(batch_id)[0].usd == 1_000
    assert [file.path for file in reader.artifacts(job)] == ["cat.png"]
    assert await writer.settle(delivery(attempt), NOW) == done


async def test_answer_without_an_image_leaves_a_job_cancelled(writer: Writer, reader: Reader) -> None:
    batch_id, job = await one(writer, reader)
    running, attempt = await claimed(writer, job)
    cancelled = await writer.move(running, Cancelled(at=NOW))
    with pytest.raises(StaleClaim, match="booked"):
        await writer.settle(miss(attempt), NOW)
    assert reader.job(batch_id, "cat") == cancelled
    assert reader.attempts(job)[0].state == "missed"


async def test_some_images_of_a_cancelled_job_count_and_the_rest_is_not_bought(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan("cat", wanted=3)])
    running, attempt = await claimed(writer, reader.job(batch_id, "cat"))
    await writer.move(running, Cancelled(at=NOW))
    came = delivery(attempt)
    some = replace(came, event=PartialDelivery(at=NOW, outcome=came.event.outcome))
    after = await writer.settle(some, NOW)
    assert (after.state, after.delivered, after.wanted) == (State.CANCELLED, 1, 3)
    assert [file.path for file in reader.artifacts(after)] == ["cat.png"]
    again = await writer.move(after, Requeued(at=NOW))
    assert (again.state, again.delivered) == (State.PENDING, 1)


async def test_image_of_a_cancelled_job_that_was_requeued_spares_a_purchase(writer: Writer, reader: Reader) -> None:
    _, job = await one(writer, reader)
    running, attempt = await claimed(writer, job)
    pending = await writer.move(await writer.move(running, Cancelled(at=NOW)), Requeued(at=NOW))
    assert (await writer.settle(delivery(attempt), NOW)).state is State.DONE
    with pytest.raises(StaleClaim):
        await claimed(writer, pending)


async def test_image_of_an_earlier_request_does_not_complete_a_cancelled_job(writer: Writer, reader: Reader) -> None:
    batch_id, job = await one(writer, reader)
    running, attempt = await claimed(writer, job)
    await writer.move(running, Cancelled(at=NOW))
    assert (await writer.load(batch_id, [plan("cat", "a dog")], NOW)).changed == 1
    revised = reader.job(batch_id, "cat")
    cancelled = await writer.move(revised, Cancelled(at=NOW))
    # A later run takes up an open attempt with what its job requests by then.
    with pytest.raises(StaleClaim, match="booked"):
        await writer.settle(delivery(replace(attempt, fingerprint=revised.fingerprint)), NOW)
    assert reader.job(batch_id, "cat") == cancelled
    assert reader.artifacts(job) == []
    assert [file.path for file in reader.artifacts(job, superseded=True)] == ["cat.png"]
    assert reader.usage(batch_id)[0].usd == 1_000


async def test_an_unknown_outcome_keeps_its_price_at_risk(writer: Writer, reader: Reader) -> None:
    batch_id, job = await one(writer, reader)
    _, attempt = await claimed(writer, job)
    assert reader.spent(batch_id=batch_id).open_usd == 7_000
    after = await writer.settle(miss(attempt), NOW)
    assert (after.state, after.unknown_attempts) == (State.UNKNOWN, 1)
    spent = reader.spent(batch_id=batch_id)
    assert (spent.usd, spent.at_risk_usd, spent.at_risk_credits, spent.open_usd) == (0, 7_000, 3_000, 0)
    [line] = reader.usage(batch_id)
    assert (line.usd, line.unpriced, line.at_risk, line.at_risk_usd) == (None, 1, 1, 7_000)
    [record] = reader.attempts(job)
    assert (record.state, record.cause, record.status, record.code) == ("missed", "unknown", 504, "gateway")


async def test_spent_is_cut_by_provider_run_and_time(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan("a"), plan("b", provider="aimlapi")])
    for key in ("a", "b"):
        _, attempt = await claimed(writer, reader.job(batch_id, key))
        await writer.settle(delivery(attempt), NOW)
    assert reader.spent().usd == 2_000
    assert reader.spent(provider="aimlapi").usd == 1_000
    assert reader.spent(run_id="run-1").credits == 4_000
    assert reader.spent(run_id="other").usd == 0
    assert reader.spent(since=NOW + timedelta(seconds=1)).usd == 0


async def test_settle_is_whole_or_not_at_all(writer: Writer, reader: Reader, path: Database) -> None:
    batch_id, job = await one(writer, reader)
    running, attempt = await claimed(writer, job)
    broken = delivery(attempt, 1_000, picture(), replace(picture(), sha256=None))  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        await writer.settle(broken, NOW)
    assert reader.job(batch_id, "cat") == running
    assert reader.artifacts(job) == []
    assert reader.attempts(job)[0].state == "open"
    assert (await writer.settle(delivery(attempt), NOW)).state is State.DONE


async def test_one_bad_command_does_not_take_others_with_it(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan(f"j{number}") for number in range(20)])
    work = []
    for job in reader.jobs(batch_id):
        _, attempt = await claimed(writer, job)
        bad = job.key == "j7"
        work.append(delivery(attempt, 1, replace(picture(), mime=None) if bad else picture()))  # type: ignore[arg-type]
    results = await asyncio.gather(*(writer.settle(item, NOW) for item in work), return_exceptions=True)
    assert [type(result).__name__ for result in results].count("StoreError") == 1
    assert reader.counts(batch_id).done == 19


async def test_a_short_answer_and_a_revision_keep_old_files(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan("cat", wanted=2)])
    _, attempt = await claimed(writer, reader.job(batch_id, "cat"))
    short = replace(delivery(attempt), event=PartialDelivery(at=NOW, outcome=delivery(attempt).event.outcome))  # type: ignore[attr-defined]
    job = await writer.settle(short, NOW)
    assert (job.state, job.delivered) == (State.PENDING, 1)
    _, attempt = await claimed(writer, job)
    done = await writer.settle(delivery(attempt, 1_000, picture("cat-2.png", 1)), NOW)
    again = await writer.move(done, Requeued(at=NOW))
    assert again.delivered == 0
    assert reader.artifacts(done) == []
    assert len(reader.artifacts(done, superseded=True)) == 2


async def test_a_form_from_before_a_revision_is_stale(writer: Writer, reader: Reader) -> None:
    batch_id, before = await one(writer, reader)
    await writer.load(batch_id, [plan("cat", "a dog")], NOW)  # same state, same claim, another prompt
    with pytest.raises(StaleClaim):
        await claimed(writer, before)


async def test_move_obeys_the_fence(writer: Writer, reader: Reader) -> None:
    _, job = await one(writer, reader)
    running, _ = await claimed(writer, job)
    with pytest.raises(StaleClaim):
        await writer.move(job, Cancelled(at=NOW))
    with pytest.raises(IllegalEvent):
        await writer.move(running, Requeued(at=NOW))


async def test_requeue_moves_all_jobs_or_none(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan("cat"), plan("dog")])
    done = []
    for key in ("cat", "dog"):
        _, attempt = await claimed(writer, reader.job(batch_id, key))
        done.append(await writer.settle(delivery(attempt), NOW))
    with pytest.raises(StaleClaim):
        await writer.requeue([done[0], replace(done[1], claim=7)], NOW)
    assert [reader.job(batch_id, key).state for key in ("cat", "dog")] == [State.DONE, State.DONE]
    assert reader.artifacts(done[0])
    await writer.requeue(done, NOW)
    after = [reader.job(batch_id, key) for key in ("cat", "dog")]
    assert [(job.state, job.delivered, job.tries) for job in after] == [(State.PENDING, 0, 0)] * 2
    assert [reader.artifacts(job) for job in after] == [[], []]


async def test_load_adds_keeps_changes_and_orphans(writer: Writer, reader: Reader) -> None:
    batch_id = await writer.open_batch("b", "/m.yaml", "/out", NOW)
    first = await writer.load(batch_id, [plan("a"), plan("b"), plan("c")], NOW)
    assert (first.new, first.kept) == (3, 0)
    for key in "ab":
        _, attempt = await claimed(writer, reader.job(batch_id, key))
        await writer.settle(delivery(attempt), NOW)

    second = await writer.load(batch_id, [plan("b", "a dog"), plan("a"), plan("d")], NOW)
    assert (second.new, second.changed, second.kept, second.orphaned) == (1, 1, 1, 1)
    assert (await writer.load(batch_id, [plan("b", "a dog"), plan("a"), plan("d")], NOW)).kept == 3
    job = reader.job(batch_id, "b")
    assert (job.state, job.delivered, job.task.prompt) == (State.PENDING, 0, "a dog")
    assert reader.artifacts(job) == []
    assert len(reader.artifacts(job, superseded=True)) == 1
    assert reader.job(batch_id, "a").state is State.DONE
    assert [job.key for job in reader.due(batch_id, DueFilter(provider="aigate"), 9, NOW)] == ["b", "d"]
    counts = reader.counts(batch_id)
    assert (counts.total, counts.pending, counts.done, counts.orphaned, counts.images) == (3, 2, 1, 1, 1)

    third = await writer.load(batch_id, [plan("a"), plan("b", "a dog"), plan("c"), plan("d")], NOW)
    assert (third.kept, third.returned, third.orphaned) == (4, 1, 0)
    assert [job.key for job in reader.due(batch_id, DueFilter(provider="aigate"), 9, NOW)] == ["b", "c", "d"]


async def test_load_follows_what_does_not_matter_without_redoing(writer: Writer, reader: Reader) -> None:
    batch_id, job = await one(writer, reader)
    _, attempt = await claimed(writer, job)
    done = await writer.settle(delivery(attempt), NOW)
    moved = plan("cat", output="new/cat", tags=("x",), priority=5, sidecar=False, fingerprint=job.fingerprint)
    assert (await writer.load(batch_id, [moved], NOW)).kept == 1
    assert reader.job(batch_id, "cat") == replace(done, output="new/cat", tags=("x",), priority=5, sidecar=False)


async def test_job_under_way_is_revised_in_the_transaction_that_ends_its_attempt(
    writer: Writer, reader: Reader
) -> None:
    batch_id, job = await one(writer, reader)
    running, attempt = await claimed(writer, job)
    assert (await writer.load(batch_id, [plan("cat", "a dog")], NOW)).busy == 1
    assert reader.job(batch_id, "cat") == running
    commits = writer.commits
    after = await writer.settle(delivery(attempt), NOW)
    assert writer.commits == commits + 1
    assert (after.state, after.task.prompt, after.delivered) == (State.PENDING, "a dog", 0)
    assert reader.job(batch_id, "cat") == after
    assert (await writer.load(batch_id, [plan("cat", "a dog")], NOW)).kept == 1


async def test_load_spans_chunks(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, (plan(f"j{number}") for number in range(12_000)))
    assert [job.key for job in reader.jobs(batch_id)] == [f"j{number}" for number in range(12_000)]
    assert (await writer.load(batch_id, [], NOW)).orphaned == 12_000
    assert reader.counts(batch_id).total == 0
    assert reader.due(batch_id, DueFilter(provider="aigate"), 9, NOW) == []


async def test_batches_do_not_mix(writer: Writer, reader: Reader) -> None:
    first = await loaded(writer, [plan("a")], "one")
    second = await writer.open_batch("two", "/n.yaml", "/out2", NOW + timedelta(hours=1))
    await writer.load(second, [plan("a"), plan("z")], NOW)
    assert (await writer.load(first, [plan("a")], NOW)).orphaned == 0
    assert reader.batch().name == "two"
    assert reader.batch("one").id == first
    with pytest.raises(NotFound, match="two, one"):
        reader.batch("three")
    assert await writer.open_batch("one", "/moved.yaml", "/out", NOW + timedelta(hours=2)) == first
    assert reader.batch().manifest == "/moved.yaml"


def test_an_empty_table_names_no_batch(reader: Reader) -> None:
    with pytest.raises(NotFound, match="no batch yet"):
        reader.batch()


async def test_a_charge_of_the_user_is_booked_once(writer: Writer, reader: Reader) -> None:
    batch_id, job = await one(writer, reader)
    _, attempt = await claimed(writer, job)
    await writer.settle(miss(attempt), NOW)
    [risky] = reader.ask(partial(attempts_at_risk, batch_id=batch_id, selection=Selection()))
    charge = Charge(usd=5_000, credits=None, basis=Basis.REPORTED)
    await writer.book([(risky, charge)])
    with pytest.raises(StaleClaim, match=risky.id):
        await writer.book([(risky, replace(charge, usd=6_000))])
    spent = reader.spent(batch_id=batch_id)
    assert (spent.usd, spent.at_risk_usd, spent.at_risk_credits) == (5_000, 0, 0)
    assert reader.job(batch_id, job.key).state is State.UNKNOWN
