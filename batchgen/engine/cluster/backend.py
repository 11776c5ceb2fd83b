"""Cluster backend: hands attempts to workers and collects their outcomes; it never sends a call twice.

Before a call may go out, the driver makes a slot for it in its own spool: without one nothing was sent, whichever
backend the next run uses. What became of a call in flight, when its worker or its driver is lost, is asked of the
workers first, then read from the marker beside the images; after its deadline it is unknown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Container, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import Any

from anyio import CancelScope, to_thread

from ...errors import StoreError, UnreadableAnswer
from ...fault import Cause, Fault
from ...files.spool import Spool
from ...job import Attempt, Missed, Outcome
from ...providers import starts_tasks
from ...providers.profile import Profile
from ...providers.validation import deadline
from ..attempts import Backend
from ..clearance import Clearance
from ..handover import WORKER, worker_of
from ..worker_state import WorkerState
from . import marker
from .call import Fenced, Hello, Result, Setup, WorkerLost
from .link import PATIENCE, Dispatch, Handle, Link
from .losses import Losses
from .search import Search, unknown_outcome

#: Seconds that a worker may need, beyond the call itself, to publish an answer.
STORE_SECONDS = 180.0
#: Seconds after which a run reports that no worker answers.
NO_WORKER = 15.0
#: Seconds for which workers are asked about a call whose driver was on another machine.
ELSEWHERE_PATIENCE = 15.0
#: Seconds after which the permits of a silent worker have certainly expired.
STALL = 10.0
#: Seconds after which a run begins with the workers that have started.
FIRST_WORKER = 10.0
#: How often a call is sent under its own key in one run, if it loses its worker each time.
KEYED_TRIES = 3


@dataclass(kw_only=True, slots=True)
class ClusterBackend:
    """The backend of a cluster; ``open`` and ``close`` it around a run."""

    local: Backend  #: finishes attempts of earlier runs on this machine
    spool: Spool
    profiles: Mapping[str, Profile]
    epoch: int
    show_message: Callable[[str], None]
    on_failure: Callable[[Exception], None]
    drain: Callable[[str], None]  #: stops the run early, in order
    capacity: int = 0  #: most calls of one worker
    clock: Callable[[], float] = time.monotonic
    losses: Losses = field(default_factory=Losses)
    links: dict[str, Link] = field(default_factory=dict)
    failed: bool = False  #: the run ends
    fenced: bool = False  #: the workers work for a later run
    _reported: bool = False  #: that no worker answers
    _inherited: Collection[str] = ()  #: names of the workers that earlier runs left
    _at: dict[str, Link] = field(default_factory=dict)  #: the last worker of each attempt that is not released
    _slots: dict[str, str] = field(default_factory=dict)  #: spool of the worker, by attempt with a slot of its own
    _markers: dict[str, str] = field(default_factory=dict)  #: folders of those that no worker removes, by attempt
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _watching: list[asyncio.Task[None]] = field(default_factory=list)
    _releasing: set[asyncio.Task[None]] = field(default_factory=set)
    _ended: dict[Link, list[tuple[str, bool]]] = field(default_factory=dict)

    def open(
        self,
        handles: Mapping[str, tuple[Handle, Setup]],
        *,
        inherited: Collection[str] = (),
        retired: Container[str] = (),
        guest_of: Container[str] = (),
    ) -> None:
        """Begin to follow the workers.

        Those that are *inherited* may have calls of earlier runs, and those that are *retired* get no others. This
        run is a *guest_of* workers of other shards, which may have a driver: it only collects from them.
        """
        self._inherited = inherited
        for name, (handle, setup) in handles.items():
            self.links[name] = link = Link(
                name=name,
                handle=handle,
                setup=setup,
                retired=name in retired or name in guest_of,
                epoch=None if name in guest_of else self.epoch,
                share=self._workers,
                prepare=self._make_slot,
                changed=self._notify,
                on_failure=self._fail,
                clock=self.clock,
            )
            self._watching.append(asyncio.create_task(link.watch()))

    async def close(self) -> None:
        """Stop following the workers, which keep what is in flight."""
        for task in (*self._watching, *self._releasing):
            if task in self._watching:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def run(self, attempt: Attempt, ready: Clearance) -> Outcome:
        """Have a worker carry *attempt* out and return its outcome; raise StoreError if the run cannot continue."""
        task = attempt.task
        if attempt.handle is not None or starts_tasks(self.profiles.get(task.provider), task.model):
            # A driver that waits needs no CPU, and its handle is in the job database.
            return await self.local.run(attempt, ready)
        call = Dispatch(attempt=attempt, clearance=ready, limit=self._limit(attempt))
        if attempt.resumed:
            return await self._resume(call)
        link = await self._free_worker(ready)
        if link is None:
            return _withdraw(ready)
        self._at[attempt.id] = link
        try:
            return self._outcome(attempt, await link.run(call))
        except WorkerLost:
            return await self._after_loss(call, link)

    async def release(self, attempt: Attempt, *, delivered: bool) -> None:
        """Forget an attempt whose outcome is booked, and have its worker forget it, soon."""
        await self.local.release(attempt, delivered=delivered)
        attempt_id = attempt.id
        self._slots.pop(attempt_id, None)
        if (folder := self._markers.pop(attempt_id, None)) is not None and delivered:
            self._start(to_thread.run_sync(marker.remove, folder, attempt_id))
        if (link := self._at.pop(attempt_id, None)) is None:
            return
        if link in self._ended:
            self._ended[link].append((attempt_id, delivered))
            return
        self._ended[link] = [(attempt_id, delivered)]
        self._start(self._release(link))

    async def tidy(self, ended: Callable[[Sequence[str]], Mapping[str, bool]]) -> None:
        """Have all workers forget the attempts that are booked, by the job database, of earlier runs too."""

        async def tidy_one(link: Link) -> None:
            with suppress(WorkerLost, StoreError, TimeoutError):  # the next run does it then
                ids = await asyncio.wait_for(link.handle.call("keeps", self.epoch), PATIENCE)
                await link.release(list((await to_thread.run_sync(ended, ids)).items()))

        own = (link for link in self.links.values() if link.ready and link.epoch is not None)
        await asyncio.gather(*map(tidy_one, own))

    def workers(self) -> list[WorkerState]:
        """Return what the workers do now; those that an earlier run left are shown until they have finished."""
        return [
            WorkerState(
                name=link.name,
                host="" if link.hello is None else link.hello.host,
                in_flight=len(link.in_flight),
                capacity=self.capacity,
                alive=link.ready,
            )
            for link in self.links.values()
            if not link.retired or link.in_flight
        ]

    async def wait_for_workers(self, seconds: float) -> int:
        """Return how many workers answer: as soon as all do, or one does for a while; none after *seconds*."""
        started, own = self.clock(), [link for link in self.links.values() if not link.retired]
        while (ready := sum(link.ready for link in own)) < len(own):
            if self.clock() - started > (FIRST_WORKER if ready else seconds) or self.failed:
                break
            await self._wait(0.5)
        return ready

    # --- one attempt ------------------------------------------------------------

    async def _free_worker(self, clearance: Clearance) -> Link | None:
        """Return the worker with the fewest calls of the lane, as each may write its share of the lane's rate only.

        Returns None if the lane lets the call go no more.
        """
        since, lane = self.clock(), clearance.lane.name
        while True:
            answering = [link for link in self.links.values() if link.ready and not link.retired]
            if answering:
                self._reported = False
                return min(answering, key=lambda link: (link.lanes[lane], len(link.in_flight)))
            if clearance.why_withheld() is not None:
                return None
            if not self._reported and self.clock() - since > NO_WORKER:
                self._reported = True
                self.show_message("waiting   no worker of the cluster answers; calls continue as soon as one does")
            await self._wait(1.0)

    async def _after_loss(self, call: Dispatch, link: Link) -> Outcome:
        attempt = call.attempt
        if call.granted_at is None:
            return _withdraw(call.clearance)
        result = await self._recover(call, link, call.granted_at)
        if result is not None and not result.is_unknown:
            return self._outcome(attempt, result)
        if (why := self.losses.record_loss(link.name, self.clock())) is not None:
            self.drain(why)
        return unknown_outcome(link.name)

    async def _resume(self, call: Dispatch) -> Outcome:
        """Settle an attempt that an earlier run left open, at the workers if it had sent it there."""
        attempt = call.attempt
        stored = await to_thread.run_sync(self.spool.find, attempt.id)
        note, now = worker_of(stored), self.clock()
        if note is not None:
            until = now + max(0.0, note["at"] + call.limit - time.time())
            search = self._search(call, note["spool"], until, owners=[note["name"]])
        elif attempt.elsewhere:
            # The slot is on the machine of the earlier driver. Its workers may have the call all the same.
            search = self._search(call, None, now + call.limit, owners=self._inherited)
            search = replace(search, soonest=now + ELSEWHERE_PATIENCE)
        else:
            return await self.local.run(attempt, call.clearance)
        call.granted_at = self.clock()
        result = await self._repeat_if_lost(call, await search.outcome())
        if result is None:
            return await self.local.run(attempt, call.clearance)
        self._at[attempt.id] = self.links.get(result.worker) or next(iter(self.links.values()))
        return self._outcome(attempt, result)

    async def _recover(self, call: Dispatch, link: Link, granted_at: float) -> Result | None:
        """Return what became of a call that was lost with its worker."""
        search = self._search(call, self._slots.get(call.attempt.id), granted_at + call.limit, owners=[link.name])
        return await self._repeat_if_lost(call, await search.outcome())

    async def _repeat_if_lost(self, call: Dispatch, result: Result | None) -> Result | None:
        """Return *result*, or that of a repeat under the call's own key if it is unknown and the provider honours keys.

        The repeat is the same purchase, as it is on one machine after a kill.
        """
        attempt = call.attempt
        if not (result is None or result.is_unknown) or not self._may_repeat(call):
            return result
        if (link := await self._free_worker(call.clearance)) is None:
            return result
        now = self.clock()
        again = Dispatch(
            # Its slot may be on another machine: that there is none on the worker's does not show that it was not sent.
            attempt=replace(attempt, resumed=True, elsewhere=True, key_valid=True),
            clearance=call.clearance,
            limit=call.limit,
            granted_at=now,
            tries=call.tries + 1,
        )
        self._at[attempt.id] = link
        try:
            return await link.run(again)
        except WorkerLost:
            return await self._recover(again, link, again.granted_at or now)

    def _may_repeat(self, call: Dispatch) -> bool:
        """Return whether the provider charges a repeat of the call under its own key only once."""
        profile = self.profiles.get(call.attempt.task.provider)
        is_keyed = profile is not None and profile.idempotency_header is not None
        return is_keyed and call.tries < KEYED_TRIES and (call.attempt.key_valid or not call.attempt.resumed)

    def _search(self, call: Dispatch, spool: str | None, until: float, owners: Collection[str]) -> Search:
        return Search(
            links=self.links,
            call=call,
            spool=spool,
            owners=owners,
            until=until,
            given_up=lambda: self.failed,
            clock=self.clock,
        )

    def _outcome(self, attempt: Attempt, result: Result) -> Outcome:
        """Return the outcome in a result; raise StoreError or UnreadableAnswer if the attempt stays open."""
        if result.unreadable is not None:
            raise UnreadableAnswer(result.unreadable)
        if result.outcome is None:
            raise StoreError(result.store_error or "a worker returned nothing")
        if not result.worker:
            self._markers[attempt.id] = attempt.folder
        self.losses.record_answer(self.clock())
        return result.outcome

    async def _make_slot(self, attempt: Attempt, hello: Hello) -> None:
        """Make the attempt's own slot: from now on its request may have been sent."""
        if attempt.id in self._slots and not attempt.resumed:
            return
        order = {each.name: getattr(attempt, each.name) for each in fields(Attempt)}
        now = time.time()
        order[WORKER] = {
            "name": hello.name, "spool": hello.spool, "at": now, "until": now + self._limit(attempt)
        }  # fmt: skip
        opening = self.spool.open_soon(attempt.id, order, 0, replace=attempt.resumed)
        with CancelScope(shield=True):
            slot = await opening
        slot.close()
        self._slots[attempt.id] = hello.spool

    def _limit(self, attempt: Attempt) -> float:
        """Return the seconds after which neither an answer nor its files can still come."""
        profile = self.profiles.get(attempt.task.provider)
        return STORE_SECONDS + (600.0 if profile is None else deadline(attempt.task, profile, attempt.mode))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do *work* soon; ``close`` waits for it."""
        task = asyncio.create_task(work)
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    async def _release(self, link: Link) -> None:
        await asyncio.sleep(0.05)  # so that many share a call
        ended = self._ended.pop(link)
        await link.release(ended)

    async def _wait(self, seconds: float) -> None:
        changed = self._changed
        with suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), seconds)

    def _workers(self) -> int:
        """Return among how many workers a rate is divided; one that is silent may come back at any moment."""
        recently = self.clock() - STALL
        return max(1, sum(not link.retired and link.answered_at > recently for link in self.links.values()))

    def _fail(self, error: Exception) -> None:
        self.failed = True
        self.fenced = self.fenced or isinstance(error, Fenced)
        self.on_failure(error)
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _withdraw(clearance: Clearance) -> Missed:
    why = clearance.why_withheld() or "its worker was lost before"
    clearance.withdraw()
    return Missed(fault=Fault(cause=Cause.UNREACHED, message=f"nothing was sent: {why}"))
