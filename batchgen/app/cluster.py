"""The wiring of a run on a Ray cluster: its workers, their setup, and the backend that hands attempts to them."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from anyio import CancelScope, to_thread

from ..engine.attempts import Backend
from ..engine.cluster.backend import ClusterBackend
from ..engine.cluster.call import Setup
from ..engine.runner import Runner
from ..errors import UsageError
from ..files.spool import Spool
from ..providers.profile import Profile
from ..store.marks import database_id
from ..version import __version__
from .run_options import ClusterOptions

if TYPE_CHECKING:
    from ..engine.cluster.ray_backend import RayHandle
    from .run_inputs import RunInputs

#: Variable of Ray that names the cluster.
ADDRESS_VARIABLE = "RAY_ADDRESS"
#: Seconds after which a worker leaves that nothing calls, and for which a run waits for the first worker.
LEASE, START_PATIENCE = 600.0, 90.0
#: Workers of a run that does not set their number.
WORKERS = 2


@asynccontextmanager
async def cluster_backend(
    inputs: RunInputs, options: ClusterOptions, runner: Runner, local: Backend, spool: Spool
) -> AsyncIterator[ClusterBackend]:
    """Connect to the cluster and return the backend of a run; its workers leave once nothing is open."""
    from ..engine.cluster import ray_backend
    from .cluster_worker import open_worker

    address = options.address or os.environ.get(ADDRESS_VARIABLE)
    ray = await to_thread.run_sync(lambda: ray_backend.connect(address, cpus=options.workers or WORKERS))
    profiles = {lane.provider: inputs.batch.profiles[lane.provider] for lane in runner.lanes}
    backend = _new_backend(inputs, runner, profiles, local, spool)
    handles: Mapping[str, RayHandle] = {}
    try:
        batch = _batch_name(inputs)
        shard = inputs.options.selection.shard
        own = batch if shard is None else f"{batch}-shard-{shard[0]}-of-{shard[1]}"
        names = [f"{own}-{number}" for number in range(options.workers or WORKERS)]
        inherited = await to_thread.run_sync(ray_backend.left_behind, ray, own)
        retired = set(inherited) - set(names)
        setups = {name: _setup(inputs, profiles, batch, name) for name in (*names, *sorted(retired))}
        handles = ray_backend.actors(ray, open_worker, setups, backend.capacity)
        workers = {name: (handle, setups[name]) for name, handle in handles.items()}
        backend.open(workers, inherited=inherited, retired=retired)
        if not await backend.wait_for_workers(START_PATIENCE):
            raise runner.failure or UsageError(_no_worker(address, ray, backend))
        runner.workers = backend.workers
        yield backend
    finally:
        with CancelScope(shield=True):
            await backend.close()
            # At the end: what earlier runs left open may have been settled without its worker.
            await backend.tidy(inputs.reader.ended)
            if not backend.fenced and not inputs.reader.open_attempts(runner.batch_id):
                for handle in handles.values():
                    await ray_backend.end(handle)
            await to_thread.run_sync(ray.shutdown)


def _new_backend(
    inputs: RunInputs, runner: Runner, profiles: Mapping[str, Profile], local: Backend, spool: Spool
) -> ClusterBackend:
    return ClusterBackend(
        local=local,
        spool=spool,
        profiles=profiles,
        epoch=len(inputs.reader.runs(runner.batch_id)),
        capacity=sum(lane.width for lane in runner.lanes),
        show_message=inputs.show_message,
        on_failure=runner.halt,
        drain=runner.drain,
    )


def _batch_name(inputs: RunInputs) -> str:
    """Return the name of a batch on a cluster, which other job databases use as well."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", inputs.batch.name)[:60]
    return f"{name}-{database_id(inputs.project.db)[:12]}"


def _setup(inputs: RunInputs, profiles: Mapping[str, Profile], batch: str, name: str) -> Setup:
    return Setup(
        name=name,
        batch=batch,
        root=str(inputs.project.root),
        profiles=profiles,
        accounts={provider: inputs.keys.accounts(profile) for provider, profile in profiles.items()},
        sandbox=inputs.project.sandbox,
        version=__version__,
        lease=LEASE,
    )


def _no_worker(address: str | None, ray: ModuleType, backend: ClusterBackend) -> str:
    cpus = ray.cluster_resources().get("CPU", 0)
    reasons = [link.why_lost for link in backend.links.values() if link.why_lost]
    last = f" (the last error: {reasons[-1]})" if reasons else ""
    return (
        f"no worker started within {START_PATIENCE:.0f} s on the cluster {address or 'of this machine'}, which has "
        f"{cpus:g} CPUs; each worker needs one that is free{last}. Nothing was sent: `batchgen doctor --backend ray` "
        "checks the cluster; add machines, or use fewer --workers"
    )
