"""Retries: requeues failed jobs and applies the parameters that override their manifest."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import anyio

from ..errors import BatchgenError, NotFound
from ..fingerprint import older_rule
from ..job import Job, Requeued
from ..manifest import Batch
from ..planning.earlier_ids import JobsWithEarlierIds
from ..planning.overrides import OverriddenJobs, Overrides, overrides_of
from ..planning.selection import Selection
from ..providers.profile import Profile
from ..store.reader import Reader
from ..store.writer import Writer
from .clock import utc_now
from .config import providers
from .project import Project


def as_stored(project: Project, reader: Reader, batch: Batch) -> Batch:
    """Return *batch* with the ids and the overrides that the job database has of its jobs.

    The overrides of earlier retries apply to jobs whose manifest has not changed since.
    """
    batch_id = reader.batch_id(batch.name)
    if batch_id is None:
        return batch
    lookup = reader.lookup(batch_id)
    batch = replace(batch, jobs=JobsWithEarlierIds(jobs=batch.jobs, table=lookup))
    fingerprints = lookup.overridden()
    if not fingerprints:
        return batch
    before = lookup.tasks([key for key, fingerprint in fingerprints.items() if older_rule(fingerprint)])
    profiles = dict(batch.profiles)
    named = {
        str(overrides["provider"])
        for fingerprint in fingerprints.values()
        if "provider" in (overrides := overrides_of(fingerprint))
    }
    for name in named - set(profiles):
        with suppress(BatchgenError):  # Jobs of a provider that is gone follow their manifest.
            profiles[name] = _profile(project, batch, name)
    jobs = OverriddenJobs(jobs=batch.jobs, overrides={}, fingerprints=fingerprints, profiles=profiles, before=before)
    return replace(batch, jobs=jobs, profiles=profiles)


def with_overrides(project: Project, batch: Batch, keys: Iterable[str], overrides: Overrides) -> Batch:
    """Return *batch* with overrides for the jobs *keys*; raise UsageError for an unknown provider."""
    if not overrides:
        return batch
    name = overrides.get("provider")
    profiles = dict(batch.profiles)
    if name is not None and name not in profiles:
        profiles[name] = _profile(project, batch, name)
    jobs = OverriddenJobs(jobs=batch.jobs, overrides=dict.fromkeys(keys, overrides), fingerprints={}, profiles=profiles)
    return replace(batch, jobs=jobs, profiles=profiles)


def _profile(project: Project, batch: Batch, name: str) -> Profile:
    """Return the profile of a provider that the manifest does not name, with its policies and typed limits."""
    policy: Mapping[str, Any] = {"retry": batch.retry, "on_unknown": batch.on_unknown}
    profile = providers.load_profiles(project, [name])[name]
    profile = profile.model_copy(update={key: value for key, value in policy.items() if value is not None})
    return batch.overlay.over(profile)


def jobs_to_requeue(reader: Reader, batch: Batch, selection: Selection) -> Mapping[str, Job]:
    """Return the selected jobs of *batch* by key; raise NotFound if it never ran."""
    batch_id = reader.batch_id(batch.name)
    if batch_id is None:
        raise NotFound(f"batch {batch.name} has not run yet: batchgen run {batch.manifest}")
    return {job.key: job for job in reader.jobs(batch_id, selection)}


def requeue(project: Project, jobs: Mapping[str, Job], keys: Container[str]) -> list[int]:
    """Requeue those of *jobs* that *keys* names; return their ids."""
    with Writer(project.db) as writer:

        async def move() -> list[int]:
            chosen = [job for key, job in jobs.items() if key in keys]
            return [(await writer.move(job, Requeued(at=utc_now()))).id for job in chosen]

        return anyio.run(move)
