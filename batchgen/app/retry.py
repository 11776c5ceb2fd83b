"""Retries: requeues ended jobs and applies the parameters that override their manifest."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import anyio

from ..errors import BatchgenError
from ..files.source_versions import SourceVersions
from ..fingerprint import older_rule
from ..job import Job, State
from ..manifest import Batch
from ..manifest.batch import Jobs
from ..planning.earlier_ids import JobsWithEarlierIds
from ..planning.override_marks import Overrides, overrides_of
from ..planning.overrides import OverriddenJobs
from ..planning.plan import Plan
from ..planning.written_again import JobsWithStoredVersions
from ..providers.profile import Profile, UnknownModel
from ..store import load_record
from ..store.reader import Reader
from ..store.writer import Writer
from .clock import utc_now
from .config import providers
from .project import Project

#: States of jobs that a run sends anyway.
_UNFINISHED = (State.PENDING, State.RUNNING)


def as_stored(project: Project, reader: Reader, batch: Batch) -> Batch:
    """Return *batch* with the ids and the overrides that the job database has of its jobs.

    The overrides of earlier retries apply to jobs whose manifest has not changed since.
    """
    batch_id = reader.batch_id(batch.name)
    if batch_id is None:
        return batch
    lookup = reader.lookup(batch_id)
    jobs: Jobs = JobsWithEarlierIds(jobs=batch.jobs, table=lookup)
    compare_bytes = SourceVersions(project.state / "inputs").compare
    batch = replace(batch, jobs=JobsWithStoredVersions(jobs=jobs, table=lookup, compare_bytes=compare_bytes))
    # A load that was recorded as complete had no overrides; jobs that were orphaned then may return with theirs.
    is_recorded = reader.ask(partial(load_record.is_recorded, batch_id=batch_id))
    fingerprints = lookup.overridden(only_orphaned=is_recorded)
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


def with_overrides(project: Project, batch: Batch, overrides: Mapping[str, Overrides]) -> Batch:
    """Return *batch* with the overrides of some jobs, by key; raise UsageError for an unknown provider."""
    if not any(overrides.values()):
        return batch
    profiles = dict(batch.profiles)
    for name in {of_job["provider"] for of_job in overrides.values() if "provider" in of_job} - set(profiles):
        profiles[name] = _profile(project, batch, name)
    today = utc_now().astimezone().date()
    jobs = OverriddenJobs(jobs=batch.jobs, overrides=overrides, fingerprints={}, profiles=profiles, today=today)
    return replace(batch, jobs=jobs, profiles=profiles, inputs=None)


def ending_models(profiles: Mapping[str, Profile], overrides: Overrides) -> tuple[str, ...]:
    """Return a warning where *overrides* name a model that a provider will switch off."""
    if "model" not in overrides:
        return ()
    named, warnings = overrides.get("provider"), []
    for provider in [str(named)] if named in profiles else profiles:
        with suppress(UnknownModel):
            name, model = profiles[provider].find(str(overrides["model"]))
            hint = f" (use  --with model={model.successor})" if model.successor else ""
            warnings += [f"{provider} switches {name} off on {model.ends}{hint}"] if model.ends else []
    return tuple(warnings)


def _profile(project: Project, batch: Batch, name: str) -> Profile:
    """Return the profile of a provider that the manifest does not name, with its policies and typed limits."""
    policy: Mapping[str, Any] = {"retry": batch.retry, "on_unknown": batch.on_unknown}
    profile = providers.load_profiles(project, [name])[name]
    profile = profile.model_copy(update={key: value for key, value in policy.items() if value is not None})
    return batch.overlay.over(profile)


def requeue(project: Project, jobs: Mapping[str, Job], plan: Plan) -> list[int]:
    """Requeue those of *jobs* that *plan* sends; return their ids.

    A job with other parameters than before is left to the loading of the plan, which requeues it and stores these in
    one transaction: a run that is killed in between must not leave a job that the next one sends with the old ones.
    """
    chosen = [job for key, job in jobs.items() if key in plan.again]
    revised = plan.revise or ()
    same = [job for job in chosen if job.state not in _UNFINISHED and job.key not in revised]
    if same:
        with Writer(project.db) as writer:
            anyio.run(writer.requeue, same, utc_now())
    return [job.id for job in chosen]
