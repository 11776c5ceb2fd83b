"""Which lane sends which job, and when: until nothing is left.

The runner knows jobs, lanes and the job table; it knows no HTTP, no SQL and no provider.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime

from anyio import create_task_group, current_time, get_cancelled_exc_class, move_on_after, to_thread
from anyio.abc import TaskGroup

from ..errors import BatchgenError
from ..fault import Cause, Fault
from ..job import Job, State
from ..store.queries import Scope
from ..store.reader import Reader
from ..store.records import AttemptRecord, DueFilter
from ..task import Task
from .attempts import AttemptRunner, OpenAttempt
from .backlog import Backlog
from .bug_report import explained
from .lane import Closure, Lane
from .limits.windows import Window

#: Due jobs looked up at once: of others this many, of its own at least.
PAGE = 64
#: Seconds between two looks at a budget that calls under way have reserved.
BUDGET_LOOK = 0.5
#: Seconds between two looks whether others' jobs are to be taken over.
TAKEOVER_LOOK = 1.0
#: Seconds for saving what had arrived when a run is cut off.
LAST_WORDS = 10.0


@dataclass(kw_only=True, slots=True)
class Runner:
    """One run of one batch."""

    batch_id: int
    lanes: Sequence[Lane]
    reader: Reader
    purchases: AttemptRunner
    scope: Scope | None = None  #: what this run may send, where not everything is selected
    recovered: Callable[[], Awaitable[None]] | None = None  #: called when what an earlier run left open is settled
    draining: bool = False
    drained: str | None = None  #: what ended the run early, in words
    failure: BatchgenError | None = field(default=None)
    heard_at: float | None = None  #: when the last call came to its end, on the loop's clock
    _backlogs: dict[str, list[Backlog]] = field(default_factory=dict)  #: by lane
    _under_way: set[int] = field(default_factory=set)
    _flying: Counter[str] = field(default_factory=Counter)  #: jobs under way, by their own provider
    _crew: TaskGroup | None = None
    _driven: set[str] = field(default_factory=set)  #: lanes that are kept busy

    async def run(self) -> None:
        """Run until no job is left that could run, or until told to drain.

        Raises BatchgenError where this machine or this program failed; by then what was in flight has ended.
        """
        self.purchases.halt = self.halt
        await self.recover()
        if self.recovered is not None:
            await self.recovered()
        self._share_out()
        try:
            async with create_task_group() as self._crew:
                for lane in self.lanes:
                    self._crew.start_soon(self._drive, lane)
            self._crew = None
        except get_cancelled_exc_class():
            # what was cut off reads as after a crash, and is told apart the same way: arrived, unsent, or in doubt
            with move_on_after(LAST_WORDS, shield=True):
                await self.recover()
            raise
        if failure := self.failure or self.purchases.unread:
            raise failure

    def drain(self, why: str | None = None) -> None:
        """Claim nothing more; what is in flight ends as it would.  *why* is told at the end."""
        self.draining = True
        self.drained = self.drained or why
        for lane in self.lanes:
            lane.wake()

    def halt(self, error: Exception) -> None:
        """Stop safely: this machine cannot keep what it buys, or this program has a bug."""
        self.failure = self.failure or explained(error)
        self.drain()

    def steer(self, provider: str, limits: Sequence[Window], width: int, *, held: bool) -> None:
        """Put other limits of a provider in force, and pause it (*held*) or let it go on: closed lanes try again."""
        for lane in self.lanes:
            if lane.provider != provider:
                continue
            lane.account_gate.configure(limits, width)
            again, lane.held = not held and (lane.closed is not None or bool(lane.denied)), held
            if again and self._crew is not None and not self.draining:
                lane.reopen()
                if lane.name not in self._driven:
                    self._crew.start_soon(self._drive, lane)
        self._stir()

    def waits_for(self) -> list[str]:
        """Return the providers whose pause is all that this run waits for; none while anything else may happen."""
        if self._under_way or not self._backlogs or any(lane.in_flight for lane in self.lanes):
            return []
        left = [lane for lane in self.lanes if lane.closed is None and not self._over(lane)]
        others = [lane for lane in left if not lane.held]
        # one that stands by takes over what is due at once: what it left, it never will
        if any(lane.waits != "stands by" or self._expects(lane) for lane in others):
            return []
        return list(dict.fromkeys(lane.provider for lane in left if lane.held))

    def _expects(self, lane: Lane) -> bool:
        return any(backlog.more_at is not None for backlog in self._backlogs[lane.name])

    async def recover(self) -> None:
        """Finish what an earlier run left open: from the spool where the answer is there, else as unknown."""
        async with create_task_group() as tasks:
            for job, record in await to_thread.run_sync(self.reader.open_attempts, self.batch_id):
                tasks.start_soon(self._finish, job, record)

    async def _finish(self, job: Job, record: AttemptRecord) -> None:
        try:
            await self.purchases.finish(self._lane_of(record), job, record)
        except Exception as error:  # noqa: BLE001 - raised here it would cut off the others
            self.halt(error)

    def _lane_of(self, record: AttemptRecord) -> Lane | None:
        """Return the lane of an attempt: one of its provider, best that of its account and its model."""
        lanes = (lane for lane in self.lanes if lane.provider == record.provider)
        return max(
            lanes, key=lambda lane: (lane.account == record.account, lane.models.matches(record.model)), default=None
        )

    # --- what a lane does next ------------------------------------------------

    def _share_out(self) -> None:
        """Give each lane the backlogs that it may take from: its provider's, and those of all others."""
        for lane in self.lanes:
            self._supply(lane)

    def _supply(self, lane: Lane) -> None:
        homes = dict.fromkeys(lane.provider for lane in self.lanes)
        own = DueFilter(provider=lane.provider, models=lane.models)
        borrowed = [replace(own, provider=other, by=lane.provider) for other in homes if other != lane.provider]
        # accounts of one provider take from the same; what no lane takes from is not kept up to date
        known = {backlog.wanted: backlog for mine in self._backlogs.values() for backlog in mine}
        self._backlogs[lane.name] = [known.get(one) or self._backlog(one) for one in (own, *borrowed)]

    def _backlog(self, wanted: DueFilter) -> Backlog:
        # others' jobs are looked through, often in vain, whenever any call ends: few at once
        page = PAGE if wanted.by else max(PAGE, 2 * max(lane.width for lane in self.lanes))

        async def lookup(which: DueFilter, now: datetime) -> list[Job]:
            # those under way that are not claimed yet come along
            many = page + len(self._under_way)
            return await to_thread.run_sync(self.reader.due, self.batch_id, which, many, now, self.scope)

        async def next_retry(which: DueFilter) -> datetime | None:
            return await to_thread.run_sync(self.reader.next_retry, self.batch_id, which, self.scope)

        return Backlog(wanted=wanted, lookup=lookup, next_retry=next_retry, under_way=self._under_way)

    async def _drive(self, lane: Lane) -> None:
        """Keep one lane busy, until its last call has ended."""
        self._driven.add(lane.name)
        try:
            async with create_task_group() as attempts:
                try:
                    await self._send_all(lane, attempts)
                except Exception as error:  # noqa: BLE001 - raised here it would cut off what is in flight
                    self.halt(error)
        finally:
            self._driven.discard(lane.name)

    async def _send_all(self, lane: Lane, attempts: TaskGroup) -> None:
        """Send what there is for a lane, as soon as it may go."""
        while not self.draining and lane.closed is None:
            since = lane.changed
            found = await self._next(lane)
            if self.draining or lane.closed is not None:
                return
            if found is None:
                if self._over(lane):
                    self._stir()  # who saw the table being read for this one looks again
                    return
                own = self._backlogs[lane.name][0]
                lane.waits = "" if lane.in_flight else "a retry" if own.retry_at else "stands by"
                await lane.rest(self._until_due(lane), since)
                continue
            backlog, job = found
            if lane.pause_left:
                lane.has_turn = False  # Spacing starts over after a pause.
            elif not (lane.has_turn or lane.held or lane.full):
                lane.waits = "pace" if lane.paced else ""
                await lane.wait_turn()
                continue  # Another job may be the first one now.
            seconds = self._seconds_until(lane, job)
            if seconds is None or seconds > 0:
                await lane.rest(seconds, since)
                continue
            prepared = self.purchases.prepare(lane, job)
            self._take(backlog, job)
            attempts.start_soon(self._attempt, lane, prepared, lane.sent(_weight(job.task)))

    async def _next(self, lane: Lane) -> tuple[Backlog, Job] | None:
        """Return the first due job that the lane may send now, of its own provider's and of those it stands in for."""
        while True:
            mine = self._backlogs[lane.name]
            if mine[0].wanted.models != lane.models:  # one was denied, or is permitted again
                self._supply(lane)
                continue
            found = await self._firsts(lane, mine)
            # another lane may have taken one while the next was looked up
            if mine[0].wanted.models == lane.models and all(backlog.holds(job) for backlog, job in found):
                break
        return min(
            found, key=lambda one: (self._too_dear(lane, one[1]), -one[1].priority, one[1].position), default=None
        )

    async def _firsts(self, lane: Lane, backlogs: Sequence[Backlog]) -> list[tuple[Backlog, Job]]:
        """Return the first job of each backlog that the lane may send; those paid for without an image go last."""
        found: list[tuple[Backlog, Job]] = []
        for tried in (lane.breaker.fruitless, frozenset[int]()):
            for backlog in backlogs:
                may = self._able(lane, tried)  # asked anew: while a page is looked up, others may go out of order
                job = await backlog.first(self.purchases.now(), may, far=lane.breaker.troubled)
                if job is not None:
                    found.append((backlog, job))
            if found or not tried:
                break
        return found

    def _too_dear(self, lane: Lane, job: Job) -> bool:
        """Return whether the lane cannot afford another's job: that must not keep it from what it can."""
        return job.task.provider != lane.provider and self.purchases.why_refused(lane, job) is not None

    def _able(self, lane: Lane, but: AbstractSet[int]) -> Callable[[Job], bool]:
        """Return what tells which jobs, *but* some, the lane may send at this moment; a page of them has few routes."""
        known: dict[tuple[int, str, str], bool] = {}

        def able(job: Job) -> bool:
            if job.id in but:
                return False
            if job.task.provider == lane.provider:
                return True
            key = (id(job.route), job.task.provider, job.task.model)
            if key not in known:
                known[key] = self._may(lane, job)
            return known[key]

        return able

    def _may(self, lane: Lane, job: Job) -> bool:
        """Return whether all that come before the lane in the route of *job* are out of order."""
        ahead = job.route.before(job.task.provider, lane.provider) if job.route else None
        return ahead is not None and all(self._out_of_order(name, job) for name in ahead)

    def _out_of_order(self, provider: str, job: Job) -> bool:
        after = job.route.failover_after if job.route else 0.0
        able = (lane for lane in self.lanes if lane.provider == provider and lane.models.matches(job.task.model))
        return all(lane.out_of_order(after) for lane in able)

    def _seconds_until(self, lane: Lane, job: Job) -> float | None:
        """Return how long *job* has to wait at its lane; None: until something changes."""
        if lane.held or lane.full:
            lane.waits = ""
            return None
        wait = lane.wait(_weight(job.task))
        lane.waits = "pace" if wait > 0 and lane.paced else ""
        if wait > 0:
            return wait
        why = self.purchases.why_refused(lane, job)
        if why is None:
            return 0.0
        if any(other.in_flight for other in self.lanes):
            # calls under way may cost less than was reserved for them
            return BUDGET_LOOK
        lane.close(Closure.BUDGET, Fault(cause=Cause.MONEY, message=why))
        self._stir()
        return None

    def _over(self, lane: Lane) -> bool:
        """Return whether no job is left that could ever come to this lane."""
        mine = self._backlogs[lane.name]
        return all(backlog.empty and not self._flying[backlog.wanted.provider] for backlog in mine)

    def _until_due(self, lane: Lane) -> float | None:
        """Return the seconds until a job may be there for the lane; None: until something changes."""
        mine, now = self._backlogs[lane.name], self.purchases.now()
        moments = [moment for backlog in mine if (moment := backlog.more_at) is not None]
        waits = [max(0.0, (moment - now).total_seconds()) + 0.001 for moment in moments]
        waits += [TAKEOVER_LOOK] if any(backlog.held for backlog in mine) else []
        return min(waits, default=None)

    # --- one attempt ----------------------------------------------------------

    def _take(self, backlog: Backlog, job: Job) -> None:
        backlog.take(job)
        self._under_way.add(job.id)
        self._flying[job.task.provider] += 1
        for other in self._of(job.task.provider):
            other.forget(job.id)

    async def _attempt(self, lane: Lane, prepared: OpenAttempt, sent_at: float) -> None:
        """Claim a job, carry it out, and put it back where it is pending again."""
        job, after = prepared.job, None
        try:
            opened = await self.purchases.claim(lane, prepared)
            if opened is None:
                lane.ended(sent_at)
            else:
                after = await self.purchases.carry_out(lane, opened, sent_at)
        except Exception as error:  # noqa: BLE001 - raised here it would cut off what else is in flight
            self.halt(error)
        finally:
            self.heard_at = current_time()
            self._under_way.discard(job.id)
            self._flying[job.task.provider] -= 1
            if after is not None and after.state is State.PENDING:
                for backlog in self._of(job.task.provider):
                    backlog.returned(after.not_before)
            self._close_alike(lane)
            self._stir()

    def _close_alike(self, lane: Lane) -> None:
        """Close the other lanes of a provider that is out of reach for good, whichever key and model it is."""
        fault = lane.fault
        if lane.closed is Closure.DOWN and fault is not None and fault.final and fault.cause is Cause.UNREACHED:
            for other in self.lanes:
                if other.provider == lane.provider:
                    other.close(lane.closed, fault)

    def _of(self, provider: str) -> list[Backlog]:
        """Return all backlogs of one provider's jobs."""
        return [backlog for mine in self._backlogs.values() for backlog in mine if backlog.wanted.provider == provider]

    def _stir(self) -> None:
        for lane in self.lanes:
            lane.stir()


def _weight(task: Task) -> int:
    """Return how many images a request counts as: source images of an edit count too (``wire.md`` 1.7)."""
    return task.n + len(task.images)
