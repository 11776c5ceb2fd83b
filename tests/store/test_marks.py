"""Marks in the job database: they count until another picture takes the place of the marked one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import delete

from batchgen.database_url import Database
from batchgen.errors import NotFound, UsageError
from batchgen.job import State
from batchgen.mark import NO_PICTURE, Mark
from batchgen.planning.marks import Result
from batchgen.planning.selection import Selection
from batchgen.store import judging, marks
from batchgen.store.connection import writing
from batchgen.store.picture_facts import replace_suspects
from batchgen.store.reader import Reader
from batchgen.store.tables import properties
from batchgen.store.writer import Writer
from batchgen.task import Artifact

from .kit import NOW, Raw, claimed, delivery, loaded, picture, plan

LATER = NOW + timedelta(hours=1)


def drawn(letter: str, ordinal: int = 0) -> Artifact:
    return replace(picture(f"{letter}{ordinal}.png", ordinal), sha256=letter * 64)


async def made(writer: Writer, reader: Reader, key: str, *files: Artifact) -> None:
    """Deliver *files* for a job, which is requeued first if it is done."""
    batch_id = reader.batch().id
    job = reader.job(batch_id, key)
    if job.state is State.DONE:
        await writer.requeue([job], NOW)
        job = reader.job(batch_id, key)
    _, attempt = await claimed(writer, job)
    await writer.settle(delivery(attempt, 1_000, *files), NOW)


@pytest.fixture
async def batch_id(writer: Writer, reader: Reader) -> int:
    batch_id = await loaded(writer, [plan("cat"), plan("dog"), plan("pair", wanted=2), plan("lost")])
    await made(writer, reader, "cat", drawn("a"))
    await made(writer, reader, "dog", drawn("b"))
    await made(writer, reader, "pair", drawn("c"), drawn("d", 1))
    return batch_id


def entry(key: str, mark: str | None = None, letter: str = "", ordinal: int = 0, **fields: object) -> Mark:
    sha256 = letter * 16
    place = {"ordinal": ordinal if letter else NO_PICTURE, "sha256": sha256, "at": NOW} | fields
    return Mark(key=key, mark=mark, **place)  # type: ignore[arg-type]


def results(path: Database, batch_id: int, *entries: Mark, latest: bool = False) -> dict[str, int]:
    return {str(name): count for name, count in marks.write(path, batch_id, entries, latest=latest).results.items()}


def stored(reader: Reader, batch_id: int) -> list[tuple[str, int, str | None, bool]]:
    found = reader.ask(partial(marks.of_batch, batch_id=batch_id))
    return [(mark.key, mark.ordinal + 1, mark.mark, mark.replaced) for mark in found]


def selected(reader: Reader, batch_id: int, *values: str, suspects: Sequence[str] = ()) -> list[str]:
    chosen = Selection(marks=values, suspects=tuple(suspects))
    return [job.key for job in reader.jobs(batch_id, chosen)]


async def test_marks_are_stored_with_the_whole_hash_of_a_prefix(batch_id: int, path: Database, reader: Reader) -> None:
    assert results(path, batch_id, entry("cat", "pick", "a"), entry("pair", "reject", "d", 1)) == {"set": 2}
    assert stored(reader, batch_id) == [("cat", 1, "pick", False), ("pair", 2, "reject", False)]
    [mark] = reader.ask(partial(marks.of_jobs, ids=[reader.job(batch_id, "cat").id])).popitem()[1]
    assert (mark.sha256, mark.at, mark.stars, mark.note) == ("a" * 64, NOW, 0, "")


async def test_mark_of_another_picture_is_not_taken(batch_id: int, path: Database, reader: Reader) -> None:
    wrong = [
        entry("cat", "pick", "b"),
        entry("cat", "pick", "a", 1),
        entry("cat", "pick"),
        entry("lost", "pick", "a"),
        entry("dog", "pick", "b", sha256=""),
    ]
    assert results(path, batch_id, *wrong) == {"replaced": 5}
    assert stored(reader, batch_id) == []
    assert results(path, batch_id, entry("lost", "reject")) == {"set": 1}
    assert stored(reader, batch_id) == [("lost", 0, "reject", False)]


async def test_later_of_two_marks_counts(batch_id: int, path: Database, reader: Reader) -> None:
    early, late = entry("cat", "pick", "a"), entry("cat", "reject", "a", at=LATER)
    assert results(path, batch_id, late) == {"set": 1}
    assert results(path, batch_id, early) == {"older": 1}
    assert results(path, batch_id, replace(late, at=NOW)) == {"same": 1}
    assert stored(reader, batch_id) == [("cat", 1, "reject", False)]
    assert results(path, batch_id, early, latest=True) == {"set": 1}
    assert results(path, batch_id, late, early) == {"set": 1, "older": 1}
    assert stored(reader, batch_id) == [("cat", 1, "reject", False)]


async def test_empty_mark_removes_the_one_before(batch_id: int, path: Database, reader: Reader) -> None:
    results(path, batch_id, entry("cat", "pick", "a", note="sharp"))
    assert results(path, batch_id, entry("cat", None, "a")) == {"older": 1}
    assert results(path, batch_id, entry("cat", None, "a", at=LATER), entry("dog", None, "b")) == {
        "cleared": 1, "same": 1
    }  # fmt: skip
    assert stored(reader, batch_id) == []


async def test_unknown_job_is_refused_and_nothing_of_its_chunk_is_written(
    batch_id: int, path: Database, reader: Reader
) -> None:
    with pytest.raises(NotFound, match="cta"):
        marks.write(path, batch_id, [entry("cat", "pick", "a"), entry("cta", "pick", "a")])
    assert stored(reader, batch_id) == []


async def test_mark_counts_until_the_picture_is_replaced(
    batch_id: int, path: Database, writer: Writer, reader: Reader
) -> None:
    results(path, batch_id, entry("cat", "reject", "a"), entry("dog", "reject", "b"))
    await writer.requeue([reader.job(batch_id, "cat")], NOW)
    assert selected(reader, batch_id, "reject") == ["cat", "dog"]  # an interrupted redo finds it
    await made(writer, reader, "cat", drawn("e"))
    assert stored(reader, batch_id) == [("cat", 1, "reject", True), ("dog", 1, "reject", False)]
    assert selected(reader, batch_id, "reject") == ["dog"]
    assert results(path, batch_id, entry("cat", "reject", "a", at=LATER)) == {"replaced": 1}
    assert results(path, batch_id, entry("cat", "pick", "e", at=LATER)) == {"set": 1}
    assert stored(reader, batch_id)[0] == ("cat", 1, "pick", False)


async def test_picture_with_the_same_bytes_is_another_picture(
    batch_id: int, path: Database, writer: Writer, reader: Reader
) -> None:
    """A provider that takes a seed draws the same again: a reject that was redone must not be redone for ever."""
    results(path, batch_id, entry("cat", "reject", "a"))
    await made(writer, reader, "cat", drawn("a"))
    assert selected(reader, batch_id, "reject") == []
    assert results(path, batch_id, entry("cat", "reject", "a")) == {"replaced": 1}  # the file, imported again
    assert selected(reader, batch_id, "reject") == []
    assert results(path, batch_id, entry("cat", "reject", "a", at=LATER)) == {"set": 1}
    assert selected(reader, batch_id, "reject") == ["cat"]


async def test_mark_of_a_picture_that_is_not_made_any_more_does_not_count(
    batch_id: int, path: Database, writer: Writer, reader: Reader
) -> None:
    results(path, batch_id, entry("pair", "reject", "d", 1))
    await writer.load(batch_id, [plan("pair", "one", wanted=1)], NOW)
    assert selected(reader, batch_id, "reject") == ["pair"]
    await made(writer, reader, "pair", drawn("e"))
    assert selected(reader, batch_id, "reject") == []


async def test_mark_of_a_job_without_picture_ends_with_its_first_one(
    batch_id: int, path: Database, writer: Writer, reader: Reader
) -> None:
    results(path, batch_id, entry("lost", None, note="try the other model"))
    assert selected(reader, batch_id, "note") == ["lost"]
    _, attempt = await claimed(writer, reader.job(batch_id, "lost"))
    await writer.settle(delivery(attempt, 1_000, drawn("f")), NOW)
    assert selected(reader, batch_id, "note") == []


async def test_marks_select_jobs(batch_id: int, path: Database, reader: Reader) -> None:
    entries = (
        entry("cat", "pick", "a", stars=3),
        entry("pair", "reject", "c"),
        entry("pair", None, "d", 1, stars=5, note="the shadow"),
    )
    results(path, batch_id, *entries)
    assert selected(reader, batch_id, "pick") == ["cat"]
    assert selected(reader, batch_id, "reject") == ["pair"]
    assert selected(reader, batch_id, "3") == ["cat", "pair"]
    assert selected(reader, batch_id, "4") == ["pair"]
    assert selected(reader, batch_id, "note") == ["pair"]
    assert selected(reader, batch_id, "none") == ["dog", "pair"]
    assert selected(reader, batch_id, "pick", "note") == ["cat", "pair"]
    assert selected(reader, batch_id, "none", "pick") == ["cat", "dog", "pair"]


def write_suspects(path: Database, batch_id: int, *places: tuple[str, str, int]) -> None:
    """Replace the suspects by those of *places*: kind, job and ordinal."""
    replace_suspects(path, batch_id, [], "examined")
    with Raw(path) as dbapi:
        dbapi.executemany(
            "INSERT INTO suspects (batch_id, job_id, ordinal, artifact_id, kind, detail) "
            "SELECT jobs.batch_id, jobs.id, ordinal, artifacts.id, ?, '' FROM jobs "
            "JOIN artifacts ON artifacts.job_id = jobs.id WHERE key = ? AND ordinal = ? AND superseded_at IS NULL",
            places,
        )


async def test_suspects_select_jobs_until_the_picture_is_replaced(
    batch_id: int, path: Database, writer: Writer, reader: Reader
) -> None:
    with pytest.raises(UsageError, match=r"--suspect tiny: the pictures.*verify --deep"):
        selected(reader, batch_id, suspects=["tiny"])
    write_suspects(path, batch_id, ("tiny", "cat", 0), ("one-colour", "cat", 0), ("tiny", "dog", 0))
    assert selected(reader, batch_id, suspects=["tiny"]) == ["cat", "dog"]
    assert selected(reader, batch_id, suspects=["tiny", "no-alpha"]) == ["cat", "dog"]
    assert selected(reader, batch_id, suspects=["one-colour"]) == ["cat"]
    await made(writer, reader, "cat", drawn("e"))
    assert selected(reader, batch_id, suspects=["tiny"]) == ["dog"]


async def test_mark_and_suspect_are_of_the_same_picture(batch_id: int, path: Database, reader: Reader) -> None:
    write_suspects(path, batch_id, ("tiny", "pair", 1))
    results(path, batch_id, entry("pair", "reject", "c"))
    assert selected(reader, batch_id, "reject", suspects=["tiny"]) == []
    assert selected(reader, batch_id, "none", suspects=["tiny"]) == ["pair"]
    results(path, batch_id, entry("pair", "reject", "d", 1))
    assert selected(reader, batch_id, "reject", suspects=["tiny"]) == ["pair"]
    assert selected(reader, batch_id, "none", suspects=["tiny"]) == []


@pytest.mark.parametrize(
    ("marked", "suspected", "ordinals"),
    [(("pick",), (), {0}), (("none",), (), {1}), (("pick", "none"), (), {0, 1}), ((), ("tiny",), {1}),
     (("pick",), ("tiny",), set())],
)  # fmt: skip
async def test_files_that_match_are_told_apart(
    batch_id: int,
    path: Database,
    reader: Reader,
    marked: tuple[str, ...],
    suspected: tuple[str, ...],
    ordinals: set[int],
) -> None:
    results(path, batch_id, entry("pair", "pick", "c"))
    write_suspects(path, batch_id, ("tiny", "pair", 1))
    job = reader.job(batch_id, "pair")
    chosen = Selection(marks=marked, suspects=suspected)
    found = reader.ask(partial(judging.matching_files, ids=[job.id], selection=chosen))
    assert found == {(job.id, ordinal) for ordinal in ordinals}


def test_database_has_an_id_of_its_own(path: Database) -> None:
    number = marks.database_id(path)
    assert (len(number), int(number, 16) > 0, marks.database_id(path)) == (32, True, number)
    engine = writing(path)
    with engine.begin() as connection:
        connection.execute(delete(properties))
    engine.dispose()
    other = marks.database_id(path)
    assert other != number
    assert marks.database_id(path) == other


async def test_writing_many_marks_takes_several_transactions(
    batch_id: int, path: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "CHUNK", 2)
    entries = [entry("cat", "pick", "a"), entry("dog", "pick", "b"), entry("pair", "pick", "c")]
    merged = marks.write(path, batch_id, entries)
    assert merged.results == {Result.SET: 3}
    assert [mark.key for mark in merged.changes] == ["cat", "dog", "pair"]
