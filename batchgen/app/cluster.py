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

    address = options.address or os.environ.get(ADDRESS_VARIABLE)
    ray = await to_thread.run_sync(lambda: ray_backend.connect(address, cpus=options.workers or WORKERS))
    profiles = {lane.provider: inputs.batch.profiles[lane.provider] for lane in runner.lanes}
    backend = _new_backend(inputs, runner, profiles, local, spool)
    handles: Mapping[str, RayHandle] = {}
    try:
        handles = await _open_workers(ray, inputs, options, profiles, backend)
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


async def _open_workers(
    ray: ModuleType,
    inputs: RunInputs,
    options: ClusterOptions,
    profiles: Mapping[str, Profile],
    backend: ClusterBackend,
) -> Mapping[str, RayHandle]:
    """Start the workers of a run and open *backend* with them and with those that earlier runs left; return its own."""
    from ..engine.cluster import ray_backend
    from .cluster_worker import open_worker

    batch, shard = _batch_name(inputs), inputs.options.selection.shard
    # Shards may run at the same time, so that each has workers of its own.
    group = batch if shard is None else f"{batch}-shard-{shard[0]}-of-{shard[1]}"
    names = [f"{group}-{number}" for number in range(options.workers or WORKERS)]
    inherited = sorted(await to_thread.run_sync(ray_backend.left_behind, ray, batch))
    retired = [name for name in inherited if name.rpartition("-")[0] == group and name not in names]
    others = await to_thread.run_sync(ray_backend.running, ray, set(inherited) - {*names, *retired})
    setups = {name: _setup(inputs, profiles, batch, name) for name in (*names, *retired, *others)}
    own = ray_backend.actors(ray, open_worker, {name: setups[name] for name in (*names, *retired)}, backend.capacity)
    workers = {name: (handle, setups[name]) for name, handle in {**own, **others}.items()}
    backend.open(workers, inherited=inherited, retired=retired, guest_of=others)
    return own


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
