"""The Python interface: ``import batchgen`` for notebooks and services.

It uses the same functions of ``app`` as the command line. It prints nothing, leaves signals and the environment of the
process alone, and reports every error as an exception. A run works in a thread with an event loop of its own, so that
it does not depend on what else the program does.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Unpack

from ..app import plan as planning
from ..app import queries
from ..app.manifests import DASH, find_manifest
from ..app.project import Project
from ..app.repeated_options import command_of_call
from ..errors import (
    AlreadyRunning,
    BatchgenError,
    ExitCode,
    KeyMissing,
    ManifestError,
    NotFound,
    Problem,
    SchemaMismatch,
    SettingsError,
    SpendNotConfirmed,
    StoreError,
    UsageError,
)
from ..manifest import Batch as ManifestBatch
from ..manifest.batch import Overlay
from .arguments import Chosen, Run, Where, options_of, overlay_of, project_of, require_known, selection_of
from .execution import Execution
from .values import Amount, Batch, Job, LedgerLine, Plan, Progress, Request, Result

__all__ = [
    "AlreadyRunning",
    "Amount",
    "Batch",
    "BatchgenError",
    "ExitCode",
    "Job",
    "KeyMissing",
    "LedgerLine",
    "ManifestError",
    "NotFound",
    "Plan",
    "Problem",
    "Progress",
    "Request",
    "Result",
    "SchemaMismatch",
    "SettingsError",
    "SpendNotConfirmed",
    "StoreError",
    "UsageError",
    "jobs",
    "ledger",
    "load",
    "plan",
    "run",
    "run_async",
]

#: A manifest: its path, the name of a batch, or a batch that ``load`` returned, whose file is read again.
Manifest = str | os.PathLike[str] | Batch


def load(manifest: Manifest, **where: Unpack[Where]) -> Batch:
    """Read and check a manifest; raise ManifestError with all its problems."""
    require_known(where, Where)
    return Batch.of(_read(project_of(where), manifest))


def plan(manifest: Manifest, **arguments: Unpack[Chosen]) -> Plan:
    """Return what a run would send and cost; nothing is sent or changed."""
    require_known(arguments, Chosen)
    project = project_of(arguments)
    batch = _read(project, manifest)
    return Plan.of(batch.name, planning.plan(project, batch, selection_of(arguments)))


def run(manifest: Manifest, **arguments: Unpack[Run]) -> Result:
    """Make the images that the manifest asks for and that do not exist yet, and return the result.

    Spending needs ``budget``, ``yes=True`` or a budget in the manifest; otherwise this raises SpendNotConfirmed. Ctrl-C
    lets requests in flight end, and a second one cuts them off; then KeyboardInterrupt is raised.
    """
    execution = _execution(manifest, arguments)
    future = execution.start()
    try:
        return _result(execution, future)
    except KeyboardInterrupt:
        while not future.done():
            execution.stop.set()
            with suppress(KeyboardInterrupt):
                future.exception()
        raise


async def run_async(manifest: Manifest, **arguments: Unpack[Run]) -> Result:
    """Do the same as ``run`` without blocking the event loop; ``on_progress`` and ``on_message`` are called in it.

    Cancelling it lets requests in flight end before CancelledError is raised; cancelling it again cuts them off.
    """
    loop = asyncio.get_running_loop()
    execution = await asyncio.to_thread(_execution, manifest, arguments)
    execution.call = partial(_call_soon, loop)
    future = asyncio.wrap_future(execution.start())
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
            execution.stop.set()
    if cancelled is not None:
        future.exception()  # retrieved, so that asyncio does not report it as lost
        raise cancelled
    return _result(execution, future)


def jobs(manifest: Manifest, **arguments: Unpack[Chosen]) -> Iterator[Job]:
    """Yield the jobs of a batch with their files and costs; raise NotFound if it never ran."""
    require_known(arguments, Chosen)
    project = project_of(arguments)
    name = _batch_name(project, manifest)
    for job, bill in queries.jobs(project, name, selection_of(arguments), None):
        yield Job.of(job, bill, project.root)


def ledger(manifest: Manifest, **where: Unpack[Where]) -> tuple[LedgerLine, ...]:
    """Return what a batch has cost by provider and model; raise NotFound if it never ran."""
    require_known(where, Where)
    project = project_of(where)
    return tuple(map(LedgerLine.of, queries.status(project, _batch_name(project, manifest)).usage))


def _result(execution: Execution, future: Future[Result] | asyncio.Future[Result]) -> Result:
    """Return the result of a run; raise the error that ended it, or that of a callback."""
    result = future.result()
    if execution.error is not None:
        raise execution.error
    return result


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(callback)


def _execution(manifest: Manifest, arguments: Run) -> Execution:
    require_known(arguments, Run)
    project = project_of(arguments)
    batch = _read(project, manifest, overlay_of(arguments))
    return Execution(
        project=project,
        batch=batch,
        options=options_of(arguments, batch, command_of_call(batch.manifest, arguments)),
        yes=arguments.get("yes", False) or project.sandbox,
        on_progress=arguments.get("on_progress"),
        on_message=arguments.get("on_message"),
    )


def _read(project: Project, manifest: Manifest, overlay: Overlay = Overlay()) -> ManifestBatch:  # noqa: B008 - frozen
    if isinstance(manifest, Batch):
        return planning.read_manifest(project, manifest.manifest, overlay)
    if not isinstance(manifest, str | os.PathLike):
        raise UsageError(f"the manifest is a path, the name of a batch or what load returned, not {manifest!r:.60}")
    word = os.fspath(manifest)
    if word == DASH:
        raise UsageError("the manifest is a path or the name of a batch; - is for the command line")
    return planning.read_manifest(project, find_manifest(project, word, "run").path, overlay)


def _batch_name(project: Project, manifest: Manifest) -> str:
    return manifest.name if isinstance(manifest, Batch) else _read(project, manifest).name
