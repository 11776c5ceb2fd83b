"""Workers as actors of Ray: named, detached, restarted by Ray, never retried. The only module that imports Ray."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from anyio import to_thread

from ...errors import UsageError
from .address import address_problem, start_problem
from .call import Setup, WorkerLost
from .worker import Worker

#: The namespace of the workers of all batches.
NAMESPACE = "batchgen"
#: Calls that a worker has room for in addition to the attempts in flight.
SPARE_CALLS = 200
#: Builds a worker in its own process, with its own keys.
Opener = Callable[[Setup], Awaitable[Worker]]


def load_ray() -> ModuleType:
    """Return Ray; raise UsageError where the extra is missing."""
    try:
        import ray
        import ray.actor
        import ray.exceptions
        import ray.util
    except ImportError as error:
        raise UsageError("--backend ray needs the extra cluster: pip install 'batchgen[cluster]'") from error
    module: ModuleType = ray
    return module


def connect(address: str | None, namespace: str = NAMESPACE, *, cpus: int | None = None) -> ModuleType:
    """Connect to the cluster at *address*, or start Ray on this machine if it is None; raise UsageError."""
    ray = load_ray()
    if address is not None and (problem := address_problem(address)):
        raise UsageError(f"{problem}. Nothing was sent")
    _keep_quiet()
    options: dict[str, Any] = {"namespace": namespace, "log_to_driver": False, "configure_logging": False}
    try:
        if address is None:
            ray.init(address="local", num_cpus=cpus, include_dashboard=False, **options)
        else:
            ray.init(address=address, **options)
    except Exception as error:
        raise UsageError(start_problem(address, _first_line(error))) from error
    return ray


def _keep_quiet() -> None:
    """Keep Ray's own messages off the terminal: stdout is for data, and deaths of workers are reported otherwise."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    # There is no public switch: Ray prints the deaths of workers even without log_to_driver.
    vars(import_module("ray._private.worker"))["_worker_logs_enabled"] = False


@contextmanager
def connection(address: str | None, *, cpus: int | None = None) -> Iterator[ModuleType]:
    """Yield Ray, connected to a cluster; the connection ends with the context."""
    ray = connect(address, cpus=cpus)
    try:
        yield ray
    finally:
        ray.shutdown()


@dataclass(frozen=True, kw_only=True, slots=True)
class RayHandle:
    """The way to one actor."""

    ray: ModuleType
    actor: Any

    async def call(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 - as the worker's method returns
        """Call a method of the worker; raise WorkerLost if it is gone, or may be."""
        errors = self.ray.exceptions
        try:
            return await self.actor.call.remote(method, *arguments)
        except errors.RayTaskError as error:
            raise error.cause from None
        except errors.RayError as error:  # whichever: the call may have reached the worker
            raise WorkerLost(_first_line(error)) from None


def actors(ray: ModuleType, opener: Opener, setups: Mapping[str, Setup], in_flight: int) -> dict[str, RayHandle]:
    """Return the workers of *setups* by name: those that an earlier run left, and new ones for the others."""
    handles = {}
    for name, setup in setups.items():
        options = {
            "name": name,
            "namespace": NAMESPACE,
            "lifetime": "detached",
            "get_if_exists": True,
            "num_cpus": 1,
            "scheduling_strategy": "SPREAD",
            "max_concurrency": in_flight + SPARE_CALLS,
            "max_restarts": -1,
            "max_task_retries": 0,
        }
        actor = ray.remote(WorkerActor).options(**options).remote(opener, setup)
        handles[name] = RayHandle(ray=ray, actor=actor)
    return handles


def running(ray: ModuleType, names: Iterable[str]) -> dict[str, RayHandle]:
    """Return those workers of *names* that still run."""
    handles = {}
    for name in names:
        with suppress(ValueError):  # it has left
            handles[name] = RayHandle(ray=ray, actor=ray.get_actor(name, namespace=NAMESPACE))
    return handles


def left_behind(ray: ModuleType, batch: str) -> list[str]:
    """Return the names of the workers of *batch* on the cluster, those of its shards too."""
    pattern = re.compile(re.escape(batch) + r"(-shard-\d+-of-\d+)?-\d+")
    every = ray.util.list_named_actors(all_namespaces=True)
    return [actor["name"] for actor in every if actor["namespace"] == NAMESPACE and pattern.fullmatch(actor["name"])]


class WorkerActor:
    """The shell of a worker in its own process."""

    def __init__(self, opener: Opener, setup: Setup) -> None:
        self._opener = opener
        self._setup = setup
        self._worker: asyncio.Task[Worker] | None = None
        self._lease: asyncio.Task[None] | None = None

    async def call(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 - as the worker's method returns
        """Call a method of the worker, which opens with the first call."""
        if self._worker is None or (self._worker.done() and self._worker.exception() is not None):
            self._worker = asyncio.create_task(self._open())
        worker = await asyncio.shield(self._worker)
        return await getattr(worker, method)(*arguments)

    async def _open(self) -> Worker:
        worker = await self._opener(self._setup)
        self._lease = asyncio.create_task(self._watch(worker))
        return worker

    async def _watch(self, worker: Worker) -> None:
        """End this actor once no driver has called for longer than the lease and nothing is in flight."""
        while not worker.is_abandoned:  # noqa: ASYNC110 - it depends on the clock alone
            await asyncio.sleep(min(10.0, worker.setup.lease / 20))
        ray = load_ray()
        ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


async def end(handle: RayHandle) -> None:
    """End a worker that has nothing in flight."""
    await to_thread.run_sync(lambda: handle.ray.kill(handle.actor, no_restart=True))


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
