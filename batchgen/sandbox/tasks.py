"""Tasks: accepted at once, carried out in the background, and answered about until they are forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

from .body import fetch_source
from .cdn import FOR_GOOD
from .compose import actual_order, pictures_for
from .dialects.task import Progress, Task, TaskDialect
from .faults import Fault
from .shapes import Draft, Shape
from .state import State
from .task_memory import TaskMemory, TaskRecord
from .values import Form, Link, Order, Picture, Refusal, invalid

#: The end that a task's fault leads to, and the refusal that explains it.
_ENDS: Mapping[str, tuple[Progress, Refusal | None]] = {
    "task-fail": (Progress.FAILED, Refusal("error500")),
    "task-fail-charged": (Progress.FAILED, Refusal("error500")),
    "task-refuse": (Progress.REFUSED, Refusal("refuse")),
    "task-refuse-charged": (Progress.REFUSED, Refusal("refuse")),
    "task-cancel": (Progress.CANCELLED, None),
}
_CHARGED_ENDS = frozenset({"task-fail-charged", "task-refuse-charged"})
#: Faults that need the picture in the answer itself.
_NOT_OF_TASKS = frozenset({"text", "badbase64", "nan"})
_EXPIRED = Link(first=404, times=FOR_GOOD)


class TaskStore:
    """The tasks of a server by provider and id, and by the idempotency keys that submitted them."""

    def __init__(self, state: State) -> None:
        self._state, self.memory = state, TaskMemory(state.settings.log)
        self._records: dict[tuple[str, str], TaskRecord] = {}
        self._by_key: dict[tuple[str, str], TaskRecord] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._jobs: set[asyncio.Task[None]] = set()

    def find(self, provider: str, task_id: str) -> TaskRecord | None:
        """Return a task that its provider still knows."""
        record = self._records.get((provider, task_id))
        return None if record is None or record.task.fault("task-lose") is not None else record

    def find_by_key(self, provider: str, key: str | None) -> TaskRecord | None:
        """Return the task that an earlier submission with this idempotency key created."""
        return self._by_key.get((provider, key)) if key else None

    def turn(self, key: str | None) -> AbstractAsyncContextManager[object]:
        """Let submissions with the same idempotency key wait for each other."""
        return contextlib.nullcontext() if key is None else self._turns.setdefault(key, asyncio.Lock())

    def add(self, record: TaskRecord) -> None:
        """Make a task known."""
        provider, key = record.entry.provider, record.entry.idempotency_key
        self._records[provider, record.task.id] = record
        if key:
            self._by_key[provider, key] = record

    def start(self, dialect: TaskDialect, record: TaskRecord) -> None:
        """Carry a task out in the background, and remember its end."""

        async def carry_out() -> None:
            await read_again(self._state, dialect, record)
            end, ended = await _carry_out(self._state, dialect, record), time.time()
            await self.memory.end(record, end, ended)  # before a poll can show it
            _end(record, end, ended)

        job = asyncio.get_running_loop().create_task(carry_out())
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    def restore(self, dialects: Mapping[str, TaskDialect]) -> None:
        """Make the tasks of an earlier server known, and carry on with those that are not over."""
        for record in self.memory.restore(self._state.url):
            self.add(record)
            dialect = dialects.get(record.entry.provider)  # None: a provider that is no longer described
            if dialect is not None and not record.done.is_set():
                self.start(dialect, record)


def shape_for_task(fault: Fault | None) -> Shape:
    """Return the shape of a task's pictures; refuse one that only a synchronous answer can have."""
    shape = fault.shape if fault else None
    if fault is not None and fault.kind in _NOT_OF_TASKS:
        raise invalid(f"Bad sandbox directive: {fault.kind!r} is not a fault of tasks.", "invalid_value", "prompt")
    if fault is None or shape is None:
        return Shape("")
    answers = (shape.refusal, shape.reply, shape.text, shape.body, shape.base64_text)
    if shape.endpoint or any(part is not None for part in answers):
        raise invalid(f"Bad sandbox directive: {fault.kind!r} is not a shape of tasks.", "invalid_value", "prompt")
    return shape


async def read_again(state: State, dialect: TaskDialect, record: TaskRecord) -> None:
    """Read the body of a restored task, and draw its pictures if it is done; again if the server has dropped them."""
    async with record.turn:
        if not record.unread and not _has_lost_pictures(state, dialect, record.task):
            return
        task, loop = record.task, asyncio.get_running_loop()

        def read() -> Order:
            fetch = partial(fetch_source, own_url=state.url, results=state.results)
            return dialect.read(record.path, Form(fields=task.fields), record.headers, fetch)

        try:
            task.order = await loop.run_in_executor(state.pool, read)
            task.bill = dialect.price(task.order, task.order.n)
        except Refusal as refusal:
            task.refusal = refusal
        if task.state in {Progress.DONE, Progress.FAILED, Progress.REFUSED}:
            await _result(state, dialect, record)
        record.unread = False


