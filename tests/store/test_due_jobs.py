"""Which pending jobs a lane is told of: its own, those it may take over, those whose time has come; by which index."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import event

from batchgen.database_url import Database
from batchgen.job import Deferred
from batchgen.planning.selection import Selection
from batchgen.route import ModelFilter, Route
from batchgen.store.queries import Scope
from batchgen.store.reader import Reader
from batchgen.store.records import DueFilter
from batchgen.store.writer import Writer
from batchgen.task import Kind, Task

from .kit import DOUBT, NOW, Raw, claimed, loaded, miss, on_sqlite, plan

LATER = NOW + timedelta(seconds=30)
OWN = DueFilter(provider="aigate")


def of(key: str, model: str) -> object:
    return plan(key, task=Task(kind=Kind.GENERATE, prompt=key, provider="aigate", model=model))


async def defer(writer: Writer, reader: Reader, batch_id: int, key: str, until: datetime) -> None:
    _, attempt = await claimed(writer, reader.job(batch_id, key))
    await writer.settle(miss(attempt, Deferred(at=NOW, fault=DOUBT, not_before=until)), NOW)


@pytest.mark.parametrize("scoped", [False, True], ids=["everything", "selected"])
async def test_new_jobs_and_those_that_wait_are_distinguished(writer: Writer, reader: Reader, scoped: bool) -> None:
    batch_id = await loaded(writer, [plan("a"), plan("b"), plan("c", priority=2), plan("d")])
    scope = reader.scope(batch_id, Selection(ids=("*",))) if scoped else None
    assert (scope is not None) is scoped
    await defer(writer, reader, batch_id, "a", LATER)
    await defer(writer, reader, batch_id, "c", NOW)

    def due(waiting: bool | None, now: datetime) -> list[str]:
        wanted = DueFilter(provider="aigate", waiting=waiting)
        return [job.key for job in reader.due(batch_id, wanted, 9, now, scope)]

    assert due(False, LATER) == ["b", "d"]
    assert due(True, NOW) == ["c"]
    assert due(True, LATER) == ["c", "a"]  # the one that has waited longest first, whatever its place
    assert due(None, NOW) == ["c", "b", "d"]
    assert due(None, LATER) == ["c", "a", "b", "d"]
    assert reader.next_retry(batch_id, DueFilter(provider="aigate", waiting=True), scope) == NOW


@pytest.mark.parametrize("scoped", [False, True], ids=["everything", "selected"])
@pytest.mark.parametrize(
    ("models", "keys"),
    [
        (ModelFilter(), "abc"),
        (ModelFilter(frozenset({"m1"})), "bc"),
        (ModelFilter(frozenset({"m1", "m2"}), only=True), "ab"),
        (ModelFilter(only=True), ""),
    ],
    ids=["all", "all but", "only", "nothing"],
)  # fmt: skip
async def test_a_lane_for_some_models_hears_of_their_jobs_only(
    writer: Writer, reader: Reader, models: ModelFilter, keys: str, scoped: bool
) -> None:
    batch_id = await loaded(writer, [of("a", "m1"), of("b", "m2"), of("c", "m3")])
    scope = reader.scope(batch_id, Selection(ids=("*",))) if scoped else None
    wanted = DueFilter(provider="aigate", models=models)
    assert "".join(job.key for job in reader.due(batch_id, wanted, 9, NOW, scope)) == keys
    for key in "abc":
        await defer(writer, reader, batch_id, key, LATER + timedelta(seconds=ord(key)))
    first = LATER + timedelta(seconds=ord(keys[0])) if keys else None
    assert reader.next_retry(batch_id, wanted, scope) == first


@pytest.mark.parametrize("scoped", [False, True], ids=["everything", "selected"])
async def test_another_provider_is_told_of_the_jobs_whose_route_names_it(
    writer: Writer, reader: Reader, scoped: bool
) -> None:
    routes = {"none": None, "both": Route(others=("openai", "studio")), "one": Route(others=("studio",))}
    batch_id = await loaded(writer, [plan(key, route=route) for key, route in routes.items()])
    scope = reader.scope(batch_id, Selection(ids=("*",))) if scoped else None

    def due(by: str | None) -> list[str]:
        return [job.key for job in reader.due(batch_id, DueFilter(provider="aigate", by=by), 9, NOW, scope)]

    assert due(None) == ["none", "both", "one"]
    assert due("openai") == ["both"]
    assert due("studio") == ["both", "one"]
    assert due("stud") == []
    await defer(writer, reader, batch_id, "none", NOW)
    await defer(writer, reader, batch_id, "one", LATER)
    assert reader.next_retry(batch_id, OWN, scope) == NOW
    assert reader.next_retry(batch_id, DueFilter(provider="aigate", by="studio"), scope) == LATER
    assert reader.next_retry(batch_id, DueFilter(provider="aigate", by="openai"), scope) is None


def steps(path: Database, reader: Reader, batch_id: int, wanted: DueFilter, *, retry: bool = False) -> list[str]:
    """Return how SQLite goes about the very statement that a question becomes."""
    asked: list[tuple[str, object]] = []
    engine = reader._engine

    def note(_connection: object, _cursor: object, statement: str, values: object, *_: object) -> None:
        asked.append((statement, values))

    event.listen(engine, "before_cursor_execute", note)
    try:
        reader.next_retry(batch_id, wanted) if retry else reader.due(batch_id, wanted, 64, NOW)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    statement, values = next(one for one in asked if "FROM jobs" in one[0])
    with Raw(path) as dbapi:
        return [row[3] for row in dbapi.execute(f"EXPLAIN QUERY PLAN {statement}", values)]  # type: ignore[arg-type]


@on_sqlite
@pytest.mark.parametrize(
    "models",
    [ModelFilter(), ModelFilter(frozenset({"m1"})), ModelFilter(frozenset({"m1", "m2"}), only=True)],
    ids=["all", "all but", "only"],
)
@pytest.mark.parametrize(
    ("by", "waiting", "index"),
    [(None, False, "jobs_lane"), (None, True, "jobs_waiting"), ("studio", False, "jobs_routed")],
    ids=["new", "waiting", "routed"],
)
async def test_a_page_is_read_in_order_from_an_index(
    writer: Writer, reader: Reader, path: Database, by: str | None, waiting: bool, index: str, models: ModelFilter
) -> None:
    batch_id = await loaded(writer, [plan("a", route=Route(others=("studio",)))])
    found = steps(path, reader, batch_id, DueFilter(provider="aigate", models=models, by=by, waiting=waiting))
    assert any(index in step for step in found), found
    assert not any("TEMP B-TREE" in step or step.startswith("SCAN jobs") for step in found), found


@on_sqlite
@pytest.mark.parametrize("by", [None, "studio"])
async def test_what_comes_due_is_looked_up_among_those_that_wait(
    writer: Writer, reader: Reader, path: Database, by: str | None
) -> None:
    batch_id = await loaded(writer, [plan("a", route=Route(others=("studio",)))])
    wanted = DueFilter(provider="aigate", by=by, waiting=True)
    for found in (steps(path, reader, batch_id, wanted), steps(path, reader, batch_id, wanted, retry=True)):
        assert any("jobs_waiting" in step for step in found), found
        assert not any("TEMP B-TREE" in step for step in found), found


def test_a_scope_of_nothing_reports_nothing(path: Database) -> None:
    with Reader(path) as reader:
        assert reader.due(1, OWN, 9, NOW, Scope([])) == []
        assert reader.next_retry(1, OWN, Scope([])) is None
