"""Late answers: what becomes known of an attempt after another runner has closed it as unknown."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection

from batchgen.budget import BudgetLimit
from batchgen.database_url import Database
from batchgen.errors import NotFound, StaleClaim
from batchgen.fault import Cause, Charged, Fault
from batchgen.job import Attempt, Cancelled, Deferred, Event, Exhausted, Requeued, State
from batchgen.planning.selection import Selection
from batchgen.store import late, totals
from batchgen.store.at_risk import attempts_at_risk
from batchgen.store.guest import write_as_guest
from batchgen.store.reader import Reader
from batchgen.store.shared_budgets import SharedBudgets
from batchgen.store.writer import Writer
from batchgen.task import NOTHING, Basis, Charge

from .kit import DOUBT, NOW, claimed, delivery, loaded, miss, one, picture, plan

LATER = NOW + timedelta(minutes=5)
REFUSED = Fault(cause=Cause.REFUSED, message="not allowed", charged=Charged.NO)


async def closed(writer: Writer, reader: Reader, event: Event | None = None) -> tuple[int, Attempt]:
    """A job whose attempt was closed as unknown."""
    batch_id, job = await one(writer, reader)
    _, attempt = await claimed(writer, job)
    await writer.settle(miss(attempt, event), NOW)
    return batch_id, attempt


async def test_a_late_image_completes_its_job_and_its_cost_is_booked(writer: Writer, reader: Reader) -> None:
    batch_id, attempt = await closed(writer, reader)
    done = await writer.settle(delivery(attempt), LATER)
    assert reader.job(batch_id, "cat") == done
    assert (done.state, done.delivered, done.cause, done.unknown_attempts) == (State.DONE, 1, None, 0)
    [record] = reader.attempts(done)
    assert (record.state, record.cause, record.request_id) == ("delivered", None, "req-1")
    [file] = reader.artifacts(done)
    assert (file.path, file.attempt_id) == ("cat.png", attempt.id)
    [line] = reader.usage(batch_id)
    assert (line.usd, line.credits, line.images, line.at_risk, line.at_risk_usd) == (1_000, 2_000, 1, 0, None)
    assert await writer.settle(delivery(attempt, 5_000), LATER) == done, "settling again changes nothing"
    assert reader.usage(batch_id) == [line]


async def test_a_late_image_spares_a_second_purchase(writer: Writer, reader: Reader) -> None:
    batch_id, attempt = await closed(writer, reader, Deferred(at=NOW, fault=DOUBT, not_before=NOW))
    waiting = reader.job(batch_id, "cat")
    assert waiting.state is State.PENDING
    assert (await writer.settle(delivery(attempt), LATER)).state is State.DONE
    with pytest.raises(StaleClaim):
        await claimed(writer, waiting)


async def test_a_late_refusal_frees_what_was_at_risk(writer: Writer, reader: Reader) -> None:
    batch_id, attempt = await closed(writer, reader)
    refused = miss(attempt, Exhausted(at=LATER, fault=REFUSED))
    after = await writer.settle(refused, LATER)
    assert (after.state, after.cause, after.unknown_attempts) == (State.FAILED, REFUSED.cause.value, 0)
    [line] = reader.usage(batch_id)
    assert (line.at_risk, line.unpriced) == (0, 0)


async def test_an_answer_that_is_still_unknown_changes_nothing(writer: Writer, reader: Reader) -> None:
    batch_id, attempt = await closed(writer, reader)
    before = reader.usage(batch_id)
    assert (await writer.settle(miss(attempt), LATER)).state is State.UNKNOWN
    assert reader.usage(batch_id) == before


async def test_a_late_image_of_a_job_that_was_bought_again_is_superseded(writer: Writer, reader: Reader) -> None:
    batch_id, attempt = await closed(writer, reader)
    unknown = reader.job(batch_id, "cat")
    pending = await writer.move(unknown, Requeued(at=NOW))
    running, second = await claimed(writer, pending)
    assert reader.ask(lambda connection: late.is_superseded(connection, attempt))
    assert not reader.ask(lambda connection: late.is_superseded(connection, second))
    with pytest.raises(StaleClaim):
        await writer.settle(delivery(attempt), LATER)
    assert reader.job(batch_id, "cat") == running
    done = await writer.settle(delivery(second, 3_000, picture("cat.png")), LATER)
    assert done.state is State.DONE
    superseded = {file.attempt_id: file.superseded_at for file in reader.files_of(done.id)}
    assert superseded == {attempt.id: LATER, second.id: None}
    [line] = reader.usage(batch_id)
    assert (line.usd, line.attempts, line.at_risk) == (4_000, 2, 0)


async def test_names_of_late_images_belong_to_a_file_that_the_user_adopted_meanwhile(
    writer: Writer, reader: Reader
) -> None:
    batch_id, attempt = await closed(writer, reader)
    assert not reader.ask(lambda connection: late.is_superseded(connection, attempt))
    done = await writer.adopt(reader.job(batch_id, "cat"), attempt.id, picture("cat.png"), NOW)
    assert reader.ask(lambda connection: late.is_superseded(connection, attempt))
    await writer.settle(delivery(attempt), LATER)
    assert reader.job(batch_id, "cat") == done
    assert len(reader.artifacts(done)) == 1


async def test_names_of_late_images_belong_to_a_job_that_was_changed_meanwhile(writer: Writer, reader: Reader) -> None:
    batch_id, attempt = await closed(writer, reader)
    assert (await writer.load(batch_id, [plan("cat", "a dog")], NOW)).changed == 1
    assert reader.ask(lambda connection: late.is_superseded(connection, attempt))


async def test_a_late_image_completes_a_job_that_was_cancelled(writer: Writer, reader: Reader) -> None:
    batch_id, attempt = await closed(writer, reader)
    await writer.move(reader.job(batch_id, "cat"), Cancelled(at=NOW))
    done = await writer.settle(delivery(attempt), LATER)
    assert (done.state, done.delivered, done.unknown_attempts) == (State.DONE, 1, 0)
    assert [file.superseded_at for file in reader.files_of(done.id)] == [None]
    assert reader.usage(batch_id)[0].usd == 1_000


async def test_a_late_refusal_leaves_a_cancelled_job_as_it_is(writer: Writer, reader: Reader) -> None:
    batch_id, attempt = await closed(writer, reader)
    cancelled = await writer.move(reader.job(batch_id, "cat"), Cancelled(at=NOW))
    with pytest.raises(StaleClaim):
        await writer.settle(miss(attempt, Exhausted(at=LATER, fault=REFUSED)), LATER)
    assert reader.job(batch_id, "cat") == cancelled
    assert reader.usage(batch_id)[0].at_risk == 0


@pytest.mark.parametrize(
    ("found", "usd"),
    [
        (NOTHING, 1_000),
        (Charge(usd=9_000, credits=None, basis=Basis.REPORTED), 9_000),
    ],
)
async def test_what_the_user_found_out_stands_unless_an_image_refutes_it(
    writer: Writer, reader: Reader, found: Charge, usd: int
) -> None:
    batch_id, attempt = await closed(writer, reader)
    [risky] = reader.ask(lambda connection: attempts_at_risk(connection, batch_id, Selection()))
    await writer.book([(risky, found)])
    assert (await writer.settle(delivery(attempt), LATER)).state is State.DONE
    [line] = reader.usage(batch_id)
    assert (line.usd, line.images, line.at_risk) == (usd, 1, 0)


async def test_the_cost_of_a_deleted_job_is_booked_too(writer: Writer, reader: Reader) -> None:
    batch_id, attempt = await closed(writer, reader)
    await writer.begin_run("run-1", batch_id, command="batchgen run", pid=1, host="web1", now=NOW)
    with pytest.raises(NotFound):
        await writer.settle(delivery(replace(attempt, job_id=attempt.job_id + 1)), LATER)
    [line] = reader.usage(batch_id)
    assert (line.usd, line.at_risk) == (1_000, 0)


async def test_sums_of_closed_blocks_and_shared_budgets_are_corrected(
    writer: Writer, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(totals, "BLOCK", 1)
    batch_id = await loaded(writer, [plan("cat"), plan("dog")])
    writer.shared = SharedBudgets(batch_id, [BudgetLimit(usd=100_000)])
    attempts = [(await claimed(writer, reader.job(batch_id, key)))[1] for key in ("cat", "dog")]
    for attempt in attempts:
        await writer.settle(miss(attempt), NOW)
    assert [sums.usd for sums in await writer.spending(NOW)] == [14_000]
    await writer.settle(delivery(attempts[0]), LATER)
    assert [sums.usd for sums in await writer.spending(NOW)] == [8_000]
    assert reader.ask(totals.differing_blocks) == 0
    [line] = reader.usage(batch_id)
    assert (line.usd, line.at_risk, line.at_risk_usd) == (1_000, 1, 7_000)


class Corrected(SharedBudgets):
    """Shared budgets whose sums another runner deletes as soon as they are there, a few times."""

    def sum_up(self, connection: Connection, now: datetime) -> None:
        super().sum_up(connection, now)
        if CORRECTIONS.pop():
            totals.recount(connection)


CORRECTIONS: list[bool] = []


async def test_a_claim_waits_until_no_other_runner_corrects_the_ledger(
    writer: Writer, reader: Reader, path: Database
) -> None:
    batch_id, job = await one(writer, reader)
    writer.shared = Corrected(batch_id, [BudgetLimit(usd=100_000)])
    CORRECTIONS[:] = [False, True, True, True]
    await claimed(writer, job)
    assert reader.job(batch_id, "cat").state is State.RUNNING
    write_as_guest(path, totals.recount)
    CORRECTIONS[:] = [False, True, True]
    assert [sums.usd for sums in await writer.spending(NOW)] == [7_000]
