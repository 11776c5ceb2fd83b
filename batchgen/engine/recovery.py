"""Recovery of the attempts that an earlier run left open: from the spool, at the provider, or else as unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from anyio import create_task_group, to_thread

from ..errors import StoreError, UnfinishedTask, UnreadableAnswer
from ..fault import Cause
from ..job import Delivered, Job, Outcome, State
from ..store.records import AttemptRecord
from ..task import Basis, Charge, Task
from .attempts import AttemptRunner, OpenAttempt
from .clearance import Clearance
from .lane import Lane
from .limits.gate import Gate

#: How long providers that honour idempotency keys remember them, at least (24 hours are usual).
KEY_LIFE = timedelta(hours=23)


@dataclass(frozen=True, slots=True)
class RemoteTask:
    """A remote task that an earlier run submitted, and the lane that polls it."""

    lane: Lane
    opened: OpenAttempt


@dataclass(frozen=True, slots=True)
class Recovery:
    """Settles what earlier runs left open, without waiting for a provider, and returns what is to be polled."""

    attempts: AttemptRunner
    batch_id: int
    lanes: Sequence[Lane]

    async def run(self) -> list[RemoteTask]:
        """Settle the attempts that earlier runs left open; return the remote tasks that are left."""
        left = await to_thread.run_sync(self._left)
        calls = [(job, record) for job, record in left if record.handle is None and record.submission_id is None]
        async with create_task_group() as tasks:
            for job, record in calls:
                tasks.start_soon(self._recover, job, record)
        if calls:  # An answer in the spool may have named a task.
            left = await to_thread.run_sync(self._left)
        remote = [(job, record) for job, record in left if record.handle is not None]
        return [task for job, record in remote if (task := self._remote_task(job, record)) is not None]

    def _left(self) -> list[tuple[Job, AttemptRecord]]:
        attempts = self.attempts
        return attempts.reader.open_attempts(self.batch_id, run_id=attempts.run_id, shard=attempts.shard)

    def _lane(self, record: AttemptRecord) -> Lane | None:
        """Return the lane that fits best; None if the provider is no longer in the manifest."""

        def fit(lane: Lane) -> tuple[bool, bool]:
            return lane.account == record.account, lane.models.matches(record.model)

        return max((lane for lane in self.lanes if lane.provider == record.provider), key=fit, default=None)

    def _remote_task(self, job: Job, record: AttemptRecord) -> RemoteTask | None:
        """Return a task with the lane of its account: to any other account it may not be known."""
        lane, provider = self._lane(record), record.provider
        if lane is None or lane.account != record.account:
            whose = f"{provider} is" if lane is None else f"the key {record.account} of {provider} is"
            self.attempts.report_once(
                f"waiting   {job.key}: {whose} no longer in the manifest, so that its remote task cannot be polled"
            )
            return None
        reserved = Charge(usd=record.estimate_usd, credits=record.estimate_credits, basis=Basis.ESTIMATED)
        order = self.attempts.order(job, self.attempts.task(job, provider), record.id, record.claim, record.account)
        age = max(0.0, (self.attempts.now() - record.started_at).total_seconds())
        is_given_up = job.state is State.CANCELLED
        attempt = replace(order, resumed=True, handle=record.handle, age=age, given_up=is_given_up, mode=record.mode)
        return RemoteTask(lane, OpenAttempt(job=job, attempt=attempt, estimate=reserved))

    async def _recover(self, job: Job, record: AttemptRecord) -> None:
        try:
            await self._settle(self._lane(record), job, record)
        except Exception as error:  # noqa: BLE001 - raised here it would cut off the others
            self.attempts.on_failure(error)

    async def _settle(self, lane: Lane | None, job: Job, record: AttemptRecord) -> None:
        """Settle an attempt from the spool, or else as unknown."""
        attempts = self.attempts
        reserved = Charge(usd=record.estimate_usd, credits=record.estimate_credits, basis=Basis.ESTIMATED)
        own_lane = lane or Lane(
            provider=record.provider, policy=attempts.policy, account_gate=Gate(), account=record.account
        )
        task = attempts.task(job, record.provider) if lane else _task_of(job, record)
        fresh = attempts.now() - record.started_at < KEY_LIFE
        # An idempotency key is known to its account only, and a lane that does not take the model cannot send it.
        same = own_lane.account == record.account and own_lane.models.matches(record.model)
        order = attempts.order(job, task, record.id, record.claim, own_lane.account)
        elsewhere = record.spool not in (None, attempts.spool)
        attempt = replace(order, resumed=True, elsewhere=elsewhere, key_valid=fresh and same, mode=record.mode)
        opened = OpenAttempt(job=job, attempt=attempt, estimate=reserved)
        clearance = Clearance(lane=own_lane, model=task.model, images=task.weight)
        try:
            outcome = await attempts.backend.run(attempt, clearance)
            await attempts.settle(
                own_lane, opened, _without_provider(record.provider, outcome) if lane is None else outcome
            )
        except UnfinishedTask:
            pass  # It is polled in its lane.
        except UnreadableAnswer as error:
            attempts.unreadable = attempts.unreadable or error
            own_lane.record_unreadable(job, None, str(error))
        except (StoreError, OSError) as error:
            attempts.on_failure(error)


def _task_of(job: Job, record: AttemptRecord) -> Task:
    """Return the task of a call to a provider that is no longer in the manifest."""
    return replace(job.task, provider=record.provider, model=record.model, n=job.wanted - job.delivered)


def _without_provider(provider: str, outcome: Outcome) -> Outcome:
    """Return *outcome*; if it is unknown, its message says that the provider is no longer in the manifest."""
    if isinstance(outcome, Delivered) or outcome.fault.cause is not Cause.UNKNOWN:
        return outcome
    message = f"{outcome.fault.message}, and {provider} is no longer in the manifest"
    return replace(outcome, fault=replace(outcome.fault, message=message))
