"""Claim, attempt, settle - until nothing is left.

The runner knows jobs, lanes, a backend and the job table; it knows no HTTP, no SQL and no provider.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from anyio import CancelScope, create_task_group, get_cancelled_exc_class, move_on_after, to_thread

from .backends import Backend
from .budget import Wallet
from .errors import StaleJob, StoreError, Unread
from .fault import Cause, Charged, Fault
from .files import withdraw
from .job import Attempt, Deferred, Delivered, Delivery, Event, Exhausted, Job, Missed, Outcome, Settlement, Unsettled
from .lane import Closure, Lane
from .limits import Gate
from .manifest.names import stems
from .perform import earlier
from .retry import Policy, judge
from .store.reader import Reader
from .store.scope import Scope
from .store.values import AttemptRecord
from .store.writer import Writer
from .task import Basis, Charge, Task, Usage

#: Due jobs looked up at once, at least.
PAGE = 64
#: How long providers that honour idempotency keys remember them, at least (Stripe's 24 hours is the custom).
KEY_LIFE = timedelta(hours=23)
#: Seconds between two looks at a budget that calls under way have reserved.
BUDGET_LOOK = 0.5
#: Seconds for saving what had arrived when a run is cut off.
LAST_WORDS = 10.0

Watch = Callable[[Lane, Job, Event], None]


@dataclass(kw_only=True, slots=True)
class Runner:
    """One run of one batch.  Time, ids and chance come in as functions."""

    batch_id: int
    batch: str
    folder: str  #: absolute output folder
    run_id: str
    lanes: Sequence[Lane]
    reader: Reader
    writer: Writer
    backend: Backend
    wallet: Wallet
    estimate: Callable[[Task], Charge]  #: what a call may cost at most
    release: Callable[[str, bool], None]  #: lets go of an attempt's spool slot; True keeps the answer
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    spread: Callable[[], float]  #: chance in [0, 1)
    scope: Scope | None = None  #: what this run may send, where not everything is selected
    watch: Watch = lambda _lane, _job, _event: None
    recovered: Callable[[], Awaitable[None]] | None = None  #: called when what an earlier run left open is settled
    draining: bool = False
    drained: str | None = None  #: what ended the run early, in words
    failure: StoreError | None = field(default=None)

    async def run(self) -> None:
        """Run until no job is left that could run, or until told to drain.

        Raises StoreError where the disk or the job table failed; by then what was in flight has ended.
        """
        await self.recover()
        if self.recovered is not None:
            await self.recovered()
        try:
            async with create_task_group() as lanes:
                for lane in self.lanes:
                    lanes.start_soon(self._drive, lane)
        except get_cancelled_exc_class():
            # what was cut off reads as after a crash, and is told apart the same way: arrived, unsent, or in doubt
            with move_on_after(LAST_WORDS, shield=True):
                await self.recover()
            raise
        if self.failure is not None:
            raise self.failure

    def drain(self, why: str | None = None) -> None:
        """Claim nothing more; what is in flight ends as it would.  *why* is told at the end."""
        self.draining = True
        self.drained = self.drained or why
        for lane in self.lanes:
            lane.wake()

    async def recover(self) -> None:
        """Finish what an earlier run left open: from the spool where the answer is there, else as unknown."""
        by_provider = {lane.provider: lane for lane in self.lanes}
        async with create_task_group() as tasks:
            for job, record in await to_thread.run_sync(self.reader.open_attempts, self.batch_id):
                tasks.start_soon(self._finish, by_provider.get(record.provider), job, record)

    async def _finish(self, lane: Lane | None, job: Job, record: AttemptRecord) -> None:
        """Bring one open attempt of an earlier run to its end."""
        fresh = self.now() - record.started_at < KEY_LIFE
        attempt = replace(self._order(job, record.id, record.claim), resumed=True, key_valid=fresh)
        reserved = Charge(usd=record.estimate_usd, credits=record.estimate_credits, basis=Basis.ESTIMATED)
        if lane is None:
            stray = Lane(provider=record.provider, width=1, policy=Policy(), gate=Gate())
            await self._settle(stray, job, attempt, _gone(record.provider), reserved)
            return
        try:
            outcome = await self.backend.run(attempt)
            await self._settle(lane, job, attempt, outcome, reserved)
        except Unread as error:
            self.failure = self.failure or error
        except (StoreError, OSError) as error:
            self.halt(error)

    async def _drive(self, lane: Lane) -> None:
        """Keep one lane busy."""
        async with create_task_group() as attempts:
            while not self.draining and lane.closed is None:
                if lane.full:
                    await lane.rest(None)
                    continue
                try:
                    job = await self._next(lane)
                    if job is None:
                        if not await self._wait_for_work(lane):
                            return
                        continue
                except StoreError as error:
                    # raised here it would cut off what is in flight
                    self.halt(error)
                    return
                with lane.interruptible():
                    await lane.gate.pass_through(_weight(job.task))
                if self.draining or lane.closed is not None:
                    return
                if claimed := await self._claim(lane, job):
                    lane.in_flight += 1
                    attempts.start_soon(self._carry, lane, *claimed)

    async def _next(self, lane: Lane) -> Job | None:
        """Return the lane's next due job, from the page in memory or a new page."""
        if not lane.page:
            limit = max(PAGE, 2 * lane.width)
            asked = (self.batch_id, lane.provider, limit, self.now(), self.scope)
            lane.page.extend(await to_thread.run_sync(self.reader.due, *asked))
        return lane.page.popleft() if lane.page else None

    async def _wait_for_work(self, lane: Lane) -> bool:
        """Wait for a job to come due; return False where none will."""
        lane.next_due = await to_thread.run_sync(self.reader.next_due, self.batch_id, lane.provider, self.scope)
        if lane.next_due is None and lane.in_flight == 0:
            return False
        seconds = max(0.0, (lane.next_due - self.now()).total_seconds()) + 0.001 if lane.next_due else None
        await lane.rest(seconds)
        lane.next_due = None
        return True

    async def _claim(self, lane: Lane, job: Job) -> tuple[Job, Attempt, Charge] | None:
        """Reserve the money and open the attempt, both before a byte is sent; None where the job is not to be had."""
        attempt = self._order(job, self.new_id(), job.claim + 1)
        estimate = self.estimate(attempt.task)
        if (caps := self.wallet.refusing(lane.provider, estimate)) is not None:
            if any(other.in_flight for other in self.lanes):
                # calls under way may cost less than was reserved for them
                lane.page.appendleft(job)
                await lane.rest(BUDGET_LOOK)
            else:
                lane.close(Closure.BUDGET, Fault(cause=Cause.MONEY, message=f"the budget of {caps.scope}"))
            return None
        self.wallet.reserve(lane.provider, estimate)
        try:
            # shielded: a claim whose waiter left would be an open attempt that nobody carries out
            with CancelScope(shield=True):
                claimed = await self.writer.claim(job, attempt, self.run_id, estimate.usd, estimate.credits, self.now())
        except StaleJob:
            self.wallet.settle(lane.provider, estimate, Charge(usd=0, credits=0, basis=estimate.basis))
            return None
        except StoreError as error:
            self.halt(error)
            return None
        return claimed, attempt, estimate

    def _order(self, job: Job, attempt_id: str, claim: int) -> Attempt:
        """Return the order for one attempt at what *job* still lacks."""
        return Attempt(
            id=attempt_id,
            job_id=job.id,
            claim=claim,
            batch=self.batch,
            key=job.key,
            task=replace(job.task, n=job.wanted - job.delivered),
            fingerprint=job.fingerprint,
            folder=self.folder,
            output=job.output,
            ordinal=job.delivered,
            wanted=job.wanted,
            sidecar=job.sidecar,
        )

    async def _carry(self, lane: Lane, job: Job, attempt: Attempt, estimate: Charge) -> None:
        """Carry one claimed job to its next resting state."""
        try:
            outcome = await self.backend.run(attempt)
            with CancelScope(shield=True):
                await self._settle(lane, job, attempt, outcome, estimate)
        except Unread as error:
            # the others go on; this attempt stays open until a version comes that can read its answer
            self.failure = self.failure or error
        except (StoreError, OSError) as error:
            # the attempt stays open, its answer in the spool: the next run finishes it
            self.halt(error)
        finally:
            lane.in_flight -= 1
            lane.stir()

    async def _settle(self, lane: Lane, job: Job, attempt: Attempt, outcome: Outcome, estimate: Charge) -> None:
        """Make an outcome durable; only then let go of the spool."""
        event = judge(job, outcome, lane.policy, self.now(), self.spread(), may_rebuy=lane.may_rebuy)
        lane.rebuys += isinstance(event, Deferred) and event.fault.cause is Cause.UNKNOWN
        if isinstance(outcome, Delivered) and attempt.claim > 1:
            # before it is settled: if this is cut off, the attempt is still open and the next run comes here again
            await to_thread.run_sync(self._withdraw_earlier, attempt, outcome)
        if not attempt.resumed:
            lane.heed(outcome, self.spread())
        settlement = Settlement(
            attempt=attempt,
            event=event,
            charge=outcome.charge,
            usage=outcome.usage or Usage(),
            request_id=outcome.request_id,
        )
        try:
            await self.writer.settle(settlement, self.now())
        except StaleJob:
            pass  # moved on by a person while it ran; attempt and ledger are written all the same
        except StoreError as error:
            self.halt(error)
            return
        self.wallet.settle(lane.provider, estimate, outcome.charge)
        spoiled = isinstance(outcome, Missed) and outcome.fault.cause is Cause.SPOILED
        await to_thread.run_sync(self.release, attempt.id, spoiled)
        _count(lane, event, outcome)
        self.watch(lane, job, event)

    def _withdraw_earlier(self, attempt: Attempt, outcome: Delivered) -> None:
        """Put aside what earlier forms of a job left beside its new files, under other names than theirs."""
        own = stems(attempt.output, attempt.wanted)
        for name, file in earlier(attempt, outcome.artifacts, self.reader.files_of(attempt.job_id)):

            def bare(name: str = name, path: str = file.path) -> bool:
                return name.rpartition(".")[0] in own or not self.reader.counts_on(path)

            withdraw(Path(self.folder), name, file.sha256, file.attempt_id, bare=bare)

    def halt(self, error: StoreError | OSError) -> None:
        """Stop safely: this machine cannot keep what it buys."""
        self.failure = self.failure or (error if isinstance(error, StoreError) else StoreError(str(error)))
        self.drain()


def _weight(task: Task) -> int:
    """Return how many images a request counts as: source images of an edit count too (``wire.md`` 1.7)."""
    return task.n + len(task.images)


def _count(lane: Lane, event: Event, outcome: Outcome) -> None:
    if isinstance(outcome, Delivered):
        lane.images += len(outcome.artifacts)
        lane.done += isinstance(event, Delivery)
    lane.usd += outcome.charge.usd or 0
    lane.credits += outcome.charge.credits or 0
    lane.failed += isinstance(event, Exhausted)
    lane.doubtful += isinstance(event, Unsettled)


def _gone(provider: str) -> Missed:
    return Missed(
        fault=Fault(
            cause=Cause.UNKNOWN,
            message=f"the run ended while the request was under way, and {provider} is no longer in the manifest",
            charged=Charged.MAYBE,
        )
    )
