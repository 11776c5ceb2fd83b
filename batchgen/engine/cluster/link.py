"""Link: the driver's view of one worker, with its heartbeat, its clock, and the permits that it asks for."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from anyio import sleep

from ...errors import StoreError, UsageError
from ...fault import Cause, Fault, ProviderError
from ...job import Attempt
from ..clearance import Clearance
from ..limits.gate import ceiling
from .call import Answer, Fenced, Hello, News, Order, Permit, Question, Result, Setup, Trace, WorkerLost

#: Seconds for which a permit is valid: it bounds what a worker that was stopped may still write.
PERMIT_LIFE = 1.5
#: Seconds that a worker waits for something to report, and after which, without its report, it counts as silent.
BEAT, SILENCE = 0.5, 1.5
#: Seconds for an answer about attempts of earlier runs, or that they are over.
PATIENCE = 10.0
#: Seconds between two attempts to reach a lost worker.
RETRY_PAUSE = 0.5
#: How much faster than its share of a rate a worker may write for a moment.
PACE = 1.4


class Handle(Protocol):
    """The way to one worker."""

    async def call(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 - as the worker's method returns
        """Call a method of the worker; raise WorkerLost if it is gone, or may be."""
        ...


@dataclass(kw_only=True, eq=False, slots=True)
class Dispatch:
    """One attempt at a worker."""

    attempt: Attempt
    clearance: Clearance
    limit: float  #: seconds after its permit by which it must have ended
    granted_at: float | None = None  #: when the last permit was granted; None: nothing was sent
    tries: int = 1  #: how often it has been given to a worker
    is_repeat: bool = False  #: the worker asks again although it has written the request once, under the same key
    sent_at: float = 0.0
    lost: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(kw_only=True, eq=False, slots=True)
class Link:
    """One worker: what it does now, and whether it answers."""

    name: str
    handle: Handle
    setup: Setup
    epoch: int | None  #: None: this run is a guest of a worker that is another driver's
    share: Callable[[], int]  #: among how many workers the rates are divided
    prepare: Callable[[Attempt, Hello], Awaitable[None]]  #: makes the attempt's own slot, before its first permit
    changed: Callable[[], None]  #: called when the worker answers again, or does not any more
    on_failure: Callable[[Exception], None]
    clock: Callable[[], float] = time.monotonic
    hello: Hello | None = None  #: None: it has never answered
    ready: bool = False  #: it answers
    retired: bool = False  #: it gets no new attempts
    in_flight: dict[str, Dispatch] = field(default_factory=dict)
    lanes: Counter[str] = field(default_factory=Counter)  #: calls in flight by lane: each worker may write its share
    answered_at: float = float("-inf")
    why_lost: str = ""
    _serial: int = 0
    _offsets: deque[float] = field(default_factory=lambda: deque(maxlen=60))  #: at least so far is its clock ahead
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, call: Dispatch) -> Result:
        """Have the worker carry a call out; raise WorkerLost if the worker is gone or stays silent for too long."""
        order = Order(attempt=call.attempt, epoch=self.epoch)
        call.sent_at = self.clock()
        self.in_flight[call.attempt.id] = call
        self.lanes[call.clearance.lane.name] += 1
        running = asyncio.ensure_future(self.handle.call("run", order))
        try:
            await asyncio.wait({running, call.lost}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                raise WorkerLost(f"worker {self.name} has been silent for too long")
            result: Result = running.result()
        except WorkerLost:
            self._lose()
            raise
        finally:
            running.cancel()
            self.in_flight.pop(call.attempt.id, None)
            self.lanes[call.clearance.lane.name] -= 1
        return result

    async def traces(self, ids: Sequence[str]) -> dict[str, Trace] | None:
        """Return what the worker knows of attempts; None if it does not answer."""
        if not self.ready:
            return None
        try:
            traces: dict[str, Trace] = await asyncio.wait_for(self.handle.call("recover", self.epoch, ids), PATIENCE)
        except (WorkerLost, TimeoutError):
            return None
        return traces

    async def release(self, ended: Sequence[tuple[str, bool]]) -> None:
        """Have the worker forget attempts whose outcomes are booked."""
        with suppress(WorkerLost, Fenced, TimeoutError):
            await asyncio.wait_for(self.handle.call("release", self.epoch, ended), PATIENCE)

    async def watch(self) -> None:
        """Follow the worker until cancelled: its heartbeat, its questions, its loss and its return."""
        try:
            while True:
                try:
                    await self._follow()
                except WorkerLost as error:
                    self.why_lost = str(error)
                    self._lose()
                await sleep(RETRY_PAUSE)
        except Exception as error:  # noqa: BLE001 - nothing else would give the calls of this worker permits
            self._lose()  # A newer run has taken over, a key is missing, another version; or a bug.
            if self.epoch is not None:
                self.on_failure(error)
        finally:
            for task in self._tasks:
                task.cancel()

    async def _follow(self) -> None:
        """Follow one process of the worker, until it is lost."""
        self.hello = await self._answer_of("hello", self.setup)
        if self.hello.version != self.setup.version:
            raise UsageError(
                f"worker {self.name} on {self.hello.host} runs batchgen {self.hello.version}, and this is "
                f"{self.setup.version}: install the same version on all machines of the cluster"
            )
        self._serial = 0
        self._offsets.clear()
        self._note_answer()
        while self.epoch is None:
            await sleep(BEAT)
            if (await self._answer_of("hello", self.setup)).incarnation != self.hello.incarnation:
                raise WorkerLost(f"worker {self.name} was restarted")
            self._note_answer()
        while True:
            news: News = await self._answer_of("news", self._serial, BEAT)
            if news.incarnation != self.hello.incarnation:
                raise WorkerLost(f"worker {self.name} was restarted")
            self._offsets.append(news.sent_at - self.clock())
            self._note_answer()
            if news.alarm is not None:
                self.on_failure(StoreError(f"{news.alarm}. Nothing that arrived is lost; fix its disk, then run again"))
            for attempt_id in news.late:
                if (call := self.in_flight.get(attempt_id)) is not None:
                    call.clearance.delay()
            for question in news.questions:
                self._serial = max(self._serial, question.serial)
                task = asyncio.create_task(self._decide(question, self.hello))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _answer_of(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 - see Handle
        """Return the worker's answer, however late; it counts as silent meanwhile."""
        answer = asyncio.ensure_future(self.handle.call(method, self.epoch, *arguments))
        try:
            while not answer.done():
                await asyncio.wait({answer}, timeout=BEAT + SILENCE)
                if not answer.done():
                    self._silent()
            return answer.result()
        finally:
            answer.cancel()

    async def _decide(self, question: Question, hello: Hello) -> None:
        """Answer a worker's question: with a permit as soon as the limits have room, or with a refusal."""
        call = self.in_flight.get(question.attempt_id)
        if call is None:
            return  # An attempt of an earlier run: without a permit it ends unsent.
        if not question.expired:
            call.is_repeat = call.granted_at is not None
        elif not call.is_repeat:
            call.clearance.expire()
            call.granted_at = None
        permit, fault = None, None
        try:
            await self.prepare(call.attempt, hello)
            await call.clearance.ready()
            if self.in_flight.get(question.attempt_id) is not call:
                return  # It was given up meanwhile: another worker may have it by now.
            permit = self._permit(call)
        except ProviderError as error:
            fault = error.fault
        except Exception as error:  # noqa: BLE001 - the worker must get an answer, and the run end
            fault = _own_fault(error)
            self.on_failure(error)
        answer = Answer(attempt_id=question.attempt_id, serial=question.serial, permit=permit, fault=fault)
        with suppress(WorkerLost, Fenced):
            await self.handle.call("answer", self.epoch, (answer,))

    def _permit(self, call: Dispatch) -> Permit:
        now, lane = self.clock(), call.clearance.lane
        call.granted_at = now
        rate = min((most for gate in lane.gates if (most := ceiling(gate.limits)) is not None), default=None)
        pace = None if rate is None else max(rate * PACE / self.share(), 1 / PERMIT_LIFE)
        offset = max(self._offsets, default=0.0)
        return Permit(until=now + offset + PERMIT_LIFE, life=PERMIT_LIFE, pace=pace, lane=lane.name)

    def _note_answer(self) -> None:
        self.answered_at = self.clock()
        if not self.ready:
            self.ready = True
            self.changed()

    def _silent(self) -> None:
        """Send the worker nothing more for now, and give up calls that must have ended long ago."""
        self._lose()
        now = self.clock()
        for call in self.in_flight.values():
            since = call.sent_at + 10 if call.granted_at is None else call.granted_at + call.limit
            if now > since and not call.lost.done():
                call.lost.set_result(None)

    def _lose(self) -> None:
        if self.ready:
            self.ready = False
            self.changed()


def _own_fault(error: Exception) -> Fault:
    return Fault(cause=Cause.UNREACHED, message=f"nothing was sent: {error}")
