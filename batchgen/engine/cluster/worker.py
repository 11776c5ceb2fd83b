"""Worker: carries attempts out for a driver elsewhere, with its own network, keys and spool.

Idempotent by attempt id: an order that comes again joins the call in flight, or returns its result. An answer that
arrived is never lost with this process, because the next worker on this host reads the same spool.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from uuid import uuid4

from anyio import sleep, to_thread

from ...errors import StoreError, UnreadableAnswer
from ...fault import Cause, Fault, ProviderError
from ...files.spool import Spool
from ...job import Attempt, Delivered, Outcome
from ...version import __version__
from ..executor import Executor
from . import marker
from .call import Answer, Fenced, Hello, News, Order, Permit, Question, Result, Setup, Trace

#: Seconds for which a question waits for an answer: a driver that is silent for longer may have died.
DRIVER_PATIENCE = 20.0
#: Seconds between permit and write from which on the driver counts the request again, at the later time.
LATE = 0.25
#: Seconds for which a worker tries again to publish an answer that it holds, and between its first two tries.
PUBLISH_PATIENCE, FIRST_PAUSE = 120.0, 1.0

#: A clock that continues in suspend: a permit must not outlive it.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(kw_only=True, slots=True)
class Worker:
    """The far side of a driver: runs orders, asks for permits, and keeps results until they are released."""

    setup: Setup
    build: Callable[[Setup], Awaitable[Executor]]  #: makes an executor for the providers and keys of a setup
    executor: Executor
    spool: Spool
    spool_id: str
    clock: Callable[[], float] = lambda: time.clock_gettime(_CLOCK)
    publish_patience: float = PUBLISH_PATIENCE
    incarnation: str = field(default_factory=lambda: uuid4().hex)
    epoch: int = 0
    alarm: Exception | None = None  #: why an answer could not be stored safely
    called_at: float = field(init=False)  #: when a driver called last
    _calls: dict[str, asyncio.Task[Result]] = field(default_factory=dict)
    _folders: dict[str, str] = field(default_factory=dict)  #: of the markers, by attempt
    _questions: dict[str, tuple[Question, asyncio.Future[Answer]]] = field(default_factory=dict)
    _late: list[str] = field(default_factory=list)
    _paced_until: dict[str, float] = field(default_factory=dict)  #: by lane
    _serial: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.called_at = self.clock()

    async def hello(self, epoch: int | None, setup: Setup) -> Hello:
        """Introduce this worker to the driver of *epoch*, and work with its *setup* from now on.

        A guest, which has no epoch, only collects what other drivers of the batch have left here.

        Raises Fenced if a later driver has called before, KeyMissing if the keys of the setup are not set here.
        """
        self._enter(epoch)
        if epoch is not None and setup != self.setup:  # Calls in flight end as they began.
            self.executor = await self.build(setup)
            self.setup = setup
        return Hello(
            name=self.setup.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            incarnation=self.incarnation,
            spool=self.spool_id,
            version=__version__,
        )

    async def run(self, order: Order) -> Result:
        """Carry an attempt out, once, and return its result; join the call if it is in flight already.

        Only an order whose key is valid repeats a call that has ended unknown: the provider charges it once.
        """
        self._enter(order.epoch)
        attempt = order.attempt
        if order.epoch is None:
            attempt = replace(attempt, resumed=True, key_valid=False)  # reads the spool and never sends
        call = self._calls.get(attempt.id)
        if call is None or (attempt.key_valid and call.done() and call.result().is_unknown):
            self._folders[attempt.id] = attempt.folder
            call = self._calls[attempt.id] = asyncio.create_task(self._carry_out(attempt))
        result = await asyncio.shield(call)
        if result.outcome is None:  # The answer is in the spool, from where a later order reads it again.
            self._calls.pop(attempt.id, None)
        return result

    async def news(self, epoch: int, after: int, wait: float) -> News:
        """Return the questions later than number *after* as soon as there are any, or else after *wait* seconds."""
        self._enter(epoch)
        received_at = self.clock()
        deadline = received_at + wait
        while not (questions := self._open_questions(after)) and not self._late:
            changed = self._changed
            try:
                await asyncio.wait_for(changed.wait(), max(0.0, deadline - self.clock()))
            except TimeoutError:
                break
        late, self._late = tuple(self._late), []
        return News(
            incarnation=self.incarnation,
            received_at=received_at,
            sent_at=self.clock(),
            questions=questions,
            late=late,
            in_flight=self.in_flight,
            alarm=None if self.alarm is None else f"worker {self.setup.name}: {self.alarm}",
        )

    async def answer(self, epoch: int, answers: Sequence[Answer]) -> None:
        """Take the driver's *answers* to questions; one that comes too late is ignored."""
        self._enter(epoch)
        for answer in answers:
            question, waiting = self._questions.get(answer.attempt_id, (None, None))
            if question is not None and waiting is not None and question.serial == answer.serial:
                del self._questions[answer.attempt_id]
                if not waiting.done():
                    waiting.set_result(answer)

    async def recover(self, epoch: int | None, ids: Sequence[str]) -> dict[str, Trace]:
        """Return what this worker knows of attempts: a call of its own, an answer in its spool, or nothing."""
        self._enter(epoch)
        return {id_: "here" if id_ in self._calls else "stored" if self.spool.holds(id_) else "never" for id_ in ids}

    async def keeps(self, epoch: int) -> list[str]:
        """Return the ids of all attempts whose result or answer waits here to be released."""
        self._enter(epoch)
        ended = [id_ for id_, call in self._calls.items() if call.done()]
        running = {id_ for id_, call in self._calls.items() if not call.done()}
        stored = await to_thread.run_sync(lambda: list(self.spool.leftover_ids()))
        return [*dict.fromkeys([*ended, *(id_ for id_ in stored if id_ not in running)])]

    async def release(self, epoch: int | None, ended: Sequence[tuple[str, bool]]) -> None:
        """Forget attempts whose outcomes are booked, each with whether its answer was delivered."""
        self._enter(epoch)
        folders = {attempt_id: self._folders.pop(attempt_id, None) for attempt_id, _ in ended}
        for attempt_id, _ in ended:
            self._calls.pop(attempt_id, None)

        def remove() -> None:
            for attempt_id, delivered in ended:
                if delivered and (folder := folders[attempt_id] or self._folder_in_slot(attempt_id)) is not None:
                    marker.remove(folder, attempt_id)
                self.spool.release(attempt_id, delivered=delivered)

        await to_thread.run_sync(remove)

    @property
    def in_flight(self) -> int:
        """Return how many calls have not ended."""
        return sum(not call.done() for call in self._calls.values())

    @property
    def is_abandoned(self) -> bool:
        """Return whether nothing is in flight and no driver has called for longer than the lease."""
        return not self.in_flight and self.clock() - self.called_at > self.setup.lease

    def stop_on(self, error: Exception) -> None:
        """Report to the driver that this machine could not store an answer safely: the run stops."""
        self.alarm = error
        self._notify()

    def _enter(self, epoch: int | None) -> None:
        if epoch is None:
            return  # A guest does not keep this worker alive: it takes a CPU that the guest's own workers may need.
        if epoch < self.epoch:
            raise Fenced(f"worker {self.setup.name} works for a newer run of this batch; this run stops")
        self.epoch, self.called_at = epoch, self.clock()

    def _folder_in_slot(self, attempt_id: str) -> str | None:
        """Return the output folder of an attempt that an earlier process of this worker carried out."""
        stored = self.spool.find(attempt_id)
        return None if stored is None else stored.order.get("folder")

    def _open_questions(self, after: int) -> tuple[Question, ...]:
        return tuple(question for question, _ in self._questions.values() if question.serial > after)

    async def _carry_out(self, attempt: Attempt) -> Result:
        result = Result(attempt_id=attempt.id, worker=self.setup.name)
        try:
            outcome = await self._publish(attempt, lambda: self._ready(attempt.id))
            if isinstance(outcome, Delivered):
                with suppress(StoreError, OSError):  # It is the second proof, and the answer in the spool the first.
                    await to_thread.run_sync(marker.write, attempt.folder, attempt.id, outcome)
        except UnreadableAnswer as error:
            return replace(result, unreadable=str(error))
        except (StoreError, OSError) as error:
            return replace(result, store_error=f"worker {self.setup.name}: {error}")
        return replace(result, outcome=outcome)

    async def _publish(self, attempt: Attempt, ready: Callable[[], Awaitable[None]]) -> Outcome:
        """Carry *attempt* out; an answer that cannot be published is published again, without another call."""
        started, pause = self.clock(), FIRST_PAUSE
        while True:
            try:
                return await self.executor.run(attempt, ready)
            except (StoreError, OSError):
                stored = await to_thread.run_sync(self.spool.find, attempt.id)
                if stored is None or not stored.sealed or self.clock() - started > self.publish_patience:
                    raise
            attempt = replace(attempt, resumed=True, key_valid=False)  # reads the spool and never sends
            await sleep(pause)
            pause = min(2 * pause, 30.0)

    async def _ready(self, attempt_id: str) -> None:
        """Return when the request may be written now; raise ProviderError if it must not be sent any more."""
        expired = False
        while True:
            answer = await self._ask(attempt_id, expired=expired)
            permit = answer.permit
            if permit is None:
                raise ProviderError(answer.fault or _silence())
            if (wait := self._turn(permit)) > 0:
                await sleep(wait)
            # Nothing may be awaited between this look at the clock and the write.
            if self.clock() <= permit.until:
                if self.clock() - (permit.until - permit.life) > LATE:
                    self._late.append(attempt_id)
                    self._notify()
                return
            expired = True

    async def _ask(self, attempt_id: str, *, expired: bool) -> Answer:
        self._serial += 1
        question = Question(serial=self._serial, attempt_id=attempt_id, expired=expired)
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._questions[attempt_id] = question, waiting
        self._notify()
        try:
            return await asyncio.wait_for(waiting, DRIVER_PATIENCE)
        except TimeoutError as error:
            self._questions.pop(attempt_id, None)
            raise ProviderError(_silence()) from error

    def _turn(self, permit: Permit) -> float:
        """Return the seconds until a request with this permit may be written: a stall must not end in a burst."""
        now = self.clock()
        if permit.pace is None:
            return 0.0
        at = max(now, self._paced_until.get(permit.lane, now))
        if at <= permit.until:
            self._paced_until[permit.lane] = at + 1 / permit.pace
        return min(at, permit.until + 0.001) - now

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _silence() -> Fault:
    return Fault(cause=Cause.UNREACHED, message="nothing was sent: the run did not answer its worker")
