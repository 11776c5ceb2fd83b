"""The wiring of a worker of a cluster, in its own process: keys from its environment, a spool on its own disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .. import redaction
from ..engine.cluster.call import Setup
from ..engine.cluster.worker import Worker
from ..engine.executor import Executor
from ..engine.readers import Readers
from ..engine.uploads import Uploads
from ..errors import KeyMissing
from ..files.group_thread import GroupThread
from ..files.output import make_private, sync_names
from ..files.source_cache import SourceCache
from ..files.spool import Spool, spool_id
from ..providers.profile import Profile
from .config.keys import ApiKeys, find_keys, missing_key, sandbox_keys
from .source_fetch import source_fetcher

if TYPE_CHECKING:
    from ..transport import Transport

#: Variable that names the folder of a worker's spool on its host.
FOLDER_VARIABLE = "BATCHGEN_WORKER_DIR"


async def open_worker(setup: Setup, *, folder: Path | None = None) -> Worker:
    """Open a worker in this process; raise KeyMissing, StoreError."""
    home = make_private((folder or worker_folder()) / setup.batch)
    spool = Spool.take_over(home / "spool")
    readers = Readers(max(2, os.cpu_count() or 2) + 2)
    workers: list[Worker] = []

    def alarm(error: Exception) -> None:
        for worker in workers:
            worker.stop_on(error)

    # A driver may change the setup: what bounds threads and memory stays the same.
    names, uploads = GroupThread("batchgen-names", sync_names), Uploads()
    names.start()
    build = partial(_build, home=home, spool=spool, readers=readers, alarm=alarm, names=names, uploads=uploads)
    executor = await build(setup)
    workers += [Worker(setup=setup, build=build, executor=executor, spool=spool, spool_id=spool_id(home))]
    return workers[0]


def worker_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the workers of all batches on this host."""
    if named := environment.get(FOLDER_VARIABLE):
        return Path(named)
    state = environment.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "batchgen" / "workers"


def worker_keys(setup: Setup, environment: Mapping[str, str] = os.environ) -> ApiKeys:
    """Return the keys that a setup names, from the environment of this process; raise KeyMissing."""
    if setup.sandbox:
        return sandbox_keys(setup.profiles)
    keys: dict[str, Mapping[str, str]] = {}
    for provider, accounts in setup.accounts.items():
        variables = setup.profiles[provider].api_key_env
        found = {name: key.value for name, key in find_keys(variables, environment).items()}
        if variables and (not found or any(account is not None and account not in found for account in accounts)):
            where = f"worker {setup.name} on {os.uname().nodename}"
            raise KeyMissing(f"{where}: {missing_key(provider, variables)}; keys are never sent to a worker")
        keys[provider] = found
    return ApiKeys(keys=keys)


async def _build(
    setup: Setup,
    *,
    home: Path,
    spool: Spool,
    readers: Readers,
    alarm: Callable[[Exception], None],
    names: GroupThread[Path, None],
    uploads: Uploads,
) -> Executor:
    keys = worker_keys(setup)
    redaction.register(key for by_variable in keys.keys.values() for key in by_variable.values())
    transport = await _transport(setup.profiles, keys)
    fetch = source_fetcher(transport, next(iter(setup.profiles), ""), sandbox=setup.sandbox)
    return Executor(
        transport=transport,
        spool=spool,
        inputs=SourceCache(home / "inputs", spool, fetch),
        root=Path(setup.root),
        readers=readers,
        alarm=alarm,
        names=names,
        uploads=uploads,
        sandbox=setup.sandbox,
    )


async def _transport(profiles: Mapping[str, Profile], keys: ApiKeys) -> Transport:
    from ..transport import Transport

    return await Transport(profiles, keys.first, keys.keys).__aenter__()  # Its end is that of this process.
