"""Due jobs in memory: what is there, and when to look again. A table that answers when it is told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from anyio import Event, create_task_group, fail_after

from batchgen.engine.backlog import Backlog
from batchgen.job import Job
from batchgen.store.records import DueFilter
from batchgen.task import Kind, Task

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def job(number: int, not_before: datetime | None = None) -> Job:
    task = Task(kind=Kind.GENERATE, prompt="a cat", provider="aigate", model="gpt-image-2")
    facts = {"batch": "b", "key": f"j{number}", "task": task, "fingerprint": "1:a", "output": "a"}
    return Job(id=number, not_before=not_before, **facts)


class Table:
    """Pending jobs; ``asked`` is set when somebody looks for new ones, who then waits for ``answers``."""

    def __init__(self, *pending: Job) -> None:
        self.pending = list(pending)
        self.asked, self.answers = Event(), Event()
        self.answers.set()

    def backlog(self) -> Backlog:
        return Backlog(
            wanted=DueFilter(provider="aigate"), lookup=self.lookup, next_retry=self.next_retry, in_flight=set()
        )

    async def lookup(self, wanted: DueFilter, now: datetime) -> list[Job]:
        self.asked.set()
        await self.answers.wait()
        if wanted.waiting:
            return [one for one in self.pending if one.not_before is not None and one.not_before <= now]
        return [one for one in self.pending if one.not_before is None]

    async def next_retry(self, _wanted: DueFilter) -> datetime | None:
        return min((one.not_before for one in self.pending if one.not_before is not None), default=None)


async def test_while_the_table_is_asked_nobody_takes_a_backlog_for_empty():
    table = Table()
    backlog = table.backlog()
    assert await backlog.first(NOW, lambda _job: True) is None
    assert backlog.empty
    table.pending, table.asked, table.answers = [job(1)], Event(), Event()
    backlog.returned(None)
    async with create_task_group() as tasks:
        tasks.start_soon(backlog.first, NOW, lambda _job: True)
        with fail_after(5):
            await table.asked.wait()
        assert not backlog.empty
        table.answers.set()
    assert (backlog.empty, backlog.has_due) == (False, True)


async def test_what_is_due_and_in_memory_needs_no_further_look():
    due, later = NOW - timedelta(seconds=9), NOW + timedelta(seconds=9)
    table = Table(job(1, due), job(2, later))
    backlog = table.backlog()
    assert await backlog.first(NOW, lambda _job: False) is None
    assert (backlog.has_due, backlog.more_at) == (True, None)
    found = await backlog.first(NOW, lambda _job: True)
    assert found is not None
    table.pending.remove(found)
    backlog.take(found)
    assert backlog.more_at == due
    assert await backlog.first(NOW, lambda _job: True) is None
    assert backlog.more_at == later
