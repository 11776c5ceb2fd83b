"""Jobs that wait for others: left out of what is due until these are done, and counted while they wait."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from batchgen.job import Cancelled, State
from batchgen.manifest.batch import PlannedJob
from batchgen.store import needs
from batchgen.store.needs import WaitingJob
from batchgen.store.reader import Reader
from batchgen.store.records import DueFilter
from batchgen.store.writer import Writer

from .kit import NOW, claimed, delivery, loaded, plan

CHAINED = DueFilter(provider="aigate", chained=True)


def chained(key: str, *parents: str) -> PlannedJob:
    job = plan(key)
    return job._replace(recipe=replace(job.recipe, needs=parents))


def due(reader: Reader, batch_id: int) -> list[str]:
    return [job.key for job in reader.due(batch_id, CHAINED, 10, NOW)]


def waiting(reader: Reader, batch_id: int) -> list[WaitingJob]:
    return reader.ask(partial(needs.waiting, batch_id=batch_id))


async def finish(writer: Writer, reader: Reader, batch_id: int, key: str) -> None:
    _, attempt = await claimed(writer, reader.job(batch_id, key))
    await writer.settle(delivery(attempt), NOW)


async def test_job_is_due_once_all_its_parents_are_done(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [chained("child", "a", "b"), plan("a"), plan("b")])
    assert due(reader, batch_id) == ["a", "b"]
    assert waiting(reader, batch_id) == [WaitingJob(key="child", parent="a")]
    await finish(writer, reader, batch_id, "a")
    assert due(reader, batch_id) == ["b"]
    await finish(writer, reader, batch_id, "b")
    assert due(reader, batch_id) == ["child"]
    assert waiting(reader, batch_id) == []


async def test_ended_parent_is_named_for_every_job_behind_it(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [chained("c", "b"), chained("b", "a"), plan("a"), chained("d", "x"), plan("x")])
    await writer.move(reader.job(batch_id, "a"), Cancelled(at=NOW))
    assert waiting(reader, batch_id) == [
        WaitingJob(key="c", parent="b", ended="a", state=State.CANCELLED.value),
        WaitingJob(key="b", parent="a", ended="a", state=State.CANCELLED.value),
        WaitingJob(key="d", parent="x"),
    ]
    assert due(reader, batch_id) == ["x"]


async def test_needs_follow_the_manifest(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [chained("c", "a", "b"), plan("a"), plan("b")])
    exist = partial(needs.exist, batch_id=batch_id)
    assert reader.ask(exist)
    await writer.load(batch_id, [chained("c", "b"), plan("a"), plan("b")], NOW)
    assert [job.parent for job in waiting(reader, batch_id)] == ["b"]
    await writer.load(batch_id, [plan("c"), plan("a"), plan("b")], NOW)
    assert not reader.ask(exist)
    assert due(reader, batch_id) == ["c", "a", "b"]


async def test_parent_that_is_missing_holds_its_job_back(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [chained("c", "gone"), plan("a")])
    assert due(reader, batch_id) == ["a"]
    assert waiting(reader, batch_id) == [WaitingJob(key="c", parent="gone")]


async def test_batch_of_the_same_ids_has_needs_of_its_own(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [chained("c", "a"), plan("a")])
    other = await loaded(writer, [plan("c"), plan("a")], name="other")
    await finish(writer, reader, other, "a")
    assert due(reader, batch_id) == ["a"]
    assert not reader.ask(partial(needs.exist, batch_id=other))


async def test_images_are_found_by_job_and_number(writer: Writer, reader: Reader) -> None:
    batch_id = await loaded(writer, [plan("a")])
    await finish(writer, reader, batch_id, "a")
    batch = reader.job(batch_id, "a").batch
    files = reader.ask(partial(needs.images, batch=batch, parents=["a", "b"]))
    assert list(files) == [("a", 1)]
