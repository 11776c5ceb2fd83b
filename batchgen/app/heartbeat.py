"""Heartbeat of a run whose job database is on PostgreSQL: its lease, its shares of limits, and budgets of all runners.

Every few seconds the run renews its lease in the database, reports what it has used of each limit, and receives its
shares. A share that shrinks is put in force before it is reported, one that grows is stored before it is put in force.
If the lease cannot be renewed, nothing more is sent until it is; if another runner has taken the place of this one, the
run ends.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from anyio import CancelScope, CapacityLimiter, create_task_group, sleep, to_thread

from ..database_url import Database, DatabaseUrl
from ..engine.lane import Lane
from ..engine.lease import HEARTBEAT, LEASE, Lease
from ..engine.limits.gate import Gate
from ..engine.limits.shares import capacities
from ..engine.runner import Runner
from ..errors import StoreError
from ..files import lock, log
from ..planning.selection import Selection
from ..share import Share
from ..store import runners
from ..store.guest import write_as_guest
from ..store.runners import Beat, GateReport, Registration
from .clock import elapsed_seconds
from .lanes import LaneHistory, ago, sent
from .run_options import ShowMessage

#: Seconds for which one heartbeat waits for other transactions.
PATIENCE = 2.0
#: A request is written at most so many seconds after it was claimed: see ``engine.limits.wire_queue``.
LATEST_WRITE = 10.0


def new_lease() -> Lease:
    """Return a lease that has not begun, on all clocks of this machine."""
    return Lease(clocks=(time.monotonic, elapsed_seconds, time.time))


async def register(database: Database, run_id: str, batch_id: int, selection: Selection) -> Registration | None:
    """Add a run to the runners of its job database; None on SQLite, where it is the only one. Raises AlreadyRunning."""
    if not isinstance(database, DatabaseUrl):
        return None
    add = partial(
        runners.register,
        run_id=run_id,
        batch_id=batch_id,
        shard=shard_text(selection),
        host=socket.gethostname(),
        machine=lock.machine(),
        pid=os.getpid(),
        lease=LEASE,
    )
    return await to_thread.run_sync(write_as_guest, database, add)


async def leave(database: Database, run_id: str) -> None:
    """Remove a run that ends before its first heartbeat from the runners of its job database."""
    if isinstance(database, DatabaseUrl):
        await to_thread.run_sync(write_as_guest, database, partial(runners.leave, run_id=run_id))


def shard_text(selection: Selection) -> str | None:
    """Return the shard of a selection as the job database has it: "1/3"; None: all jobs."""
    return None if selection.shard is None else "{}/{}".format(*selection.shard)


@dataclass(kw_only=True, slots=True)
class Heartbeat:
    """Keeps a run among the runners of its job database."""

    database: Database
    run_id: str
    runner: Runner
    lease: Lease
    show_message: ShowMessage
    place: Registration
    others: frozenset[str] = frozenset()  #: runners that count their requests themselves
    _counted: dict[str, frozenset[str]] = field(default_factory=dict)  #: runners that are gone, by gate
    _counted_until: dict[tuple[str, str], datetime] = field(default_factory=dict)  #: by gate and runner
    _unreachable: bool = False
    #: A thread of its own: an object store that does not answer may hold all others for minutes.
    _thread: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))

    def __post_init__(self) -> None:
        self.runner.attempts.lease = self.lease
        for lane in self.runner.lanes:
            lane.lease = self.lease
            for gate in lane.gates:
                gate.share({})
        self._counted = dict.fromkeys(self._gates(), self.place.gone)

    @classmethod
    def of(cls, database: Database, runner: Runner, place: Registration, show_message: ShowMessage) -> Heartbeat:
        """Return the heartbeat of a run that was registered."""
        run_id = runner.attempts.run_id
        return cls(
            database=database, run_id=run_id, runner=runner, lease=new_lease(), show_message=show_message,
            place=place,
        )  # fmt: skip

    @asynccontextmanager
    async def around(self, display: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
        """Keep the place while *display* lasts, and give it up at its end."""
        await self._beat()
        try:
            async with create_task_group() as tasks:
                tasks.start_soon(self._beat_regularly)
                tasks.start_soon(self._count_others)
                async with display:
                    yield
                tasks.cancel_scope.cancel()
        finally:
            with CancelScope(shield=True), suppress(StoreError):
                await to_thread.run_sync(self._write, partial(runners.leave, run_id=self.run_id), limiter=self._thread)

    async def _beat_regularly(self) -> None:
        while not self.lease.ended:
            await sleep(HEARTBEAT)
            await self._beat()

    async def _count_others(self) -> None:
        """Count what other runners spend, so that lanes stop before a claim is refused."""
        while self.runner.attempts.shared and not self.lease.ended:
            await sleep(HEARTBEAT)
            if self.others:
                with suppress(StoreError):  # The next claim reports it.
                    await self.runner.attempts.count_others()

    async def _beat(self) -> None:
        """Renew the lease once, and put the new shares in force."""
        asked_at = self.lease.moment()
        gates = self._gates()
        reports = {name: self._report(gate, lanes) for name, (gate, lanes) in gates.items()}
        beat = partial(runners.beat, run_id=self.run_id, gates=reports, counted=dict(self._counted), lease=LEASE)
        try:
            answer: Beat | None = await to_thread.run_sync(self._write, beat, limiter=self._thread)
            self._unreachable = False
        except StoreError as error:
            if not self._unreachable:
                log.event("lease_not_renewed", run=self.run_id, message=str(error))
                self.show_message(f"{error} Until it answers again, no more calls are sent")
            self._unreachable = True
            return
        if answer is None:
            self._give_up()
            return
        changed = [gates[name][0].share(granted) for name, granted in answer.granted.items()]
        self.others, self.runner.attempts.neighbours = answer.others, answer.neighbours
        was_over = not self.lease.left
        self.lease.renew(asked_at)
        if any(changed) or was_over:
            for lane in self.runner.lanes:
                lane.interrupt()
        for name, gone in answer.gone.items():
            with suppress(StoreError):  # The next heartbeat tries again.
                if gone - self._counted.get(name, frozenset()):
                    await self._count(name, *gates[name])
                self._counted[name] = gone

    def _give_up(self) -> None:
        self.lease.end()
        text = "another run has taken over the jobs of this one, which could not renew its lease in time"
        log.event("lease_lost", run=self.run_id, message=text)
        self.runner.drain(text)

    def _write(self, change: partial[Beat | None] | partial[None]) -> Beat | None:
        return write_as_guest(self.database, change, patience=PATIENCE)

    def _gates(self) -> dict[str, tuple[Gate, list[Lane]]]:
        """Return every gate by its name, with the lanes that pass it."""
        gates: dict[str, tuple[Gate, list[Lane]]] = {}
        for lane in self.runner.lanes:
            account = f"{lane.provider}@{lane.account or ''}"
            gates.setdefault(account, (lane.account_gate, []))[1].append(lane)
            if lane.model_gate is not None:
                gates.setdefault(f"{lane.name}/", (lane.model_gate, []))[1].append(lane)
        return gates

    def _report(self, gate: Gate, lanes: list[Lane]) -> GateReport:
        wanted = any(self.runner.wants(lane) for lane in lanes)
        share = Share(granted=gate.granted or {}, used=gate.used(), wanted=wanted, heaviest=gate.heaviest)
        return GateReport(capacity=capacities(gate.limits, gate.width), share=share)

    async def _count(self, name: str, gate: Gate, lanes: list[Lane]) -> None:
        """Count the requests of runners without a lease as this run's own, so that their shares can be used.

        That includes those which such a runner had counted as its own.
        """
        if not gate.windows.memory:
            return
        lane, now = lanes[0], self.runner.attempts.now()
        history = LaneHistory(table=self.database, lessons={}, now=now, others={*self.others, self.run_id})
        calls = await to_thread.run_sync(sent, lane.provider, lane.account, gate.windows.memory, history)
        calls = [call for call in calls if call.at >= self._uncounted_since(name, call.run_id)]
        if gate is not lane.account_gate:
            calls = [call for call in calls if any(each.models.matches(call.model) for each in lanes)]
        self._counted_until |= dict.fromkeys(((name, call.run_id) for call in calls), now)
        gate.seed(ago(calls, now), late=LATEST_WRITE)

    def _uncounted_since(self, gate: str, run_id: str) -> datetime:
        """Return since when requests of another run are not counted yet."""
        # Those of a run that was gone when this one began were counted then.
        first = datetime.min.replace(tzinfo=UTC) if run_id in self.place.others else self.place.now
        return self._counted_until.get((gate, run_id), first)
