"""One attempt at a job, from the money reserved to the outcome in the ledger: claim, carry out, settle.

It knows jobs, lanes, a backend and the job table; it knows no HTTP, no SQL and no provider.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from anyio import CancelScope, to_thread

from ..budget import Budgets, Reservations
from ..errors import NotFound, StaleClaim, StoreError, UnreadableAnswer
from ..fault import Cause
from ..files.output import withdraw
from ..job import Attempt, Deferred, Delivered, Delivery, Event, Exhausted, Job, Outcome, Settlement, Unknown
from ..learned_prices import PriceMemory
from ..manifest.filenames import stems
from ..store.reader import Reader
from ..store.records import AttemptRecord
from ..store.writer import Writer
from ..task import Basis, Charge, Task, Usage
from .backend import Backend
from .lane import Lane
from .limits.gate import Gate
from .output_names import earlier
from .retry import Policy, judge

#: How long providers that honour idempotency keys remember them, at least (Stripe's 24 hours is the custom).
KEY_LIFE = timedelta(hours=23)

#: Called for every attempt when it opens (None) and when it is settled.
Listener = Callable[[Lane, "OpenAttempt", Settlement | None], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenAttempt:
    """A job with its attempt, and what is reserved for it."""

    job: Job
    attempt: Attempt
    estimate: Charge


@dataclass(kw_only=True, slots=True)
class AttemptRunner:
    """The attempts of one run.  Time, ids and chance come in as functions."""

    batch: str
    folder: str  #: absolute output folder
    run_id: str
    reader: Reader
    writer: Writer
    backend: Backend = field(init=False)  #: set before the first attempt
    wallet: Budgets
    estimate: Callable[[Task], Charge]  #: what a call may cost at most
    translate: Callable[[Task, str], Task]  #: a task in the terms of the provider named
    release: Callable[[str, bool], None]  #: lets go of an attempt's spool slot; True: its answer is delivered
    policy: Policy = field(default_factory=Policy)  #: for a provider that the manifest has no more
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    spread: Callable[[], float]  #: chance in [0, 1)
    listeners: list[Listener] = field(default_factory=list)
    halt: Callable[[Exception], None] = lambda _error: None  #: called when this machine cannot go on
    say: Callable[[str], None] = lambda _text: None  #: shows the user a message at once
    unread: UnreadableAnswer | None = field(default=None)  #: an answer that only a later version can read
    prices: PriceMemory = field(default_factory=PriceMemory)  #: what calls were found to cost
    reservations: Reservations = field(init=False)

    def __post_init__(self) -> None:
        self.reservations = Reservations(self.wallet, self.prices)

    def why_refused(self, lane: Lane, job: Job) -> str | None:
        """Return why no budget allows one more attempt by *lane*, in words; None where all do."""
        task = self._task(job, lane.provider)
        return self.reservations.why_refused(task, self.estimate(task))

    def prepare(self, lane: Lane, job: Job) -> OpenAttempt:
        """Reserve the money for one attempt at *job* by *lane*, and order it."""
        order = self._order(job, self._task(job, lane.provider), self.new_id(), job.claim + 1)
        attempt = replace(order, account=lane.account)
        estimate = self.reservations.reserve(attempt.id, attempt.task, self.estimate(attempt.task))
        return OpenAttempt(job=job, attempt=attempt, estimate=estimate)

    async def claim(self, lane: Lane, prepared: OpenAttempt) -> OpenAttempt | None:
        """Open the attempt before a byte is sent; None where the job is not to be had."""
        attempt, estimate = prepared.attempt, prepared.estimate
        try:
            # shielded: a claim whose waiter left would be an open attempt that nobody carries out
            with CancelScope(shield=True):
                amounts = estimate.usd, estimate.credits
                claimed = await self.writer.claim(prepared.job, attempt, self.run_id, *amounts, self.now())
        except StaleClaim:
            nothing = Charge(usd=0, credits=0, basis=estimate.basis)
            self.reservations.settle(attempt.id, lane.provider, estimate, nothing)
            return None
        except StoreError as error:
            self.halt(error)
            return None
        opened = replace(prepared, job=claimed)
        self._tell(lane, opened, None)
        return opened

    async def carry_out(self, lane: Lane, opened: OpenAttempt, sent_at: float) -> Job | None:
        """Carry a claimed job to its next resting state and return it; None where it has none, or nobody knows."""
        heard = False
        try:
            outcome = await self.backend.run(opened.attempt)
            lane.heed(opened.job, outcome, sent_at, self.spread())
            heard = True
            with CancelScope(shield=True):
                return await self._settle(lane, opened, outcome)
        except UnreadableAnswer as error:
            # the others go on; this attempt stays open until a version comes that can read its answer
            self.unread = self.unread or error
            lane.unreadable(opened.job, sent_at, str(error))
            heard = True
        except (StoreError, OSError) as error:
            # the attempt stays open, its answer in the spool: the next run finishes it
            self.halt(error)
        finally:
            self.reservations.answer_read(opened.attempt.id)
            if not heard:
                lane.ended(sent_at)
        return None

    async def finish(self, lane: Lane | None, job: Job, record: AttemptRecord) -> None:
        """Bring one attempt that an earlier run left open to its end: from the spool, or else as unknown."""
        reserved = Charge(usd=record.estimate_usd, credits=record.estimate_credits, basis=Basis.ESTIMATED)
        asked = lane or Lane(provider=record.provider, policy=self.policy, account_gate=Gate(), account=record.account)
        task = self._task(job, record.provider) if lane else self._task_of(job, record)
        fresh = self.now() - record.started_at < KEY_LIFE
        # a key means something to its account alone, and a lane that takes no such jobs has nothing to send with
        same = asked.account == record.account and asked.models.matches(record.model)
        order = self._order(job, task, record.id, record.claim)
        attempt = replace(order, account=asked.account, resumed=True, key_valid=fresh and same)
        opened = OpenAttempt(job=job, attempt=attempt, estimate=reserved)
        try:
            outcome = await self.backend.run(attempt)
            await self._settle(asked, opened, _gone(record.provider, outcome) if lane is None else outcome)
        except UnreadableAnswer as error:
            self.unread = self.unread or error
            asked.unreadable(job, None, str(error))
        except (StoreError, OSError) as error:
            self.halt(error)

    def _task(self, job: Job, provider: str) -> Task:
        return replace(self.translate(job.task, provider), n=job.wanted - job.delivered)

    def _task_of(self, job: Job, record: AttemptRecord) -> Task:
        """Return the task of a call to a provider that the manifest has no more."""
        return replace(job.task, provider=record.provider, model=record.model, n=job.wanted - job.delivered)

    def _order(self, job: Job, task: Task, attempt_id: str, claim: int) -> Attempt:
        """Return the order for one attempt at what *job* still lacks, which is *task*."""
        return Attempt(
            id=attempt_id,
            job_id=job.id,
            claim=claim,
            batch=self.batch,
            key=job.key,
            task=task,
            fingerprint=job.fingerprint,
            folder=self.folder,
            output=job.output,
            ordinal=job.delivered,
            wanted=job.wanted,
            sidecar=job.sidecar,
        )

    async def _settle(self, lane: Lane, opened: OpenAttempt, outcome: Outcome) -> Job | None:
        """Make an outcome durable; only then let go of the spool."""
        job, attempt = opened.job, opened.attempt
        usage = outcome.usage or Usage()
        # before the first await: no other call may go out once the true price shows that the budget is used up
        self.reservations.learn(attempt.task, outcome.charge, usage.images)
        event = judge(
            job,
            outcome,
            lane.policy,
            self.now(),
            self.spread(),
            may_rebuy=lane.may_rebuy,
            troubled=lane.breaker.troubled,
            alone=lane.breaker.alone(job.id),
        )
        lane.rebuys += isinstance(event, Deferred) and event.fault.cause is Cause.UNKNOWN
        lane.beyond += isinstance(event, Unknown) and lane.policy.why_not_again(job) is None
        if isinstance(outcome, Delivered) and attempt.claim > 1:
            # before it is settled: if this is cut off, the attempt is still open and the next run comes here again
            await to_thread.run_sync(self._withdraw_earlier, attempt, outcome)
        settlement = Settlement(
            attempt=attempt,
            event=event,
            charge=outcome.charge,
            reserved=self.reservations.reserved(attempt.id, opened.estimate),
            usage=usage,
            request_id=outcome.request_id,
        )
        after = None
        reserved = opened.estimate, outcome.charge
        try:
            after = await self.writer.settle(settlement, self.now())
        except StaleClaim:
            pass  # the user moved the job on while it ran; attempt and ledger are written all the same
        except NotFound as error:
            # the user deleted it from the job table: other jobs go on, and its answer is kept
            self.say(str(error))
            self.reservations.settle(attempt.id, lane.provider, *reserved, earlier=attempt.resumed)
            await to_thread.run_sync(self.release, attempt.id, False)
            return None
        except StoreError as error:
            self.halt(error)
            return None
        self.reservations.settle(attempt.id, lane.provider, *reserved, earlier=attempt.resumed)
        await to_thread.run_sync(self.release, attempt.id, isinstance(outcome, Delivered))
        _count(lane, job, event, outcome)
        self._tell(lane, opened, settlement)
        return after

    def _tell(self, lane: Lane, opened: OpenAttempt, settlement: Settlement | None) -> None:
        for listener in self.listeners:
            listener(lane, opened, settlement)

    def _withdraw_earlier(self, attempt: Attempt, outcome: Delivered) -> None:
        """Put aside what earlier forms of a job left beside its new files, under other names than theirs."""
        own = stems(attempt.output, attempt.wanted)
        for name, file in earlier(attempt, outcome.artifacts, self.reader.files_of(attempt.job_id)):

            def bare(name: str = name, path: str = file.path) -> bool:
                return name.rpartition(".")[0] in own or not self.reader.counts_on(path)

            withdraw(Path(self.folder), name, file.sha256, file.attempt_id, bare=bare)


def _count(lane: Lane, job: Job, event: Event, outcome: Outcome) -> None:
    if isinstance(outcome, Delivered):
        lane.images += len(outcome.artifacts)
        lane.done += isinstance(event, Delivery)
        stands_in = job.route is None or not job.route.any_order
        if isinstance(event, Delivery) and job.task.provider != lane.provider and stands_in:
            lane.stood_in[job.task.provider] += 1
    lane.usd += outcome.charge.usd or 0
    lane.credits += outcome.charge.credits or 0
    lane.failed += isinstance(event, Exhausted)
    lane.doubtful += isinstance(event, Unknown)


def _gone(provider: str, outcome: Outcome) -> Outcome:
    """Return *outcome* with a word about its provider, where the outcome of the call is unknown."""
    if isinstance(outcome, Delivered) or outcome.fault.cause is not Cause.UNKNOWN:
        return outcome
    message = f"{outcome.fault.message}, and {provider} is no longer in the manifest"
    return replace(outcome, fault=replace(outcome.fault, message=message))
