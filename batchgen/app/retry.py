"""What jobs were asked for beside their manifest, by this retry and by earlier ones."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import anyio

from ..errors import BatchgenError, NotFound
from ..job import Job, Requeued
from ..manifest import Batch
from ..planning.overrides import OverriddenJobs, Overrides, overrides_of
from ..planning.selection import Selection
from ..providers.profile import Profile
from ..store.reader import Reader
from ..store.writer import Writer
from .clock import utc_now
from .config import providers
from .project import Project


def with_earlier_overrides(project: Project, reader: Reader, batch: Batch) -> Batch:
    """Return *batch* as earlier retries ask for it, as far as its manifest asks for what it asked then."""
    ids = {found.name: found.id for found in reader.batches()}
    marks = reader.lookup(ids[batch.name]).overridden() if batch.name in ids else {}
    if not marks:
        return batch
    profiles = dict(batch.profiles)
    named = {str(said["provider"]) for mark in marks.values() if "provider" in (said := overrides_of(mark))}
    for name in named - set(profiles):
        with suppress(BatchgenError):  # nobody offers it any more: those jobs follow their manifest
            profiles[name] = _profile(project, batch, name)
    jobs = OverriddenJobs(jobs=batch.jobs, overrides={}, fingerprints=marks, profiles=profiles)
    return replace(batch, jobs=jobs, profiles=profiles)


def with_overrides(project: Project, batch: Batch, keys: Iterable[str], said: Overrides) -> Batch:
    """Return *batch* with *said* for the jobs *keys*; raise UsageError where there is no such provider."""
    if not said:
        return batch
    name = said.get("provider")
    profiles = dict(batch.profiles)
    if name is not None and name not in profiles:
        profiles[name] = _profile(project, batch, name)
    jobs = OverriddenJobs(jobs=batch.jobs, overrides=dict.fromkeys(keys, said), fingerprints={}, profiles=profiles)
    return replace(batch, jobs=jobs, profiles=profiles)


def _profile(project: Project, batch: Batch, name: str) -> Profile:
    """Return a provider that the manifest does not name, under the manifest's policies and what was typed."""
    policy: Mapping[str, Any] = {"retry": batch.retry, "on_unknown": batch.on_unknown}
    known = providers.load_profiles(project, [name])[name]
    stated = known.model_copy(update={key: value for key, value in policy.items() if value is not None})
    return batch.overlay.over(stated)


def jobs_to_requeue(reader: Reader, batch: Batch, selection: Selection) -> Mapping[str, Job]:
    """Return the selected jobs of *batch* by key; raise NotFound where it never ran."""
    known = {found.name: found.id for found in reader.batches()}
    if batch.name not in known:
        raise NotFound(f"batch {batch.name} has not run yet: batchgen run {batch.manifest}")
    return {job.key: job for job in reader.jobs(known[batch.name], selection)}


def requeue(project: Project, jobs: Mapping[str, Job], keys: Container[str]) -> list[int]:
    """Put those of *jobs* back that *keys* names; return their numbers."""
    with Writer(project.db) as writer:

        async def move() -> list[int]:
            chosen = [job for key, job in jobs.items() if key in keys]
            return [(await writer.move(job, Requeued(at=utc_now()))).id for job in chosen]

        return anyio.run(move)
