"""Attempts at jobs, from the reserved money to the outcome in the ledger: prepare, claim, execute, settle.

This module knows jobs, lanes, a backend and the job database; it knows neither HTTP nor SQL nor any provider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from anyio import CancelScope, to_thread

from ..budget import Budget, BudgetLimit, Budgets, Reservations
from ..errors import NotFound, StaleClaim, StoreError, UnfinishedTask, UnreadableAnswer
from ..files.output_tree import output_tree
from ..job import Attempt, Delivered, Event, Job, Outcome, Settlement
from ..learned_prices import PriceMemory
from ..manifest.filenames import stems
from ..object_url import parse_folder
from ..store import late
from ..store.reader import Reader
from ..store.records import StoredArtifact
from ..store.shared_budgets import OverBudget
from ..store.writer import Writer
from ..task import Artifact, Charge, Task, Usage
from .clearance import Clearance
from .lane import Lane
from .lease import Lease
from .retry import Policy, judge

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
    estimate: Callable[[Task], Charge]  #: what a call may cost at most
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
    prices: PriceMemory = field(default_factory=PriceMemory)  #: what calls were found to cost
    reservations: Reservations = field(init=False)
    _reported: set[str] = field(default_factory=set)
    _last: tuple[Job, str, Task, Charge] | None = None  #: the last result of ``_priced`` and what it was asked for

    def __post_init__(self) -> None:
        self.reservations = Reservations(self.wallet, self.prices)

    def why_refused(self, lane: Lane, job: Job) -> str | None:
        """Return why no budget allows one more attempt by *lane*, in words; None where all do."""
        self.reservations.renew(self.now())
        return self.reservations.why_refused(*self._priced(job, lane.provider))

    def refusing_limit(self, lane: Lane, job: Job) -> BudgetLimit | None:
        """Return the limit of money that refuses one more attempt by *lane*; None where all budgets allow it."""
        return self.reservations.refusing(*self._priced(job, lane.provider))

    def prepare(self, lane: Lane, job: Job) -> OpenAttempt:
        """Reserve the money for one attempt at *job* by *lane*."""
        task, listed = self._priced(job, lane.provider)
        attempt = self.order(job, task, self.new_id(), job.claim + 1, lane.account)
        estimate = self.reservations.reserve(attempt.id, task, listed)
        return OpenAttempt(job=job, attempt=attempt, estimate=estimate)

    async def claim(self, lane: Lane, prepared: OpenAttempt) -> OpenAttempt | None:
        """Open the attempt in the job database before a byte is sent; None if the job can no longer be claimed."""
        attempt, estimate = prepared.attempt, prepared.estimate
        if attempt.resumed:
            return prepared
        try:
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
                lane.record_outcome(opened.job, outcome, clearance.sent_at, self.spread())
            recorded = True
            self.on_outcome()
            with CancelScope(shield=True):
                return await self.settle(lane, opened, outcome)
        except UnfinishedTask as error:
            if str(error):
                self.report_once(f"waiting   {opened.job.key}: {error}")
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

    def _priced(self, job: Job, provider: str) -> tuple[Task, Charge]:
        """Return the task of one more attempt at *job* and what it may cost; a lane asks for both up to three times."""
        if self._last is None or self._last[0] is not job or self._last[1] != provider:
            task = self.task(job, provider)
            self._last = job, provider, task, self.estimate(task)
        return self._last[2:]

    def task(self, job: Job, provider: str) -> Task:
        """Return what *provider* is asked for: the images that *job* still lacks."""
        task, missing = self.translate(job.task, provider), job.wanted - job.delivered
        return task if task.n == missing else replace(task, n=missing)

    def order(self, job: Job, task: Task, attempt_id: str, claim: int, account: str | None) -> Attempt:
        """Return an attempt at *task*: the images that *job* still lacks."""
        return Attempt(
            id=attempt_id,
            job_id=job.id,
            claim=claim,
            batch=self.batch,
            key=job.key,
            task=task,
            account=account,
            fingerprint=job.fingerprint,
            folder=self.folder,
            output=job.output,
            ordinal=job.delivered,
            wanted=job.wanted,
            sidecar=job.sidecar,
        )

    async def settle(self, lane: Lane, opened: OpenAttempt, outcome: Outcome) -> Job | None:
        """Commit an outcome, and only then release the attempt."""
        job, attempt = opened.job, opened.attempt
        usage = outcome.usage or Usage()
        # Before the first await: no other call may go out once the true price shows that the budget is used up.
        self.reservations.learn(attempt.task, outcome.charge, usage.images)
        event = self._judge(lane, job, outcome)
        lane.record_rebuy(job, event)
        if isinstance(outcome, Delivered) and attempt.claim > 1:
            # Before it is settled: if this is cut off, the attempt is still open and the next run repeats it.
            await to_thread.run_sync(self._withdraw_earlier, attempt, outcome)
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
        reserved = opened.estimate, outcome.charge
        self.reservations.settle(attempt.id, lane.provider, *reserved, earlier=attempt.resumed)
        await self.backend.release(attempt, delivered=isinstance(outcome, Delivered) and not deleted)
        if not deleted:
            lane.record_settlement(job, settlement)
            self._notify(lane, opened, settlement)
        return after

    def report_once(self, text: str) -> None:
        """Show a message; the same one is shown once a run."""
        if text not in self._reported:
            self._reported.add(text)
            self.show_message(text)

    def is_superseded(self, attempt: Attempt) -> bool:
        """Return whether the names of an attempt's files are another's by now; blocks, so it belongs into a thread."""
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

    def _withdraw_earlier(self, attempt: Attempt, outcome: Delivered) -> None:
        """Move aside the files of earlier versions of a job that its new files do not replace."""
        own, tree = stems(attempt.output, attempt.wanted), output_tree(parse_folder(self.folder))
        for name, file in _superseded(attempt, outcome.artifacts, self.reader.files_of(attempt.job_id)):

            def bare(name: str = name, path: str = file.path) -> bool:
                return name.rpartition(".")[0] in own or not self.reader.counts_on(path)

            tree.withdraw(name, file.sha256, file.attempt_id, bare=bare)


def _superseded(
    attempt: Attempt, artifacts: Sequence[Artifact], known: Sequence[StoredArtifact]
) -> Iterator[tuple[str, StoredArtifact]]:
    """Yield the files of earlier versions of a job in the output folder, each with its name there.

    *artifacts* are the files just published, *known* all files of the job in the job database.
    """
    first = artifacts[0]
    # Paths are relative to the working folder, names to the output folder: one file's path and name give the prefix.
    prefix = first.path.removesuffix(attempt.file_name(first.ordinal, first.path.rpartition(".")[2]))
    current = {file.path for file in artifacts} | {file.path for file in known if file.superseded_at is None}
    for file in known:
        if file.path not in current and file.path.startswith(prefix):
            yield file.path.removeprefix(prefix), file
