"""Collecting of results: each row becomes the answer of its call in the spool, and is delivered from there.

What happens after that is what happens to every answer, also to one that an earlier run left in the spool. So nothing
here has to be committed: rows whose calls are settled are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

from anyio import Event, create_task_group, to_thread

from ...errors import StoreError
from ...files.large_blocks import return_large_blocks
from ...files.result_files import SubmissionFiles
from ...files.result_rows import ResultRows
from ...files.spool import Spool
from ...job import Attempt, Job, Missed
from ...providers import slot_profile
from ...providers.base import Reply
from ...providers.batch_base import RemoteBatch, Row
from ...providers.batch_rules import fate_of, lost_results
from ...store.records import AttemptRecord
from ..attempts import AttemptRunner
from ..lane import Lane
from .decisions import outcome_of
from .remote import RemoteBatches

#: Rows that are delivered at once, and their bytes: each is in memory as a whole, several times while it is read.
_TOGETHER, _TOGETHER_BYTES = 4, 12_000_000
_ATTEMPT_FIELDS = tuple(field.name for field in fields(Attempt))

#: A call of a submission, as the job database has it.
OpenCall = tuple[Job, AttemptRecord]


@dataclass(kw_only=True, slots=True)
class Collector:
    """Delivers the results of one batch that has ended."""

    attempts: AttemptRunner
    spool: Spool
    remote: RemoteBatches
    lane: Lane
    batch: RemoteBatch
    files: SubmissionFiles
    lines: Mapping[str, int]  #: of the file of requests, by attempt
    rows: ResultRows[Row]

    async def fetch(self) -> None:
        """Download the files of results and read them once; raise ProviderError while the provider withholds one."""
        return_large_blocks()
        results = self.remote.dialect.results(self.remote.profile, self.batch)
        for file in results:
            await self.remote.download(file, self.files)
        await to_thread.run_sync(self.rows.scan, [self.files.result(file.name) for file in results])

    async def deliver(self, calls: Sequence[OpenCall]) -> None:
        """Settle *calls*; when the run is drained, the rest is left to the next run."""
        room = _Room()
        async with create_task_group() as tasks:
            for call in calls:
                size = self.rows.size(call[1].id)
                await room.take(size)
                if self.lane.draining:
                    return
                tasks.start_soon(self._deliver, call, partial(room.give, size))

    async def lose(self, calls: Sequence[OpenCall]) -> None:
        """Settle *calls* as unknown: their results can no longer be downloaded."""
        for job, record in calls:
            await self.attempts.resume(self.lane, job, record, Missed(fault=lost_results(self.batch)))

    async def _deliver(self, call: OpenCall, done: Callable[[], None]) -> None:
        job, record = call
        try:
            outcome = await to_thread.run_sync(self._outcome, job, record)
            await self.attempts.resume(self.lane, job, record, outcome)
        except (StoreError, OSError) as error:
            self.attempts.on_failure(error)
        finally:
            done()

    def _outcome(self, job: Job, record: AttemptRecord) -> Missed | None:
        """Return the outcome of a call without an answer; None if its answer is in the spool now."""
        stored = self.spool.find(record.id)
        if stored is not None and stored.sealed:
            return None
        row, line = self.rows.row(record.id), self.lines.get(record.id, 0)
        if row is not None and row.reply is not None:
            self._store(self.attempts.reopen(self.lane, job, record)[0].attempt, row.reply)
            return None
        return outcome_of(fate_of(self.batch, line, row), self.batch, line)

    def _store(self, attempt: Attempt, reply: Reply) -> None:
        """Put the answer of a call into a slot of its own, as if the call had been sent alone."""
        order: dict[str, Any] = {name: getattr(attempt, name) for name in _ATTEMPT_FIELDS}
        order[slot_profile.KEY] = slot_profile.dump(self.remote.profile, self.remote.model, attempt.task.model)
        again = self.spool.holds(attempt.id)
        with self.spool.open(attempt.id, order, len(reply.body) + 4096, replace=again) as slot:
            slot.keep_head(reply.status, reply.headers)
            slot.write(reply.body)
            slot.seal(whole=reply.broken is None)
            slot.sync()
            if slot.error is not None:
                raise StoreError(f"cannot store an answer in the spool: {slot.error}") from slot.error


@dataclass(slots=True)
class _Room:
    """The memory for rows that are delivered at once: as many as fit, and a larger one alone."""

    rows: int = 0
    size: int = 0
    _freed: Event = field(default_factory=Event)

    async def take(self, size: int) -> None:
        """Wait until there is room for a row of *size* bytes."""
        while self.rows and (self.rows == _TOGETHER or self.size + size > _TOGETHER_BYTES):
            self._freed = Event()
            await self._freed.wait()
        self.rows += 1
        self.size += size

    def give(self, size: int) -> None:
        """Free the room of a row."""
        self.rows -= 1
        self.size -= size
        self._freed.set()
