"""Fixed statements do what SQLAlchemy's execution of the same statements does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, bindparam, insert, select, update

from batchgen.job import Job
from batchgen.store.connection import writing
from batchgen.store.fixed import FixedChange, FixedLookup
from batchgen.store.rows import JobRow, to_job
from batchgen.store.tables import jobs, runs

from .kit import NOW, loaded, plan

LATER = NOW + timedelta(microseconds=1)


@pytest.fixture
def connection(path: Path) -> Iterator[Connection]:
    engine = writing(path)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def run_row(name: str, **more: object) -> dict[str, object]:
    return {"id": name, "batch_id": 1, "started_at": NOW, "pid": 7, "host": "h", "command": "c", **more}


def test_rows_are_equal_to_those_of_sqlalchemy(connection: Connection) -> None:
    row = run_row("a", ended_at=LATER, exit_code=3)
    connection.exec_driver_sql("INSERT INTO batches VALUES (1, 'b', 'm', 'f', 1, 1)")
    assert FixedChange(insert(runs)).execute(connection, row) == 1
    connection.execute(insert(runs), row | {"id": "b"})
    first, second = connection.execute(select(runs).order_by(runs.c.id)).all()
    assert tuple(first)[1:] == tuple(second)[1:]


def test_one_statement_sets_the_columns_that_it_is_given(connection: Connection) -> None:
    connection.exec_driver_sql("INSERT INTO batches VALUES (1, 'b', 'm', 'f', 1, 1)")
    add, end = FixedChange(insert(runs)), FixedChange(update(runs).where(runs.c.id == bindparam("wanted")))
    add.execute(connection, run_row("a"))
    add.execute(connection, run_row("b", exit_code=1))
    assert end.execute(connection, {"wanted": "a", "ended_at": LATER}) == 1
    assert end.execute(connection, {"wanted": "a", "exit_code": 5}) == 1
    assert end.execute(connection, {"wanted": "z", "exit_code": 5}) == 0
    wanted = select(runs.c.id, runs.c.ended_at, runs.c.exit_code).order_by(runs.c.id)
    assert [tuple(row) for row in connection.execute(wanted)] == [("a", LATER, 5), ("b", None, 1)]


async def test_a_looked_up_row_makes_the_same_job(writer, reader, path: Path) -> None:
    batch_id = await loaded(writer, [plan("cat", sidecar=False, tags=("x", "ü")), plan("dog")])
    engine = writing(path)
    with engine.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.key == "cat").values(not_before=LATER, doubts=2))
        lookup = FixedLookup(JobRow, jobs, jobs.c.key == bindparam("wanted"))
        row, missing = lookup.row(connection, {"wanted": "cat"}), lookup.row(connection, {"wanted": "bird"})
        other = connection.execute(select(jobs).where(jobs.c.key == "cat")).one()
    engine.dispose()
    assert missing is None
    assert row is not None
    assert to_job(row, "b") == to_job(other, "b")
    assert {type(getattr(to_job(row, "b"), field.name)) for field in fields(Job)} == {
        type(getattr(to_job(other, "b"), field.name)) for field in fields(Job)
    }
    assert (row.batch_id, row.sidecar, row.not_before) == (batch_id, False, LATER)
