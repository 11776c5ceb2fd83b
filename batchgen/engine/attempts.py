"""Attempts at jobs, from the reserved money to the outcome in the ledger: prepare, claim, execute, settle.

This module knows jobs, lanes, a backend and the job database; it knows neither HTTP nor SQL nor any provider.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from anyio import CancelScope, to_thread

from ..budget import Budget, BudgetLimit, Budgets, Reservations
from ..errors import NotFound, StaleClaim, StoreError, UnfinishedTask, UnreadableAnswer
from ..fault import Cause
from ..job import Attempt, Delivered, Event, Job, Outcome, Settlement, State
from ..learned_prices import PriceMemory
from ..mode import Mode
from ..store import late
from ..store.reader import Reader
from ..store.records import AttemptRecord
from ..store.shared_budgets import OverBudget
from ..store.writer import Writer
from ..task import Basis, Charge, Task, Usage
from .clearance import Clearance
from .lane import Lane
from .lease import Lease
from .limits.gate import Gate
from .parents import without_parents
from .retry import Policy, judge
from .withdrawal import withdraw_earlier

#: How long providers that honour idempotency keys remember them, at least (24 hours are usual).
KEY_LIFE = timedelta(hours=23)

#: Called for every attempt: with None when it is opened, with its settlement when it ends.
Listener = Callable[[Lane, "OpenAttempt", Settlement | None], None]


class Backend(Protocol):
    """Carries attempts out, here or elsewhere; idempotent by attempt id, and never repeats a paid call by itself."""

    async def run(self, attempt: Attempt, ready: Clearance) -> Outcome:
        """Carry *attempt* out and return its outcome; raise StoreError if the place itself fails (disk full, ...)."""
        ...

    async def release(self, attempt: Attempt, *, delivered: bool) -> None:
        """Forget *attempt*, whose outcome is committed; *delivered*: nothing of its answer is needed any more."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenAttempt:
    """An attempt at a job, and the money reserved for it."""

    job: Job
    attempt: Attempt
    estimate: Charge


class _Quote(NamedTuple):
    """What an attempt would be, before it is made."""

    task: Task  #: in the terms of its provider
    estimate: Charge  #: what it may cost, by the list of prices
    mode: Mode


