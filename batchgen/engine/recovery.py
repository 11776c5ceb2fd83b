"""Recovery of the attempts that an earlier run left open: from the spool, at the provider, or else as unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anyio import create_task_group, to_thread

from ..job import Job
from ..store.records import AttemptRecord
from .attempts import AttemptRunner, OpenAttempt
from .lane import Lane


@dataclass(frozen=True, slots=True)
class OpenTask:
    """A remote task that an earlier run submitted, and the lane that polls it."""

    lane: Lane
    opened: OpenAttempt


@dataclass(frozen=True, slots=True)
class Recovery:
    """Settles what earlier runs left open, without waiting for a provider, and returns what is to be polled."""

    attempts: AttemptRunner
    batch_id: int
    lanes: Sequence[Lane]

    async def run(self) -> list[OpenTask]:
        """Settle the attempts that earlier runs left open; return the remote tasks that are left."""
        left = await to_thread.run_sync(self._left)
        calls = [(job, record) for job, record in left if record.handle is None]
        async with create_task_group() as tasks:
            for job, record in calls:
                tasks.start_soon(self._recover, job, record)
        if calls:  # An answer in the spool may have named a task.
            left = await to_thread.run_sync(self._left)
        remote = [(job, record) for job, record in left if record.handle is not None]
        return [task for job, record in remote if (task := self._open_task(job, record)) is not None]

    def _left(self) -> list[tuple[Job, AttemptRecord]]:
        attempts = self.attempts
        return attempts.reader.open_attempts(self.batch_id, run_id=attempts.run_id, shard=attempts.shard)

    def _open_task(self, job: Job, record: AttemptRecord) -> OpenTask | None:
        """Return a task with the lane of its account: to any other account it may not be known."""
        provider, account = record.provider, record.account
        lane = _lane_of(self.lanes, provider, account, record.model)
        if lane is None or lane.account != account:
            key = f"the key {account} of {provider}" if account else f"the one key that {provider} had"
            whose = provider if lane is None else key
            why = f"{whose} is no longer in the settings, so that its tasks cannot be polled: set it up again as it was"
            self.attempts.report_once(why, job.key)
            return None
        opened, _ = self.attempts.reopen(lane, job, record)
        return OpenTask(lane, opened)

    async def _recover(self, job: Job, record: AttemptRecord) -> None:
        lane = _lane_of(self.lanes, record.provider, record.account, record.model)
        try:
            await self.attempts.resume(lane, job, record)
        except Exception as error:  # noqa: BLE001 - raised here it would cut off the others
            self.attempts.on_failure(error)


def _lane_of(lanes: Sequence[Lane], provider: str, account: str | None, model: str) -> Lane | None:
    """Return the lane of a provider that fits account and model best; None if the provider has no lane."""

    def fit(lane: Lane) -> tuple[bool, bool]:
        return lane.account == account, lane.models.matches(model)

    return max((lane for lane in lanes if lane.provider == provider), key=fit, default=None)
