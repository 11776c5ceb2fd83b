"""Commits whose answer is lost with the connection: what they write is written once, and callers get the results."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from sqlalchemy import Connection, text

from batchgen.budget import BudgetLimit
from batchgen.database_url import DatabaseUrl
from batchgen.errors import StaleClaim
from batchgen.job import Cancelled, State
from batchgen.store import runners
from batchgen.store.guest import write_as_guest
from batchgen.store.reader import Reader
from batchgen.store.shared_budgets import SharedBudgets
from batchgen.store.writer import Writer
from tests.servers.lost_answers import Relay, relay
from tests.servers.postgres import PASSWORD, USER, PostgresServer

from .kit import NOW, claimed, delivery, loaded, one, plan

pytestmark = pytest.mark.slow


@pytest.fixture
def line(postgres_server: PostgresServer) -> Iterator[Relay]:
    """A relay to the server."""
    with relay(postgres_server.port) as line:
        yield line


@pytest.fixture
def relayed(server_path: DatabaseUrl, line: Relay) -> DatabaseUrl:
    """The address of the database by the relay."""
    name = str(server_path).rpartition("/")[2]
    return DatabaseUrl.parse(f"postgresql+psycopg://{USER}:{PASSWORD}@127.0.0.1:{line.port}/{name}")


async def test_decisions_are_not_refused_as_stale(relayed: DatabaseUrl, line: Relay) -> None:
    with Writer(relayed) as writer, Reader(relayed) as reader:
        batch_id, job = await one(writer, reader)
        line.armed = True
        assert [each.id for each in await writer.cancel([job], NOW)] == [job.id]
        cancelled = reader.job(batch_id, "cat")
        line.armed = True
        await writer.requeue([cancelled], NOW)
        line.armed = True
        moved = await writer.move(reader.job(batch_id, "cat"), Cancelled(at=NOW))
        assert (moved.state, line.lost) == (State.CANCELLED, 3)
        with pytest.raises(StaleClaim):  # A job that has really changed is refused all the same.
            await writer.move(job, Cancelled(at=NOW))


async def test_a_run_begins_once(relayed: DatabaseUrl, line: Relay) -> None:
    with Writer(relayed) as writer, Reader(relayed) as reader:
        batch_id = await loaded(writer, [plan("cat")])
        line.armed = True
        await writer.begin_run("run-1", batch_id, command="batchgen run", pid=1, host="web1", now=NOW)
        assert [run.id for run in reader.runs(batch_id)] == ["run-1"]
        assert line.lost == 1


async def test_a_runner_does_not_refuse_itself(relayed: DatabaseUrl, line: Relay) -> None:
    with Writer(relayed) as writer:
        batch_id = await loaded(writer, [plan("cat")])
    place = {"host": "web1", "machine": None, "pid": 4711}
    facts = {"run_id": "run-1", "batch_id": batch_id, "shard": None, "lease": 60.0, **place}
    line.armed = True
    write_as_guest(relayed, partial(runners.register, **facts))
    assert line.lost == 1


async def test_claims_and_settlements_are_booked_once(relayed: DatabaseUrl, line: Relay) -> None:
    with Writer(relayed) as writer, Reader(relayed) as reader:
        batch_id, job = await one(writer, reader)
        writer.shared = SharedBudgets(batch_id, [BudgetLimit(usd=100_000)])
        await writer.spending(NOW)
        line.armed = True
        _, attempt = await claimed(writer, job)
        assert [sums.usd for sums in await writer.spending(NOW)] == [7_000]
        line.armed = True
        assert (await writer.settle(delivery(attempt), NOW)).state is State.DONE
        assert line.lost == 2
        assert [sums.usd for sums in await writer.spending(NOW)] == [1_000]
        assert sum(usage.attempts for usage in reader.usage(batch_id)) == 1


async def test_a_transaction_that_broke_before_its_commit_is_carried_out_again(relayed: DatabaseUrl) -> None:
    broken: list[bool] = []

    def change(connection: Connection) -> str:
        connection.execute(text("INSERT INTO properties (name, value) VALUES ('test', 'once')"))
        if not broken:
            broken.append(True)
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return "written"

    assert write_as_guest(relayed, change) == "written"
    with Reader(relayed) as reader:
        count = "SELECT count(*) FROM properties WHERE name = 'test'"
        assert reader.ask(lambda connection: connection.execute(text(count)).scalar_one()) == 1
