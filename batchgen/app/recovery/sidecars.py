"""Restores sidecars that a power cut took.

A run does not sync sidecars: they guard no money, and the job database holds their content, but for a revised prompt
and the parts of the tokens. What the machine had not written when it lost its power is missing, empty or cut off; the
next run writes it again.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from ...errors import SettingsError
from ...files.output import restore_sidecar
from ...files.sidecar import cut_off, describe
from ...job import Attempt, Job
from ...manifest import Batch
from ...planning.override_marks import note_of
from ...providers.validation import as_sent, translate
from ...store.delivered import booking, latest_files
from ...store.reader import Reader
from ...store.records import AttemptRecord, DeliveredFile
from ...task import Artifact, Picture, Task
from ..project import Project

#: How long a file may wait in memory: Linux writes it within 35 s, and a busy disk takes longer.
UNWRITTEN = timedelta(minutes=2)
#: By how much the clock may have been set since the machine was started.
_CLOCK = timedelta(minutes=10)


def restore_sidecars(project: Project, reader: Reader, batch: Batch) -> int:
    """Write the sidecars again that were lost when the last run of *batch*, or the machine after it, was cut off.

    Returns how many there were. Raises StoreError.
    """
    batch_id = reader.batch_id(batch.name)
    runs = reader.runs(batch_id) if batch_id is not None else []
    if batch_id is None or not runs or not isinstance(batch.folder, Path):
        return 0
    ended = runs[0].ended_at
    if ended is not None and ended > _booted_at() + _CLOCK:
        return 0
    restored = 0
    for file in reader.ask(partial(latest_files, batch_id=batch_id, within=UNWRITTEN)):
        image = project.root / file.file.path
        if image.is_relative_to(batch.folder) and _is_lost(image):
            job = reader.job(batch_id, file.key)
            name = str(image.relative_to(batch.folder))
            restore_sidecar(batch.folder, name, _sidecar(project, reader, batch, job, file), file.file.created_at)
            restored += 1
    return restored


def _is_lost(image: Path) -> bool:
    """Return whether an image is there, and its sidecar is not, or not whole."""
    try:
        return cut_off(image.with_name(f"{image.name}.json").read_bytes())
    except FileNotFoundError:
        return image.is_file()
    except OSError:
        return False


def _sidecar(project: Project, reader: Reader, batch: Batch, job: Job, delivered: DeliveredFile) -> bytes:
    file = delivered.file
    record = next(record for record in reader.attempts(job) if record.id == file.attempt_id)
    beside = [other for other in reader.artifacts(job) if other.attempt_id == file.attempt_id]
    usage, cost = reader.ask(partial(booking, attempt_id=record.id))
    attempt = Attempt(
        id=record.id,
        job_id=job.id,
        claim=record.claim,
        batch=batch.name,
        key=job.key,
        task=replace(_sent(batch, job, record), n=len(beside)),
        fingerprint=job.fingerprint,
        folder=str(batch.folder),
        output=job.output,
        wanted=job.wanted,
    )
    artifact = Artifact(
        ordinal=file.ordinal,
        path=file.path,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        width=file.width,
        height=file.height,
        mime=file.mime,
    )
    index = next(place for place, other in enumerate(beside) if other.ordinal == file.ordinal)
    share, note = cost.share(len(beside), index), note_of(job.fingerprint)
    picture = Picture(data=b"")
    return describe(attempt, artifact, picture, usage, cost, share=share, sandbox=project.sandbox, note=note)


def _sent(batch: Batch, job: Job, record: AttemptRecord) -> Task:
    """Return the task as it was sent to the provider of an attempt."""
    profile = batch.profiles.get(record.provider)
    if profile is None:
        return replace(job.task, provider=record.provider, model=record.model)
    task = replace(translate(job.task, profile), model=record.model)
    try:
        return as_sent(task, profile.find(record.model)[1])
    except (LookupError, SettingsError):
        return task


def _booted_at() -> datetime:
    """Return when this machine was started."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return datetime.now(UTC) - timedelta(seconds=time.clock_gettime(clock))
