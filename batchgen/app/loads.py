"""Loads of a batch into the job database, and what is saved where the last load had the same manifest and lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from ..errors import BatchgenError
from ..manifest import Batch
from ..manifest.inputs import Recall
from ..planning.loaded import JobSurvey, LoadedJobs
from ..planning.plan import Plan
from ..store import load_record, migrate
from ..store.load_record import LoadRecord
from ..store.reader import Reader
from ..store.records import Loaded
from ..store.writer import Writer
from .project import Project


def recall_from(project: Project) -> Recall:
    """Return a function that looks up the last complete load of a batch, by its name."""

    def recall(name: str) -> tuple[str, Mapping[str, Any]] | None:
        # A database that cannot be read is reported by the step that needs it.
        with suppress(BatchgenError):
            if migrate.revision(project.db) == migrate.HEAD:
                with Reader(project.db) as reader:
                    return reader.ask(partial(load_record.recall, name=name))
        return None

    return recall


def is_loaded(reader: Reader, batch: Batch) -> bool:
    """Return whether the rows of the job database are exactly the jobs of *batch*, so that no load is needed."""
    batch_id = reader.batch_id(batch.name)
    if batch_id is None or batch.inputs is None:
        return False
    return reader.ask(partial(load_record.is_recorded, batch_id=batch_id, identity=batch.inputs.identity))


def loaded_jobs(reader: Reader, batch_id: int, batch: Batch) -> LoadedJobs | None:
    """Return the jobs of *batch* as the job database has them; None unless these are exactly those of *batch*."""
    if batch.inputs is None:
        return None
    return reader.ask(partial(load_record.loaded_jobs, batch_id=batch_id, identity=batch.inputs.identity))


def file_names(reader: Reader, batch_id: int, batch: Batch, *, is_loaded: bool) -> Iterable[str]:
    """Return names with every character of the batch's file names, and the longest of these."""
    if is_loaded:
        return reader.ask(partial(load_record.file_names, batch_id=batch_id))
    return (job.output for job in batch.jobs)


async def load(
    writer: Writer, batch_id: int, batch: Batch, now: datetime, *, keep_changed: bool, plan: Plan, is_loaded: bool
) -> Loaded:
    """Bring the job database up to *batch*, unless it *is_loaded*; return how many jobs changed."""
    if is_loaded:
        return Loaded(kept=len(batch.jobs))
    survey = JobSurvey()
    return await writer.load(
        batch_id,
        survey.watch(batch.jobs),
        now,
        keep_changed=keep_changed,
        revise=plan.revise,
        record=partial(_record, batch, survey),
    )


def _record(batch: Batch, survey: JobSurvey) -> LoadRecord | None:
    """Return the record of a load of *batch*; None where the next run has to compare all jobs again."""
    inputs = batch.inputs
    # A list that was replaced after its digest was taken may have been read in part.
    if inputs is None or not survey.is_plain or inputs.read_again() != inputs.digest:
        return None
    return LoadRecord(
        identity=inputs.identity,
        findings=inputs.findings.as_json(),
        kinds=tuple((recipe, length, number) for (recipe, length), number in survey.kinds.items()),
        names=survey.names,
        may_be_renamed=survey.may_be_renamed,
    )