@dataclass(kw_only=True, slots=True)
class AttemptRunner:
    """Opens, executes and settles the attempts of one run; time, ids and chance are passed in as functions."""

    batch: str
    folder: str  #: absolute output folder, or a place in an object store
    run_id: str
    reader: Reader
    writer: Writer
    backend: Backend = field(init=False)  #: set before the first attempt
    wallet: Budgets
    spool: str | None = None  #: where this run keeps its answers; None: the one place of the job database
    shard: tuple[int, int] | None = None  #: whose open attempts it settles, where runners share a job database
    lease: Lease | None = None  #: how long no other runner takes its jobs, where runners share a job database
    neighbours: Sequence[str] = ()  #: other runners of the job database, for display
    shared: Sequence[Budget] = ()  #: those of *wallet* that other runners spend from, too
    estimate: Callable[[Task, Mode], Charge]  #: what a call may cost at most
    mode_of: Callable[[Task], Mode] = lambda _task: Mode.STANDARD  #: how a call is bought now
    translate: Callable[[Task, str], Task]  #: a task in the terms of another provider
    policy: Policy = field(default_factory=Policy)  #: for a provider that is no longer in the manifest
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    spread: Callable[[], float]  #: chance in [0, 1)
    listeners: list[Listener] = field(default_factory=list)
    on_failure: Callable[[Exception], None] = lambda _error: None  #: called if this machine cannot continue
    on_outcome: Callable[[], None] = lambda: None  #: called as soon as a lane has room again, before the settlement
    show_message: Callable[[str], None] = lambda _text: None
    end_waits: Callable[[], None] = lambda: None  #: leaves remote tasks to the next run
    unreadable: UnreadableAnswer | None = None  #: the first answer that only a later version can read
    with_images: Callable[[Attempt], Awaitable[Attempt]] = without_parents  #: places images of other jobs
    prices: PriceMemory = field(default_factory=PriceMemory)  #: what calls were found to cost
    reservations: Reservations = field(init=False)
    left_behind: dict[str, str] = field(default_factory=dict)  #: why tasks stay at the provider, with an example each
    _last: tuple[Job, str, _Quote] | None = None  #: the last quote, with its job and provider

    def __post_init__(self) -> None:
        self.reservations = Reservations(self.wallet, self.prices)

    def why_refused(self, lane: Lane, job: Job) -> str | None:
        """Return why no budget allows one more attempt by *lane*, in words; None where all do."""
        self.reservations.renew(self.now())
        return self.reservations.why_refused(*self._quote(job, lane.provider))

    def refusing_limit(self, lane: Lane, job: Job) -> BudgetLimit | None:
        """Return the limit of money that refuses one more attempt by *lane*; None where all budgets allow it."""
        return self.reservations.refusing(*self._quote(job, lane.provider))

    def mode_at(self, lane: Lane, job: Job) -> Mode:
        """Return the mode in which *lane* would buy *job* now."""
        return self._quote(job, lane.provider).mode

    def prepare(self, lane: Lane, job: Job) -> OpenAttempt:
        """Reserve the money for one attempt at *job* by *lane*."""
        task, listed, mode = self._quote(job, lane.provider)
        attempt = self._order(job, task, self.new_id(), job.claim + 1, lane.account, mode)
        estimate = self.reservations.reserve(attempt.id, task, listed, mode)
        return OpenAttempt(job=job, attempt=attempt, estimate=estimate)

    async def claim(self, lane: Lane, prepared: OpenAttempt) -> OpenAttempt | None:
        """Open the attempt in the job database before a byte is sent; None if the job can no longer be claimed."""
        attempt, estimate = prepared.attempt, prepared.estimate
        if attempt.resumed:  # an earlier run opened it
            return prepared
        try:
            attempt = await self.with_images(attempt)
            # A claim that is cut off here would leave an open attempt that is never carried out.
            with CancelScope(shield=True):
                amounts = estimate.usd, estimate.credits
                claimed = await self.writer.claim(prepared.job, attempt, self.run_id, *amounts, self.now())
        except (StaleClaim, OverBudget) as refusal:
            nothing = Charge(usd=0, credits=0, basis=estimate.basis)
            self.reservations.settle(attempt.id, lane.provider, estimate, nothing)
            if isinstance(refusal, OverBudget):
                await self.count_others()
            return None
        except StoreError as error:
            self.on_failure(error)
            return None
        self.reservations.opened(attempt.id, estimate)
        opened = OpenAttempt(job=claimed, attempt=attempt, estimate=estimate)
        self._notify(lane, opened, None)
        return opened

    async def count_others(self) -> None:
        """Count what other runners have spent and reserved in the budgets that this run shares with them."""
        for budget, sums in zip(self.shared, await self.writer.spending(self.now()), strict=True):
            budget.replace_sums(sums.usd, sums.credits, self.reservations.pending())

    async def execute(self, lane: Lane, opened: OpenAttempt, clearance: Clearance) -> Job | None:
        """Carry a claimed job to its next state and return it; None if the attempt stays open."""
        recorded = False
        try:
            outcome = await self.backend.run(opened.attempt, clearance)
            if clearance.unsent:
                lane.withdrawn(clearance.sent_at)
            else:
                at, mode = clearance.sent_at, opened.attempt.mode
                lane.record_outcome(opened.job, outcome, at, self.spread(), mode)
            recorded = True
            self.on_outcome()
            with CancelScope(shield=True):
                return await self._settle(lane, opened, outcome)
        except UnfinishedTask as error:
            if str(error):
                self.report_once(str(error), opened.job.key)
        except UnreadableAnswer as error:
            # Other jobs continue; this attempt stays open until a later version can read its answer.
            self.unreadable = self.unreadable or error
            lane.record_unreadable(opened.job, clearance.sent_at, str(error))
            recorded = True
        except (StoreError, OSError) as error:
            # The attempt stays open and its answer in the spool: the next run finishes it.
            self.on_failure(error)
        finally:
            self.reservations.answer_read(opened.attempt.id)
            if not recorded:
                lane.ended(clearance.sent_at)
        return None

    async def resume(self, lane: Lane | None, job: Job, record: AttemptRecord, known: Outcome | None = None) -> None:
        """Settle an attempt that an earlier run left open: from the spool, or else as unknown.

        *known*: its outcome, where that is known without its answer.
        """
        opened, own_lane = self.reopen(lane, job, record)
        opened = replace(opened, attempt=await self.with_images(opened.attempt))
        task = opened.attempt.task
        clearance = Clearance(lane=own_lane, model=task.model, images=task.weight)
        try:
            outcome = known or await self.backend.run(opened.attempt, clearance)
            shown = _without_provider(record.provider, outcome) if lane is None else outcome
            await self._settle(own_lane, opened, shown)
        except UnfinishedTask:
            pass  # It is polled in its lane.
        except UnreadableAnswer as error:
            self.unreadable = self.unreadable or error
            own_lane.record_unreadable(job, None, str(error))
        except (StoreError, OSError) as error:
            self.on_failure(error)

    def reopen(self, lane: Lane | None, job: Job, record: AttemptRecord) -> tuple[OpenAttempt, Lane]:
        """Return an attempt that was left open, and its lane: *lane*, or else one that sends nothing."""
        reserved = Charge(usd=record.estimate_usd, credits=record.estimate_credits, basis=Basis.ESTIMATED)
        own_lane = lane or Lane(
            provider=record.provider, policy=self.policy, account_gate=Gate(), account=record.account
        )
        task = self.task_at(job, record.provider) if lane else self._task_of(job, record)
        fresh = self.now() - record.started_at < KEY_LIFE
        # An idempotency key is known to its account only, and a lane that does not take the model cannot send it.
        same = own_lane.account == record.account and own_lane.models.matches(record.model)
        order = self._order(job, task, record.id, record.claim, own_lane.account)
        # The answers of a submission are read from its files, which every machine can download.
        elsewhere = record.submission_id is None and record.spool not in (None, self.spool)
        attempt = replace(
            order,
            resumed=True,
            elsewhere=elsewhere,
            key_valid=fresh and same,
            mode=record.mode,
            handle=record.handle,
            age=max(0.0, (self.now() - record.started_at).total_seconds()),
            given_up=job.state is State.CANCELLED,
            submission=record.submission_id,
        )
        return OpenAttempt(job=job, attempt=attempt, estimate=reserved), own_lane

    def _quote(self, job: Job, provider: str) -> _Quote:
        """Return what one more attempt at *job* would be; a lane asks repeatedly, and the mode may change meanwhile."""
        if self._last is not None:
            last_job, last_provider, quote = self._last
            if last_job is job and last_provider == provider and quote.mode is self.mode_of(quote.task):
                return quote
        task = self.task_at(job, provider)
        mode = self.mode_of(task)
        quote = _Quote(task, self.estimate(task, mode), mode)
        self._last = job, provider, quote
        return quote

    def task_at(self, job: Job, provider: str) -> Task:
        """Return the task of one more attempt at *job*, in the terms of *provider*."""
        task, missing = self.translate(job.task, provider), job.wanted - job.delivered
        return task if task.n == missing else replace(task, n=missing)

    def _task_of(self, job: Job, record: AttemptRecord) -> Task:
        """Return the task of a call to a provider that is no longer in the manifest."""
        return replace(job.task, provider=record.provider, model=record.model, n=job.wanted - job.delivered)

    def _order(  # noqa: PLR0917 - what identifies an attempt
        self, job: Job, task: Task, attempt_id: str, claim: int, account: str | None, mode: Mode = Mode.STANDARD
    ) -> Attempt:
        """Return an attempt at *task*: the images that *job* still lacks."""
        return Attempt(
            id=attempt_id, job_id=job.id, claim=claim, batch=self.batch, key=job.key, task=task, account=account,
            fingerprint=job.fingerprint, folder=self.folder, output=job.output, ordinal=job.delivered,
            wanted=job.wanted, sidecar=job.sidecar, mode=mode,
        )  # fmt: skip

    async def _settle(self, lane: Lane, opened: OpenAttempt, outcome: Outcome) -> Job | None:
        """Commit an outcome, and only then release the attempt."""
        job, attempt = opened.job, opened.attempt
        usage = outcome.usage or Usage()
        # Before the first await: no other call may go out once the true price shows that the budget is used up.
        self.reservations.learn(attempt.task, outcome.charge, usage.images, attempt.mode)
        event = self._judge(lane, job, outcome)
        lane.record_rebuy(job, event)
        if isinstance(outcome, Delivered) and attempt.claim > 1:
            # Before it is settled: if this is cut off, the attempt is still open and the next run repeats it.
            await to_thread.run_sync(withdraw_earlier, self.reader, attempt, outcome)
        settlement = Settlement(
            attempt=attempt,
            event=event,
            charge=outcome.charge,
            reserved=self.reservations.reserved(attempt.id, opened.estimate),
            usage=usage,
            request_id=outcome.request_id,
        )
        after, deleted = None, False
        try:
            after = await self.writer.settle(settlement, self.now())
        except StaleClaim:
            pass  # The user changed the job's state while it ran; attempt and ledger are written all the same.
        except NotFound as error:
            # The user deleted the job from the job database: other jobs continue, and its answer is kept.
            self.show_message(str(error))
            deleted = True
        except StoreError as error:
            self.on_failure(error)
            return None
        reserved, earlier = (opened.estimate, outcome.charge), attempt.resumed and attempt.id not in self.reservations
        self.reservations.settle(attempt.id, lane.provider, *reserved, earlier=earlier)
        await self.backend.release(attempt, delivered=isinstance(outcome, Delivered) and not deleted)
        if after is not None and after.state is State.PENDING and after.task != job.task:
            settlement = replace(settlement, revised=True)
        if not deleted:
            lane.record_settlement(job, settlement)
            self._notify(lane, opened, settlement)
        return after

    def report_once(self, why: str, key: str) -> None:
        """Show why remote tasks are left at the provider; a reason is shown once a run, with the first job."""
        if why not in self.left_behind:
            self.left_behind[why] = key
            self.show_message(f"waiting   {why} (such as job {key})")

    def is_superseded(self, attempt: Attempt) -> bool:
        """Return whether the names of an attempt's files are another's by now; blocks, so it belongs in a thread."""
        if self.lease is None or self.lease.left:
            return False
        try:
            return self.reader.ask(lambda connection: late.is_superseded(connection, attempt))
        except StoreError:
            return False

    def _judge(self, lane: Lane, job: Job, outcome: Outcome) -> Event:
        """Return the event that an outcome means for the job, as the state of the lane is."""
        return judge(
            job,
            outcome,
            lane.policy,
            self.now(),
            self.spread(),
            may_rebuy=lane.may_rebuy,
            troubled=lane.breaker.troubled,
            alone=lane.breaker.alone(job.id),
        )

    def _notify(self, lane: Lane, opened: OpenAttempt, settlement: Settlement | None) -> None:
        for listener in self.listeners:
            listener(lane, opened, settlement)


def _without_provider(provider: str, outcome: Outcome) -> Outcome:
    """Return *outcome*; if it is unknown, its message says that the provider is no longer in the manifest."""
    if isinstance(outcome, Delivered) or outcome.fault.cause is not Cause.UNKNOWN:
        return outcome
    message = f"{outcome.fault.message}, and {provider} is no longer in the manifest"
    return replace(outcome, fault=replace(outcome.fault, message=message))
