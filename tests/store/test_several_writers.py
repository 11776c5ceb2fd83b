"""Several processes that write to one PostgreSQL at the same moment: no job is sent twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from threading import Event
from typing import Any

import pytest
from anyio import to_thread
from sqlalchemy import Connection

from batchgen.database_url import DatabaseUrl
from batchgen.job import State
from batchgen.store import postgres
from batchgen.store.loading import Loading
from batchgen.store.reader import Reader
from batchgen.store.writer import Writer
from tests.timing import patience

from .kit import NOW, loaded, plan

pytestmark = pytest.mark.slow
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def other(server_path: DatabaseUrl) -> Iterator[Any]:
    """The connection of another process, in a transaction."""
    with closing(postgres.connect(server_path)) as dbapi:
        dbapi.autocommit = False
        yield dbapi


async def waits(path: DatabaseUrl, task: asyncio.Future[Any]) -> None:
    """Return when a statement of *task* waits for a lock."""
    query, end = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", time.monotonic() + patience(20)
    with closing(postgres.connect(path)) as dbapi:
        while postgres.rows(dbapi, query) == [(0,)]:
            assert not task.done(), "it did not wait"
            assert time.monotonic() < end
            await asyncio.sleep(0.01)


async def test_a_load_leaves_a_job_alone_that_another_runner_claims_meanwhile(
    server_path: DatabaseUrl, other: Any
) -> None:
    with Writer(server_path) as writer, Reader(server_path) as reader:
        batch_id = await loaded(writer, [plan("cat")])
        other.execute("UPDATE jobs SET state = 'running', claim = claim + 1 WHERE key = 'cat'")
        load = asyncio.ensure_future(writer.load(batch_id, [plan("cat", "a dog")], LATER))
        await waits(server_path, load)
        other.commit()
        assert (await load).busy == 1
        job = reader.job(batch_id, "cat")
    assert (job.state, job.task.prompt) == (State.RUNNING, "a cat")


async def test_two_runners_load_the_same_new_batch_at_the_same_moment(server_path: DatabaseUrl) -> None:
    merged, go_on = Event(), Event()

    def merge(loading: Loading, connection: Connection) -> None:
        loading.merge(connection, [(0, plan("cat"))])
        merged.set()
        assert go_on.wait(patience(20))

    with Writer(server_path) as first, Writer(server_path) as second, Reader(server_path) as reader:
        batch_id = await loaded(first, [])
        begin = partial(Loading, batch_id=batch_id, now=NOW, keep_changed=False, revise=None)
        slow = first._committer.post(partial(merge, await first._committer.submit(begin)))
        await to_thread.run_sync(merged.wait)
        load = asyncio.ensure_future(second.load(batch_id, [plan("cat")], NOW))
        await waits(server_path, load)
        go_on.set()
        await slow
        assert (await load).kept == 1
        assert [job.key for job in reader.jobs(batch_id)] == ["cat"]
