"""Questions of the reader: what is due, what a selection contains, failures, runs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from batchgen.database_url import Database
from batchgen.errors import NotFound
from batchgen.fault import Cause, Fault
from batchgen.job import Deferred, Exhausted
from batchgen.planning.selection import Selection
from batchgen.store.reader import Reader
from batchgen.store.records import DueFilter
from batchgen.store.writer import Writer

from .kit import DOUBT, NOW, Raw, claimed, loaded, miss, on_sqlite, plan


async def test_due_goes_by_priority_then_position_and_not_before(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan("a"), plan("b"), plan("c", priority=2), plan("x", provider="other")])
    assert [job.key for job in reader.due(batch_id, DueFilter(provider="aigate"), 9, NOW)] == ["c", "a", "b"]
    assert reader.next_retry(batch_id, DueFilter(provider="aigate")) is None
    later = NOW + timedelta(seconds=30)
    for job in reader.due(batch_id, DueFilter(provider="aigate"), 9, NOW):
        _, attempt = await claimed(writer, job)
        await writer.settle(miss(attempt, Deferred(at=NOW, fault=DOUBT, not_before=later)), NOW)
    assert reader.due(batch_id, DueFilter(provider="aigate"), 9, NOW) == []
    assert reader.next_retry(batch_id, DueFilter(provider="aigate")) == later
    assert len(reader.due(batch_id, DueFilter(provider="aigate"), 2, later)) == 2
    assert reader.next_retry(batch_id, DueFilter(provider="nobody")) is None


@on_sqlite
async def test_the_lane_index_answers_in_order(writer: Writer, path: Database) -> None:
    await loaded(writer, [plan("a")])
    with Raw(path) as dbapi:
        wanted = "batch_id = 1 AND provider = 'p' AND state = 'pending' AND orphaned_at IS NULL"
        plan_lines = dbapi.execute(
            f"EXPLAIN QUERY PLAN SELECT * FROM jobs WHERE {wanted} ORDER BY priority DESC, position LIMIT 5"
        ).fetchall()
    assert "jobs_lane" in plan_lines[0][3]
    assert not any("TEMP B-TREE" in line[3] for line in plan_lines)


async def test_selection_narrows(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(
        writer, [plan("cat-1", tags=("x", "y")), plan("cat-2", tags=("y",)), plan("dog", provider="aimlapi")]
    )

    def keys(limit: int | None = None, **wanted: object) -> list[str]:
        return [job.key for job in reader.jobs(batch_id, Selection(**wanted), limit)]  # type: ignore[arg-type]

    assert keys() == ["cat-1", "cat-2", "dog"]
    assert keys(ids=("cat-*",)) == ["cat-1", "cat-2"]
    assert keys(tags=("x", "z")) == ["cat-1"]
    assert keys(providers=("aimlapi",), kinds=("generate",), models=("gpt-image-2",)) == ["dog"]
    assert keys(states=("failed",)) == []
    assert keys(limit=1) == ["cat-1"]
    await writer.load(batch_id, [plan("dog", provider="aimlapi")], NOW)
    assert keys() == ["dog"]
    assert len(keys(orphaned=True)) == 3


async def test_failures_come_by_cause_with_an_example(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan(f"j{number}") for number in range(4)])
    causes = [Cause.REFUSED, Cause.REFUSED, Cause.INVALID]
    for job, cause in zip(list(reader.jobs(batch_id)), causes, strict=False):
        _, attempt = await claimed(writer, job)
        fault = Fault(cause=cause, message=f"no {job.key}")
        await writer.settle(miss(attempt, Exhausted(at=NOW, fault=fault)), NOW)
    found = [(failure.cause, failure.count, failure.key, failure.message) for failure in reader.failures(batch_id)]
    assert found == [("refused", 2, "j0", "no j0"), ("invalid", 1, "j2", "no j2")]
    assert reader.lanes(batch_id)["aigate"].failed == 3
    assert [job.key for job in reader.jobs(batch_id, Selection(causes=("invalid",)))] == ["j2"]
    assert reader.usage(batch_id)[0].usd == 0  # nothing was charged, and that is known


async def test_runs_are_kept(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [])
    await writer.begin_run("r1", batch_id, command="run b.yaml", pid=7, host="h", now=NOW)
    assert reader.runs(batch_id)[0].ended_at is None
    await writer.end_run("r1", 3, NOW + timedelta(hours=1))
    [run] = reader.runs(batch_id)
    assert (run.exit_code, run.pid, run.ended_at) == (3, 7, NOW + timedelta(hours=1))


def test_readers_cannot_write_and_unknown_jobs_are_not_found(reader: Reader) -> None:
    with pytest.raises(NotFound, match="No job"):
        reader.job(1, "nobody")
    with reader._open() as connection, pytest.raises(Exception, match=r"read-?only"):
        connection.exec_driver_sql("INSERT INTO batches VALUES (1,'a','b','c',1,1)")
