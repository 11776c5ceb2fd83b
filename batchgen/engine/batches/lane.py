"""Batch lane: the submissions of one provider, driven until all are collected, or until the run ends.

It collects first and submits next. Calls that a submission has in hand are claimed, so that no other lane sends them.
As long as the mode of the provider is ``batch``, its lanes send nothing themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import cycle

from anyio import current_time, to_thread

from ...errors import StaleClaim
from ...fault import Cause, Fault
from ...job import Job
from ...mode import Mode
from ...providers import batches_of
from ...providers.profile import Profile
from ...route import ModelFilter
from ...store.queries import Scope
from ...store.reader import Reader
from ...store.records import DueFilter
from ...store.submissions import Submission
from ...task import Kind, Task
from ..attempts import AttemptRunner
from ..lane import Closure, Lane
from . import decisions
from .building import weigh
from .grouping import Bounds, Group, Weight, drafts
from .steps import Steps

#: Jobs looked up at once.
PAGE = 2_000
#: Seconds between two looks at jobs that wait, and at the clock of the modes.
LOOK = 30.0
#: What the lanes of the provider show while its submissions are out.
WAITS = "its batch"


@dataclass(kw_only=True, slots=True)
class BatchLane:
    """The submissions of one provider."""

    provider: str
    profile: Profile
    lanes: Sequence[Lane]  #: of the provider
    batch_id: int
    attempts: AttemptRunner
    reader: Reader
    steps: Steps
    scope: Scope | None = None  #: the jobs this run may send; None: all of the batch
    chained: bool = False  #: jobs of the batch wait for others
    leaves: bool = False  #: it looks once and submits, and does not wait
    collects_only: bool = False  #: it submits nothing
    show_message: Callable[[str], None] = lambda _text: None
    on_failure: Callable[[Exception], None] = lambda _error: None
    on_sign: Callable[[float], None] = lambda _at: None  #: called when the provider has answered, on the loop's clock
    _live: dict[str, Submission] = field(default_factory=dict)
    _look_at: dict[str, datetime] = field(default_factory=dict)
    _submit_at: datetime | None = None  #: the provider takes no file before
    _failures: int = 0

    def begin(self) -> None:
        """Keep the lanes of the provider from sending what belongs in a batch; called before they start."""
        for lane in self.lanes:
            lane.batching = WAITS

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
            await self._advance_all()
            if self._batch_models():
                await self._submit_all()
            else:
                self._share()
            self.on_sign(current_time())
            if self.leaves or (seconds := await self._seconds_left()) is None:
                return
            await self._lane.wait_for_change(seconds)

    async def _advance_all(self) -> None:
        now = self.attempts.now()
        for submission in list(self._live.values()):
            if self.ending:
                return
            if now < self._look_at.get(submission.id, now) or submission.id in self.steps.stuck:
                continue
            buys = self._buys_in_batches(submission.model)
            try:
                after = await self.steps.advance(
                    submission, keep=buys or self.collects_only, may_create=buys and not self.collects_only
                )
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

    def _share(self) -> None:
        """Let the lanes send what is left once the time of batches is over, though some are still at the provider."""
        for lane in self.lanes:
            lane.batching, lane.expects = "", bool(self._live)
            lane.notify()

    def _batch_models(self) -> list[str]:
        """Return the models whose calls are submitted in batches now, by all their names."""
        bought = (each for each in self.profile.models.items() if not self.collects_only)
        return [each for name, model in bought if self._buys_in_batches(name) for each in (name, *model.aliases)]

    def _buys_in_batches(self, model: str) -> bool:
        """Return whether calls to *model* are bought in batches now."""
        sample = Task(kind=Kind.GENERATE, prompt="", provider=self.provider, model=model)
        return self.attempts.mode_of(sample) is Mode.BATCH

    # --- submissions ------------------------------------------------------------

    async def _submit_all(self) -> None:
        accounts, bounds = cycle(self._accounts()), self._bounds()
        while bounds is not None and self._may_submit():
            jobs = await self._due()
            progress = False
            for draft in drafts(self._weighed(jobs), bounds):
                if not self._may_submit():
                    return
                lane = next(accounts)
                try:
                    submission = await self.steps.build(lane, self.batch_id, draft)
                except StaleClaim:  # another run has taken it over, with its jobs
                    return
                if submission is None:  # the budget allows no call
                    self._out_of_budget(lane, draft.jobs[0])
                    return
                self._note(submission)
                progress = progress or submission.is_live
            if not progress:
                return

    def _may_submit(self) -> bool:
        now = self.attempts.now()
        lane = self._lane
        is_open = lane.closed is None and not lane.paused and not self.ending
        has_lease = lane.lease is None or bool(lane.lease.left)
        return is_open and has_lease and (self._submit_at is None or now >= self._submit_at)

    def _accounts(self) -> list[Lane]:
        """Return one lane for each account: submissions take turns among the accounts."""
        return list({lane.account: lane for lane in self.lanes}.values())

    async def _due(self) -> list[Job]:
        """Return the next jobs that are bought in batches now."""
        wanted = DueFilter(provider=self.provider, chained=self.chained)
        found = await to_thread.run_sync(self.reader.due, self.batch_id, wanted, PAGE, self.attempts.now(), self.scope)
        return [job for job in found if self.attempts.mode_of(self.attempts.task_at(job, self.provider)) is Mode.BATCH]

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
        if why is None or self._live:
            self._submit_at = self.attempts.now() + timedelta(seconds=LOOK)
            return
        for each in self.lanes:
            each.close(Closure.BUDGET, Fault(cause=Cause.MONEY, message=why), self.attempts.refusing_limit(lane, job))

    # --- the end ----------------------------------------------------------------

    async def _seconds_left(self) -> float | None:
        """Return the seconds until something is to be done; None: nothing is left to do."""
        now = self.attempts.now()
        moments = [self._look_at[name] for name in self._live if name not in self.steps.stuck]
        models = frozenset(self._batch_models())
        if models and self._lane.closed is None:
            if await self._due():
                moments.append(max(now + timedelta(seconds=LOOK), self._submit_at or now))
            wanted = DueFilter(provider=self.provider, models=ModelFilter(models, only=True), chained=self.chained)
            retry = await to_thread.run_sync(self.reader.next_retry, self.batch_id, wanted, self.scope)
            moments += [] if retry is None else [retry]
        if not moments:
            return None
        return min(max(0.05, (min(moments) - now).total_seconds()), LOOK if self._live else decisions.LATEST)

    def _hand_back(self) -> None:
        """Let the lanes send what is not bought in batches."""
        for lane in self.lanes:
            for name in self._batch_models():
                lane.models = lane.models.without(name)
            if self.collects_only:
                lane.models = ModelFilter(only=True)
            lane.batching, lane.expects = "", False
            lane.interrupt()
