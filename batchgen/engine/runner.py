"""Runner: decides which lane sends which job, and when, until no job is left.

It knows jobs, lanes and the job database; it knows neither HTTP nor SQL nor any provider.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from anyio import create_task_group, current_time, get_cancelled_exc_class, move_on_after, to_thread
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from ..errors import BatchgenError
from ..fault import Cause, Fault
from ..job import Job, State
from ..store.queries import Scope
from ..store.reader import Reader
from ..store.records import DueFilter
from .attempts import AttemptRunner, Listener, OpenAttempt
from .backlog import Backlog, are_left, look_again
from .backlogs import Backlogs
from .bug_report import as_batchgen_error
from .clearance import Clearance
from .failover import close_siblings, job_filter
from .lane import STANDBY, Closure, Lane
from .limits.windows import Window
from .recovery import OpenTask, Recovery
from .worker_state import WorkerState

#: Due jobs looked up at once: of each other provider so many, of the lane's own at least so many, and at most.
PAGE, WIDEST_PAGE = 64, 1_000
#: Seconds between two checks of a budget that is reserved by calls in flight.
BUDGET_LOOK = 0.5
#: Seconds between two checks whether a job of another provider may be failed over.
FAILOVER_LOOK = 1.0
#: Seconds for settling the attempts of a run that is cut off.
SETTLE_SECONDS = 10.0
#: Seconds after which a lane that waits for a retry looks at the clock again: a timer stands still in suspend.
CLOCK_LOOK = 30.0
#: What a lane waits for while other runners have the limits, and the seconds between two looks at an ended lease.
SHARE, LEASE_LOOK = "a share of the limits", 0.5


@dataclass(kw_only=True, slots=True)
class Runner:
    """One run of one batch: keeps every lane busy until its jobs are done."""

    batch_id: int
    lanes: Sequence[Lane]
    reader: Reader
    attempts: AttemptRunner
    scope: Scope | None = None  #: the jobs this run may send; None: all of the batch
    workers: Callable[[], Sequence[WorkerState]] = tuple  #: of a cluster; none where this process sends the calls
    on_recovered: Callable[[], Awaitable[None]] | None = None  #: called once the attempts of earlier runs are settled
    chained: bool = False  #: jobs of the batch wait for others
    companions: list[Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=list)  #: tasks beside the lanes
    draining: bool = False
    drained: str | None = None  #: what ended the run early
    failure: BatchgenError | None = field(default=None)
    last_answer_at: float | None = None  #: when the last call ended, on the loop's clock
    _backlogs: Backlogs = field(init=False)
    _in_flight: set[int] = field(default_factory=set)  #: ids of jobs that a lane has taken
    _unclaimed: int = 0  #: so many of these are still pending in the job database
    _in_flight_of: Counter[str] = field(default_factory=Counter)  #: these jobs by their own provider
    _lane_tasks: TaskGroup | None = None
    _driven: set[str] = field(default_factory=set)  #: names of the lanes that a task sends for

    def __post_init__(self) -> None:
        self._backlogs = Backlogs(self._backlog)
        self.attempts.on_failure = self.halt
        self.attempts.on_outcome = self._notify_lanes  # So that the next claim shares a commit with the settlement.

    def subscribe(self, listener: Listener) -> None:
        """Call *listener* for every attempt, when it is opened and when it is settled."""
        self.attempts.listeners.append(listener)

    async def run(self) -> None:
        """Run until no job is left that could run, or the run is drained.

        Raises BatchgenError if this machine or this program failed; the calls in flight have ended by then.
        """
        recovery = Recovery(self.attempts, self.batch_id, self.lanes)
        open_tasks = await recovery.run()
        if self.on_recovered is not None:
            await self.on_recovered()
        for lane in self.lanes:
            self._assign_backlogs(lane)
        self.subscribe(partial(look_again, self._backlogs, self.chained, self._notify_lanes))
        try:
            async with create_task_group() as self._lane_tasks:
                for task in open_tasks:
                    self._follow(task, self._lane_tasks)
                for lane in self.lanes:
                    self._lane_tasks.start_soon(self._drive, lane)
                for drive in self.companions:
                    self._lane_tasks.start_soon(drive)
            self._lane_tasks = None
        except get_cancelled_exc_class():
            # Attempts that were cut off are settled as after a crash: arrived, unsent or unknown.
            with move_on_after(SETTLE_SECONDS, shield=True):
                await recovery.run()
            raise
        if failure := self.failure or self.attempts.unreadable:
            raise failure

    def drain(self, why: str | None = None) -> None:
        """Claim and send no more jobs; calls in flight end as usual. *why* is shown at the end."""
        self.draining = True
        self.drained = self.drained or why
        for lane in self.lanes:
            lane.drain()
        self.attempts.end_waits()

    def halt(self, error: Exception) -> None:
        """Stop safely because of an error of this machine or a bug."""
        self.failure = self.failure or as_batchgen_error(error)
        self.drain()

    def configure(self, provider: str, limits: Sequence[Window], width: int, *, paused: bool) -> None:
        """Change the limits of a provider, and pause or resume it; resumed lanes that were closed open again."""
        for lane in self.lanes:
            if lane.provider != provider:
                continue
            lane.account_gate.configure(limits, width)
            lane.paused = paused
            is_closed = lane.closed is not None or bool(lane.denied)
            if is_closed and not paused and self._lane_tasks is not None and not self.draining:
                lane.reopen()
                if lane.name not in self._driven:
                    self._lane_tasks.start_soon(self._drive, lane)
            lane.interrupt()  # It may wait for a turn under the limits before.
        self._notify_lanes()

    def wants(self, lane: Lane) -> bool:
        """Return whether a lane has, or may soon have, something to send."""
        may_send = lane.closed is None and not lane.paused and not self.draining and lane.waits != STANDBY
        return lane.in_flight > 0 or (may_send and not (lane.name in self._backlogs and self._over(lane)))

    def at_work(self, besides: str) -> bool:
        """Return whether the run does anything besides the batches of one provider, or has anything else to send."""
        in_batches = any(lane.batching and lane.provider != besides for lane in self.lanes)
        return bool(self._in_flight) or in_batches or are_left(self._backlogs, self._driven)

    def only_paused(self) -> list[str]:
        """Return the paused providers if the run waits for nothing but them; else an empty list."""
        if self._in_flight or not self._backlogs or any(lane.in_flight for lane in self.lanes):
            return []
        left = [lane for lane in self.lanes if lane.closed is None and not self._over(lane)]
        others = [lane for lane in left if not lane.paused]
        # A lane on standby takes every due job at once: jobs that it has left are not for it.
        for lane in others:
            if lane.waits != STANDBY or any(backlog.more_at is not None for backlog in self._backlogs[lane.name]):
                return []
        return list(dict.fromkeys(lane.provider for lane in left if lane.paused))

    # --- what a lane does next ------------------------------------------------

    def _assign_backlogs(self, lane: Lane) -> None:
        self._backlogs.assign(lane, (each.provider for each in self.lanes), chained=self.chained)

    def _backlog(self, wanted: DueFilter) -> Backlog:
        # Jobs of other providers are looked through, often in vain, whenever a call ends: a small page suffices.
        width = max(lane.width for lane in self.lanes)
        page = PAGE if wanted.by else max(PAGE, min(2 * width, WIDEST_PAGE))

        async def lookup(which: DueFilter, now: datetime) -> list[Job]:
            many = page + self._unclaimed  # The table still has those that were taken and are not claimed yet.
            return await to_thread.run_sync(self.reader.due, self.batch_id, which, many, now, self.scope)

        async def next_retry(which: DueFilter) -> datetime | None:
            return await to_thread.run_sync(self.reader.next_retry, self.batch_id, which, self.scope)

        return Backlog(wanted=wanted, lookup=lookup, next_retry=next_retry, in_flight=self._in_flight)

    async def _drive(self, lane: Lane) -> None:
        """Keep one lane busy until its last call has ended."""
        self._driven.add(lane.name)
        async with create_task_group() as attempts:
            try:
                await self._send_all(lane, attempts)
            except Exception as error:  # noqa: BLE001 - raised here it would cut off what is in flight
                self.halt(error)
            finally:
                self._driven.discard(lane.name)  # If it is reopened, another task sends for it.

    async def _send_all(self, lane: Lane, attempts: TaskGroup) -> None:
        """Send the jobs of a lane as soon as they may go.

        Lanes share backlogs, so another lane may take a job, or find the last one, while this one waits for the job
        table. Hence every wait is for an event that was current before the lookup: a change in between ends it.
        """
        while not self.draining and lane.closed is None:
            since = lane.changed
            if lane.pause_left:
                lane.has_turn = False  # Spacing starts over after a pause.
            if lane.full:
                lane.waits = SHARE if lane.withheld else ""
                await lane.wait_for_change(None, since)
                continue
            next_job = await self._next(lane)
            if self.draining or lane.closed is not None:
                return
            if next_job is None:
                if self._over(lane):
                    self._notify_lanes()  # Another one may have seen the table being read for this one.
                    return
                lane.waits = lane.why_idle(self._backlogs[lane.name][0].retry_at)
                await lane.wait_for_change(self._until_due(lane), since)
                continue
            backlog, job = next_job
            if lane.paced and not (lane.has_turn or lane.paused or lane.full or lane.pause_left):
                lane.waits = "pace"
                await lane.wait_turn()
                continue  # Another job may be the first one now.
            seconds = self._seconds_until(lane, job)
            if seconds is None or seconds > 0:
                await lane.wait_for_change(seconds, since)
                continue
            self._send(lane, backlog, job, attempts)
            await checkpoint()  # Nothing above need wait: a wide lane would start all its calls in one turn.

    def _send(self, lane: Lane, backlog: Backlog, job: Job, attempts: TaskGroup) -> None:
        prepared = self.attempts.prepare(lane, job)
        backlog.take(job)
        self._begin(job)
        for other in self._backlogs.of_provider[job.task.provider]:
            other.forget(job.id)
        images, model = job.task.weight, prepared.attempt.task.model
        clearance = Clearance(lane=lane, model=model, images=images, let_go_at=lane.sent(images))
        attempts.start_soon(self._attempt, lane, prepared, clearance)

    def _follow(self, task: OpenTask, polls: TaskGroup) -> None:
        """Poll a remote task of an earlier run, which counts as in flight, until it ends."""
        self._begin(task.opened.job)
        sent, now = task.opened.attempt.task, task.lane.adopt()
        clearance = Clearance(lane=task.lane, model=sent.model, images=sent.weight, written_at=now)
        polls.start_soon(self._attempt, task.lane, task.opened, clearance)

    async def _next(self, lane: Lane) -> tuple[Backlog, Job] | None:
        """Return the first due job that the lane may send now: its own provider's, or one to fail over."""
        while True:
            backlogs = self._backlogs[lane.name]
            if backlogs[0].wanted.models != lane.sends:  # A model was denied, or is bought in another mode now.
                self._assign_backlogs(lane)
                continue
            firsts = await self._firsts(lane, backlogs)
            # Another lane may have taken one of these jobs while the next was looked up.
            if backlogs[0].wanted.models == lane.sends and all(backlog.holds(job) for backlog, job in firsts):
                break

        def order(first: tuple[Backlog, Job]) -> tuple[bool, int, int]:
            job = first[1]
            # Another provider's job that the budget refuses must not hold up the lane's own.
            is_refused = job.task.provider != lane.provider and self.attempts.why_refused(lane, job) is not None
            return is_refused, -job.priority, job.position

        return min(firsts, key=order, default=None)

    async def _firsts(self, lane: Lane, backlogs: Sequence[Backlog]) -> list[tuple[Backlog, Job]]:
        """Return the first job of each backlog that the lane may send; jobs paid for without an image go last."""
        firsts: list[tuple[Backlog, Job]] = []
        for tried in (lane.breaker.fruitless, frozenset[int]()):
            for backlog in backlogs:
                # A new filter for each: other lanes may go out of order while a page is looked up.
                may_send = job_filter(self.lanes, lane, tried, self.attempts.mode_at)
                job = await backlog.first(self.attempts.now(), may_send, far=lane.breaker.troubled)
                if job is not None:
                    firsts.append((backlog, job))
            if firsts or not tried:
                break
        return firsts

    def _seconds_until(self, lane: Lane, job: Job) -> float | None:
        """Return the seconds until the lane may send *job*; None: until something changes."""
        if lane.paused or lane.full:
            lane.waits = ""
            return None
        if lane.lease is not None and not lane.lease.left:
            lane.waits = "the job database"
            return LEASE_LOOK
        wait = lane.wait(job.task.weight)
        lane.waits = "pace" if wait > 0 and lane.paced else ""
        if wait > 0:
            return wait
        why = self.attempts.why_refused(lane, job)
        if why is None:
            return 0.0
        if self._in_flight or any(each.batching for each in self.lanes):
            return BUDGET_LOOK  # Calls that are not settled yet may cost less than was reserved for them.
        lane.close(Closure.BUDGET, Fault(cause=Cause.MONEY, message=why), self.attempts.refusing_limit(lane, job))
        self._notify_lanes()
        return None

    def _over(self, lane: Lane) -> bool:
        """Return whether no job is left that could ever come to this lane."""
        expects = any(each.expects for each in self.lanes) if self.chained else lane.expects
        if expects or (self.chained and self.at_work(besides=lane.provider)):
            return False
        return all(each.empty and not self._in_flight_of[each.wanted.provider] for each in self._backlogs[lane.name])

    def _until_due(self, lane: Lane) -> float | None:
        """Return the seconds until a job may be due for the lane; None: until something changes."""
        backlogs, now = self._backlogs[lane.name], self.attempts.now()
        waits = [max(0.0, (at - now).total_seconds()) + 0.001 for each in backlogs if (at := each.more_at) is not None]
        if any(backlog.has_due for backlog in backlogs):
            waits.append(FAILOVER_LOOK)
        return min([*waits, CLOCK_LOOK]) if waits else None

    async def _attempt(self, lane: Lane, prepared: OpenAttempt, clearance: Clearance) -> None:
        """Claim a job and execute it; return it to its backlogs if it is pending again."""
        job, after = prepared.job, None
        try:
            try:
                opened = await self.attempts.claim(lane, prepared)
            finally:
                self._unclaimed -= 1
            if opened is None:
                lane.withdrawn(clearance.sent_at)
            else:
                after = await self.attempts.execute(lane, opened, clearance)
        except Exception as error:  # noqa: BLE001 - raised here it would cut off what else is in flight
            self.halt(error)
        finally:
            self.last_answer_at = current_time()
            self._in_flight.discard(job.id)
            self._in_flight_of[job.task.provider] -= 1
            if after is not None and after.state is State.PENDING:
                for backlog in self._backlogs.of_provider.get(job.task.provider, ()):
                    backlog.returned(after.not_before)
            close_siblings(self.lanes, lane)
            self._notify_lanes()

    def _begin(self, job: Job) -> None:
        self._in_flight.add(job.id)
        self._unclaimed += 1
        self._in_flight_of[job.task.provider] += 1

    def _notify_lanes(self) -> None:
        for lane in self.lanes:
            if lane.full:
                continue  # It can send nothing before a call of its own account ends, which notifies it.
            lane.notify()
            if not any(backlog.has_due for backlog in self._backlogs.get(lane.name, ())):
                lane.interrupt()  # It may wait for a turn that it no longer needs.
