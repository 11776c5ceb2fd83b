"""Objects that were written again: an etag that changed does not change a job if the bytes are the same. Pure.

A fingerprint has the etags of source images in object stores, because the bytes of thousands cannot be read for each
plan. A job that differs from the job database in nothing else is compared by the bytes of these images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Protocol

from ..fingerprint import OVERRIDDEN
from ..manifest.batch import Jobs, PlannedJob
from ..task import Source, Task
from .compare import CHUNK, StoredJob

#: Returns for each pair, a source before and after, whether its bytes are the same; None: that is not known.
CompareBytes = Callable[[Sequence[tuple[Source, Source]]], Sequence[bool | None]]


class TaskTable(Protocol):
    """The jobs of one batch in the database, with their tasks."""

    def lookup(self, keys: Sequence[str]) -> Mapping[str, StoredJob]:
        """Return the jobs with these keys, as far as they exist."""

    def tasks(self, keys: Sequence[str]) -> Mapping[str, Task]:
        """Return the tasks of the jobs with these keys, as far as they exist."""


@dataclass(kw_only=True, slots=True)
class JobsWithStoredVersions:
    """The jobs of a manifest; each has the versions of objects that the database has, if their bytes are the same.

    Where the bytes before are not known, a job that is done is kept: see ``PlannedJob.is_to_be_kept``.
    """

    jobs: Jobs
    table: TaskTable
    compare_bytes: CompareBytes
    _changed: dict[str, PlannedJob] | None = field(default=None, init=False)  #: None until all jobs were compared

    def __len__(self) -> int:
        return len(self.jobs)

    def __iter__(self) -> Iterator[PlannedJob]:
        if self._changed is not None:
            yield from map(self._as_stored, self.jobs)
            return
        changed: dict[str, PlannedJob] = {}
        jobs = iter(self.jobs)
        while chunk := list(islice(jobs, CHUNK)):
            changed.update(
                self._compare([job for job in chunk if job.recipe.task.images and _has_objects(job.recipe.task)])
            )
            yield from (changed.get(job.key, job) for job in chunk)
        # A later pass may run when the jobs were loaded and the table is closed.
        self._changed = changed

    def _as_stored(self, job: PlannedJob) -> PlannedJob:
        return (self._changed or {}).get(job.key, job)

    def _compare(self, jobs: Sequence[PlannedJob]) -> Iterator[tuple[str, PlannedJob]]:
        """Yield those of *jobs* whose objects were written again with the same bytes, or with unknown ones."""
        stored = self.table.lookup([job.key for job in jobs]) if jobs else {}
        differing = [job for job in jobs if job.key in stored and _declared(stored[job.key]) != job.fingerprint]
        before = self.table.tasks([job.key for job in differing]) if differing else {}
        pairs = {
            job.key: versions
            for job in differing
            if (versions := _versions(before[job.key], job.recipe.task))
            and _as_before(job, before[job.key]).fingerprint == _declared(stored[job.key])
        }
        distinct = list(dict.fromkeys(pair for versions in pairs.values() for pair in versions))
        same = dict(zip(distinct, self.compare_bytes(distinct), strict=True))
        for job in differing:
            answers = [same[pair] for pair in pairs.get(job.key, ())]
            if not answers or False in answers:
                continue
            as_before = _as_before(job, before[job.key])
            if None in answers:
                recipe = replace(job.recipe, earlier=as_before.recipe.task)
                yield job.key, job._replace(recipe=recipe)
            else:
                yield job.key, as_before


def _declared(stored: StoredJob) -> str:
    return stored.fingerprint.partition(OVERRIDDEN)[0]


def _has_objects(task: Task) -> bool:
    return any(source.etag for source in task.sources)


def _versions(before: Task, after: Task) -> list[tuple[Source, Source]]:
    """Return the objects that have another etag than before; none if the sources differ otherwise."""
    old, new = before.sources, after.sources
    if [(source.url, source.path) for source in old] != [(source.url, source.path) for source in new]:
        return []
    pairs = zip(old, new, strict=True)
    return [(one, other) for one, other in pairs if one.etag and other.etag and one.etag != other.etag]


def _as_before(job: PlannedJob, before: Task) -> PlannedJob:
    """Return *job* with the etags that its source images have in the task *before*."""
    task = job.recipe.task
    images = tuple(replace(new, etag=old.etag) for old, new in zip(before.images, task.images, strict=True))
    mask = None if task.mask is None or before.mask is None else replace(task.mask, etag=before.mask.etag)
    recipe = replace(job.recipe, task=replace(task, images=images, mask=mask))
    return job._replace(recipe=recipe, fingerprint=recipe.fingerprint(job.prompt))
