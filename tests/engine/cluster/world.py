"""Workers of a cluster in this process, on a real sandbox: what Ray does between them and the driver is a call."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchgen.app.cluster_worker import open_worker
from batchgen.engine.clearance import Clearance
from batchgen.engine.cluster.backend import ClusterBackend
from batchgen.engine.cluster.call import Answer, Order, Permit, Question, Setup, WorkerLost
from batchgen.engine.cluster.worker import Worker
from batchgen.engine.lane import Lane
from batchgen.engine.limits.gate import Gate, windows
from batchgen.engine.retry import Policy
from batchgen.files.spool import Spool
from batchgen.job import Attempt, Missed, Outcome
from batchgen.providers.presets import profile
from batchgen.sandbox.launch import Sandbox
from batchgen.sandbox.log import read_log
from batchgen.task import Kind, Task
from batchgen.version import __version__
from tests.timing import patience


@dataclass(kw_only=True)
class World:
    """A folder of results, workers with their own folder, and the log of what they sent."""

    sandbox: Sandbox
    folder: Path
    number: int = 0
    key_header: str | None = None  #: of a provider that honours idempotency keys

    def setup(self, name: str = "w-0") -> Setup:
        settings = {"base_url": self.sandbox.base_url("openai"), "idempotency_header": self.key_header}
        profiles = {"openai": profile("openai", settings)}
        accounts = {"openai": (None,)}
        return Setup(
            name=name, batch="b", root=str(self.folder), profiles=profiles, accounts=accounts, sandbox=True,
            version=__version__, lease=600,
        )  # fmt: skip

    async def worker(self, name: str = "w-0", host: str = "host") -> Worker:
        return await open_worker(self.setup(name), folder=self.folder / host)

    def attempt(self, prompt: str = "a cat") -> Attempt:
        self.number += 1
        task = Task(
            kind=Kind.GENERATE, prompt=f"{prompt} in {self.folder}", provider="openai", model="gpt-image-2", n=1
        )
        id_ = hashlib.sha256(f"{task.prompt} {self.number}".encode()).hexdigest()[:32]
        return Attempt(
            id=id_, job_id=self.number, claim=1, batch="b", key=f"j{self.number}", task=task,
            fingerprint="1:0", folder=str(self.folder / "output"), output=f"j{self.number}",
        )  # fmt: skip

    def events(self, event: str) -> int:
        lines = read_log(self.sandbox.log)
        own = {line["serial"] for line in lines if line["event"] == "arrival" and str(self.folder) in line["prompt"]}
        return sum(line["event"] == event and line["serial"] in own for line in lines)

    @property
    def arrivals(self) -> int:
        return self.events("arrival")

    @property
    def charges(self) -> int:
        return self.events("charge")


@dataclass(kw_only=True)
class Direct:
    """A handle to a worker in this process, which can die, be stopped, and come back."""

    world: World
    name: str
    host: str = "host"
    worker: Worker | None = None
    stopped: asyncio.Event | None = None
    _running: set[asyncio.Task[Any]] = field(default_factory=set)

    async def call(self, method: str, *arguments: object) -> Any:
        if self.stopped is not None:
            await self.stopped.wait()
        if self.worker is None:
            raise WorkerLost(f"{self.name} is dead")
        task = asyncio.ensure_future(getattr(self.worker, method)(*arguments))
        self._running.add(task)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            raise WorkerLost(f"{self.name} died") from None
        finally:
            self._running.discard(task)

    async def die(self) -> None:
        worker, self.worker = self.worker, None
        assert worker is not None
        for task in (*worker._calls.values(), *self._running):
            task.cancel()
        await asyncio.sleep(0)

    async def restart(self) -> None:
        self.worker = await self.world.worker(self.name, self.host)


class Elsewhere:
    """The local backend of a driver: it only counts what is left to it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.released: list[tuple[str, bool]] = []

    async def run(self, attempt: Attempt, ready: object) -> Outcome:
        del ready
        self.asked.append(attempt.id)
        from batchgen.engine.exchange import lost_call, stored_reply

        try:
            stored_reply(None)
        except Exception as error:  # noqa: BLE001 - it is the fault that is asked for
            return Missed(fault=error.fault)  # type: ignore[attr-defined]
        raise lost_call()

    async def release(self, attempt: Attempt, *, delivered: bool) -> None:
        self.released.append((attempt.id, delivered))


@dataclass(kw_only=True)
class Driver:
    """A driver with its own spool and the backend under test."""

    backend: ClusterBackend
    local: Elsewhere
    failures: list[Exception]
    stops: list[str]
    messages: list[str]
    lane: Lane

    def run(self, attempt: Attempt, lane: Lane | None = None) -> asyncio.Task[Outcome]:
        lane = lane or self.lane
        let_go_at = None if attempt.resumed else lane.sent(1)
        clearance = Clearance(lane=lane, model="gpt-image-2", images=1, let_go_at=let_go_at)
        return asyncio.ensure_future(self.backend.run(attempt, clearance))


@asynccontextmanager
async def driver(
    world: World,
    *handles: Direct,
    epoch: int = 1,
    inherited: Sequence[str] = (),
    guest_of: Sequence[str] = (),
    **limits: float,
) -> AsyncIterator[Driver]:
    failures: list[Exception] = []
    stops: list[str] = []
    messages: list[str] = []
    local = Elsewhere()
    backend = ClusterBackend(
        local=local,
        spool=Spool(world.folder / "driver"),
        profiles=world.setup().profiles,
        epoch=epoch,
        show_message=messages.append,
        on_failure=failures.append,
        drain=stops.append,
    )
    gate = Gate(limits=windows(**limits), width=500)  # type: ignore[arg-type]
    lane = Lane(provider="openai", policy=Policy(), account_gate=gate)
    workers = {handle.name: (handle, world.setup(handle.name)) for handle in handles}
    backend.open(workers, inherited=inherited, guest_of=guest_of)
    await backend.wait_for_workers(patience(20))
    try:
        yield Driver(backend=backend, local=local, failures=failures, stops=stops, messages=messages, lane=lane)
    finally:
        await backend.close()


async def grant(worker: Worker, epoch: int = 1, after: int = 0, life: float = 60) -> Question:
    """Answer the next question of a worker with a permit; return the question."""
    while not (questions := (await worker.news(epoch, after, 5)).questions):
        pass
    permit = Permit(until=worker.clock() + life, life=max(life, 60))
    answers = [Answer(attempt_id=q.attempt_id, serial=q.serial, permit=permit) for q in questions]
    await worker.answer(epoch, answers)
    return questions[-1]


async def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + patience(20)
    while not condition():
        assert time.monotonic() < end, "the condition was not met in time"
        await asyncio.sleep(0.01)


def order(attempt: Attempt, epoch: int = 1) -> Order:
    return Order(attempt=attempt, epoch=epoch)