def _has_lost_pictures(state: State, dialect: TaskDialect, task: Task) -> bool:
    """Return whether pictures are gone that the provider would still have: the server keeps the newest ones only."""
    if task.ended is None or time.time() > task.ended + dialect.lifetime:
        return False
    return any(state.results.get(urlsplit(picture.url or "").path) is None for picture in task.pictures)


async def _carry_out(state: State, dialect: TaskDialect, record: TaskRecord) -> Progress:
    """Wait in the queue, work, charge, and return the end of the task."""
    task = record.task
    start, end_of_work = _times(state, record)
    if await _stopped(record, start):
        return Progress.ABORTED
    task.state, task.started = Progress.RUNNING, time.time()
    if await _stopped(record, end_of_work):
        end: Progress = Progress.CANCELLED
    else:
        end = await _result(state, dialect, record)
    if end in dialect.charged or any(task.fault(kind) is not None for kind in _CHARGED_ENDS):
        await _charge(state, dialect, record)
    return end


def _times(state: State, record: TaskRecord) -> tuple[float, float]:
    """Return the times at which the work starts and ends; they do not depend on when the server runs."""
    task, order = record.task, record.task.order
    if task.fault("task-stuck") is not None:
        return math.inf, math.inf
    slow = task.fault("task-slow")
    latency = state.settings.latency
    seconds = latency.seconds_for(order, state.chance(record.entry.trace, "latency")) if order else 0.0
    if slow is not None:
        seconds = slow.amount
    return task.created + seconds / 4, task.created + seconds


async def _stopped(record: TaskRecord, until: float) -> bool:
    """Wait until a time; return whether the task was cancelled meanwhile."""
    try:
        await asyncio.wait_for(record.stop.wait(), None if until == math.inf else max(0.0, until - time.time()))
    except TimeoutError:
        return False
    return True


async def _result(state: State, dialect: TaskDialect, record: TaskRecord) -> Progress:
    """Draw the pictures, or return the end that a fault or a wrong body leads to."""
    task, fault = record.task, record.fault
    for kind, (end, refusal) in _ENDS.items():
        if task.fault(kind) is not None:
            task.refusal = refusal
            return end
    if task.order is None:
        return Progress.FAILED
    kind, shape = (fault.kind if fault else ""), shape_for_task(fault)
    if task.fault("result-expired") is not None:
        shape = replace(shape, link=lambda _: _EXPIRED)
    task.order = actual_order(task.order, kind, shape)
    if kind != "empty":
        draft = Draft(order=task.order, trace=record.entry.trace, kind=kind, amount=fault.amount if fault else 0.0)
        pictures = await pictures_for(state, dialect, record.entry, draft, shape)
        _expire_with_task(state, dialect, task, pictures)
        if task.fault("result-part-expired") is not None:
            _expire(state, pictures[-1])
        task.pictures = tuple(replace(picture, data=b"") for picture in pictures)  # the store has the data
    return Progress.DONE


def _expire_with_task(state: State, dialect: TaskDialect, task: Task, pictures: tuple[Picture, ...]) -> None:
    """Let pictures that are drawn again expire when the first ones would have expired."""
    for picture in pictures:
        stored = state.results.get(urlsplit(picture.url or "").path)
        if stored is not None and task.ended is not None:
            stored.until = task.ended + dialect.lifetime


def _expire(state: State, picture: Picture) -> None:
    stored = state.results.get(urlsplit(picture.url or "").path)
    if stored is not None:
        stored.link = _EXPIRED


async def _charge(state: State, dialect: TaskDialect, record: TaskRecord) -> None:
    """Log the charge; it is durable before any poll shows the result."""
    task, shape = record.task, shape_for_task(record.fault)
    if task.order is None or record.charged:
        return
    bill = dialect.price(task.order, task.order.n)
    if shape.bill is not None and record.fault is not None:
        bill = shape.bill(bill, record.fault.amount)
    task.bill = bill
    await state.log.write(record.entry.line("charge", bill=bill))
    state.spend(dialect.name, bill)


def _end(record: TaskRecord, end: Progress, ended: float) -> None:
    task = record.task
    task.state, task.ended = end, ended
    record.done.set()
    if task.order is not None:
        task.order = replace(task.order, sources=())  # they take much memory, and are read again if they are needed
