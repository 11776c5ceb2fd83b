"""Batch lane: the submissions of one provider, driven until all are collected, or until the run ends.

It collects first and submits next. Calls that a submission has in hand are claimed, so that no other lane sends them.
The lanes of the provider send the other calls meanwhile: those to models that have no batches, and in other modes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count

from anyio import current_time, to_thread

from ...errors import StaleClaim
from ...fault import Cause, Fault
from ...job import Job, Settlement
from ...mode import Mode
from ...providers import batches_of
from ...providers.profile import Profile
from ...route import ModelFilter
from ...store.queries import Scope
from ...store.reader import Reader
from ...store.records import DueFilter
from ...store.submissions import Submission
from ...task import Kind, Task
from ..attempts import AttemptRunner, OpenAttempt
from ..backlog import may_make_due
from ..failover import may_fail_over
from ..lane import Closure, Lane
from . import decisions
from .building import weigh
from .grouping import Bounds, Group, Weight, drafts
from .steps import Steps

#: Jobs looked up at once, to be submitted, and to find out whether there are any.
PAGE, FEW = 2_000, 64
#: Seconds between two looks at jobs that wait, and at the clock of the modes.
LOOK = 30.0
#: Seconds between two looks at what the other lanes do, for a lane that has nothing to do itself.
IDLE_LOOK = 1.0
#: Seconds between two rounds at least.
SOONEST = 0.05
#: Seconds in which jobs that wait for others are gathered after a file, rather than each sent in one of its own.
GATHER = 300.0
#: What the lanes of the provider show while its submissions are out.
WAITS = "its batch"


@dataclass(kw_only=True, slots=True)
class BatchLane:
    """The submissions of one provider."""

    provider: str
    profile: Profile
    names: Sequence[str]  #: by which jobs may name models of the provider, also jobs of other providers
    lanes: Sequence[Lane]  #: of the provider
    all_lanes: Sequence[Lane]  #: of the run
    at_work: Callable[[str], bool]  #: whether the run does anything besides the batches of a provider
    batch_id: int
    attempts: AttemptRunner
    reader: Reader
    steps: Steps
    scope: Scope | None = None  #: the jobs this run may send; None: all of the batch
    chained: bool = False  #: jobs of the batch wait for others
    leaves: bool = False  #: it does not wait for what is at the provider
    collects_only: bool = False  #: it submits nothing
    show_message: Callable[[str], None] = lambda _text: None
    on_failure: Callable[[Exception], None] = lambda _error: None
    on_sign: Callable[[float], None] = lambda _at: None  #: called when the provider has answered, on the loop's clock
    _live: dict[str, Submission] = field(default_factory=dict)
    _look_at: dict[str, datetime] = field(default_factory=dict)
    _submit_at: datetime | None = None  #: the provider takes no file before
    _turns: Iterator[int] = field(default_factory=count)  #: of the accounts
    _gather_until: datetime | None = None  #: so long jobs are gathered for the next file
    _failures: int = 0
    _has_news: bool = False  #: jobs may have become due

    def begin(self) -> None:
        """Keep the lanes of the provider from sending what belongs in a batch; called before they start."""
        self._note_models()
        for lane in self.lanes:
            lane.expects = True
        self._show(is_busy=True)

    def record(self, _lane: Lane, _opened: OpenAttempt, settlement: Settlement | None) -> None:
        """Look up due jobs again if a settlement may have made some due."""
        if may_make_due(self.chained, settlement):
            self._has_news = True
            self._lane.notify()

    async def drive(self) -> None:
        """Collect and submit until nothing is left, or the run ends; an error of this machine ends the run."""
        try:
            await self._drive()
        except Exception as error:  # noqa: BLE001 - raised here it would cut off the calls of other lanes
            self.on_failure(error)
        finally:
            self._hand_back()

    @property
    def ending(self) -> bool:
        """Return whether the run is ending."""
        return any(lane.draining for lane in self.lanes)

    @property
    def _lane(self) -> Lane:
        return self.lanes[0]

    async def _drive(self) -> None:
        self._live = {each.id: each for each in await self.steps.take_over(self.batch_id)}
        while not self.ending:
            self._has_news = False
            self._note_models()
            await self._advance_all()
            self._note_models()
            await self._submit_all()
            if self._live:
                self.on_sign(current_time())
            next_at = await self._next_at()
            self._show(is_busy=next_at is not None)
            if not await self._rest(next_at):
                return

    async def _rest(self, until: datetime | None) -> bool:
        """Wait until something is to be done, and return True; False if nothing is left that this run waits for.

        Other lanes may still make jobs due: those that use their images, and those that fail over.
        """
        end = self.attempts.now() + timedelta(seconds=LOOK)
        end = end if until is None else min(until, end)
        gathers, waits_for_others = self._gathers, self.leaves or until is None
        while not self.ending and (gathers or not self._has_news) and (seconds := self._seconds_until(end)) > 0:
            if gathers and not self._gathers:
                return True
            if waits_for_others and not self.at_work(self.provider):
                return False
            await self._lane.wait_for_change(min(seconds, IDLE_LOOK) if gathers or waits_for_others else seconds)
        return True

    @property
    def _gathers(self) -> bool:
        """Return whether jobs wait for the next file because others may soon join them there."""
        if self._gather_until is None or self.attempts.now() >= self._gather_until:
            return False
        return (bool(self._live) and not self.leaves) or self.at_work(self.provider)

    def _seconds_until(self, moment: datetime) -> float:
        return (moment - self.attempts.now()).total_seconds()

    async def _advance_all(self) -> None:
        now = self.attempts.now()
        for submission in list(self._live.values()):
            if self.ending:
                return
            if now < self._look_at.get(submission.id, now) or submission.id in self.steps.stuck:
                continue
            buys = self._buys_in_batches(submission.model)
            try:
                after = await self.steps.advance(submission, keep=buys or self.collects_only)
            except StaleClaim:  # another run has it in hand
                self._live.pop(submission.id, None)
                continue
            self._note(after)

    def _note(self, submission: Submission) -> None:
        """Keep a submission in mind while it has open calls; the fault of one that was refused may close the lane."""
        now = self.attempts.now()
        self._look_at[submission.id] = now + timedelta(seconds=decisions.look_again(submission, now))
        if submission.is_live:
            self._live[submission.id] = submission
        else:
            self._live.pop(submission.id, None)
            self._failures = 0 if submission.id not in self.steps.refused else self._failures
        if (fault := self.steps.refused.pop(submission.id, None)) is not None:
            self._refused(fault)

    def _refused(self, fault: Fault) -> None:
        why = decisions.closure_of(fault)
        if why is not None:
            for lane in self.lanes:
                lane.close(why, fault)
            return
        self._failures += 1
        seconds = decisions.pause_after(self._failures)
        self._submit_at = self.attempts.now() + timedelta(seconds=seconds)
        self.show_message(f"{self.provider} does not take a batch now ({fault.message}): next try in {seconds:.0f} s")

    def _show(self, *, is_busy: bool) -> None:
        """Let the lanes of the run know whether calls are in batches, or about to be, and this run waits for them."""
        waits = WAITS if is_busy and not self.leaves else ""
        if waits != self._lane.batching:
            for lane in self.lanes:
                lane.batching = waits
            for lane in self.all_lanes:
                lane.notify()

    def _note_models(self) -> None:
        """Let the lanes send the calls to all models but those that are bought in batches now."""
        bought = () if self.collects_only else self.names
        batched = frozenset(name for name in bought if self._buys_in_batches(name))
        if batched != self._lane.batched:
            for lane in self.lanes:
                lane.batched = batched
                lane.interrupt()  # It may wait for a turn for one of these models.

    def _buys_in_batches(self, model: str) -> bool:
        """Return whether calls to *model* are bought in batches now."""
        sample = Task(kind=Kind.GENERATE, prompt="", provider=self.provider, model=model)
        return self.attempts.mode_of(sample) is Mode.BATCH

    # --- submissions ------------------------------------------------------------

    async def _submit_all(self) -> None:
        if self._gathers or (bounds := self._bounds()) is None:
            return
        while self._may_submit() and (jobs := await self._due()) and await self._submit(jobs, bounds):
            if self.chained:
                self._gather_until = self.attempts.now() + timedelta(seconds=GATHER)
            if len(jobs) < PAGE:
                return

    async def _submit(self, jobs: Sequence[Job], bounds: Bounds) -> bool:
        """Submit *jobs*; return whether the provider takes more."""
        progress = False
        for draft in drafts(self._weighed(jobs), bounds):
            if not self._may_submit():
                return False
            accounts = self._accounts()
            lane = accounts[next(self._turns) % len(accounts)]
            try:
                submission = await self.steps.build(lane, self.batch_id, draft)
            except StaleClaim:  # another run has taken it over, with its jobs
                return False
            if submission is None:  # the budget allows no call
                self._out_of_budget(lane, draft.jobs[0])
                return False
            self._note(submission)
            progress = progress or submission.is_live
        return progress

    def _may_submit(self) -> bool:
        lease = self._lane.lease
        may_send = not self.ending and (lease is None or bool(lease.left)) and bool(self._accounts())
        return may_send and (self._submit_at is None or self.attempts.now() >= self._submit_at)

    def _accounts(self) -> list[Lane]:
        """Return one open lane for each account: submissions take turns among the accounts."""
        is_open = [lane for lane in self.lanes if lane.closed is None and not lane.paused]
        return list({lane.account: lane for lane in is_open}.values())

    async def _due(self, page: int = PAGE) -> list[Job]:
        """Return the next jobs that are bought in batches now, of the provider first."""
        found: list[Job] = []
        for wanted in self._wanted():
            args = self.batch_id, wanted, page, self.attempts.now(), self.scope
            jobs = await to_thread.run_sync(self.reader.due, *args)
            found += [job for job in jobs if self._takes(job)]
        return found

    def _takes(self, job: Job) -> bool:
        is_batched = self.attempts.mode_of(self.attempts.task_at(job, self.provider)) is Mode.BATCH
        return is_batched and (job.task.provider == self.provider or may_fail_over(self.all_lanes, self._lane, job))

    def _wanted(self) -> list[DueFilter]:
        """Return what to look for: jobs of the provider, and those of others that may be failed over to it."""
        if not (batched := self._lane.batched):
            return []
        models = ModelFilter(batched, only=True)
        own = DueFilter(provider=self.provider, models=models, chained=self.chained)
        homes = dict.fromkeys(lane.provider for lane in self.all_lanes if lane.provider != self.provider)
        return [own, *(replace(own, provider=home, by=self.provider) for home in homes)]

    def _weighed(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Group, Weight]]:
        for job in jobs:
            task = self.attempts.task_at(job, self.provider)
            name, model = self.profile.find(task.model)
            dialect = batches_of(self.profile, model)
            if dialect is not None:
                yield job, Group(task.kind, name), weigh(dialect, self.profile, model, task)

    def _bounds(self) -> Bounds | None:
        """Return the most that one file may hold, by the provider and by the settings; None: it takes no batches."""
        known = (batches_of(self.profile, model) for model in self.profile.models.values())
        dialect, own = next(filter(None, known), None), self.profile.batch
        if dialect is None:
            return None
        limits = dialect.limits
        most_bytes = limits.request_bytes if own.max_megabytes is None else int(own.max_megabytes * 1_000_000)
        return Bounds(
            lines=min(limits.lines, own.max_jobs or limits.lines),
            request_bytes=min(limits.request_bytes, most_bytes),
            images=limits.images,
        )

    def _out_of_budget(self, lane: Lane, job: Job) -> None:
        """Close the lanes if the budget refuses a call, unless calls at the provider may cost less than reserved."""
        why = self.attempts.why_refused(lane, job)
        if why is None or self._live or any(each.in_flight for each in self.all_lanes):
            self._submit_at = self.attempts.now() + timedelta(seconds=LOOK)
            return
        for each in self.lanes:
            each.close(Closure.BUDGET, Fault(cause=Cause.MONEY, message=why), self.attempts.refusing_limit(lane, job))

    # --- the end ----------------------------------------------------------------

    async def _next_at(self) -> datetime | None:
        """Return when something is to be done; None: nothing is left to do."""
        now = self.attempts.now()
        moments = [self._look_at[name] for name in self._live if name not in self.steps.stuck]
        if any(lane.closed is None for lane in self.lanes) and (wanted := self._wanted()):
            if await self._due(FEW):
                moments.append(max(now + timedelta(seconds=LOOK), self._submit_at or now))
            retry = await to_thread.run_sync(self.reader.next_retry, self.batch_id, wanted[0], self.scope)
            moments += [] if retry is None else [retry]
        return None if not moments else max(min(moments), now + timedelta(seconds=SOONEST))

    def _hand_back(self) -> None:
        """Let the lanes end once they have sent what is not bought in batches."""
        self._note_models()  # The time of batches may have ended since the last look.
        for lane in self.lanes:
            lane.expects = False
        self._show(is_busy=False)
        for lane in self.all_lanes:  # Those of other providers may wait for what was in a batch.
            lane.interrupt()
