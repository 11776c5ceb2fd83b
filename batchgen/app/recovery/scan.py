"""Scan for evidence that the job database may lack: sidecars of files, slots of calls, notes of submissions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

from ...files.images import EXTENSIONS
from ...files.listing import ListedFile, list_file
from ...files.spool import KEPT_SUFFIX, Spool
from ...fingerprint import OVERRIDDEN, unchanged
from ...job import Job
from ...manifest import Batch
from ...manifest.batch import PlannedJob
from ...manifest.filenames import stems
from ...object_url import ObjectUrl
from ...route import askable
from ...store.claims import open_attempts
from ...store.reader import Reader
from ...store.records import AttemptRecord, RecoveredAttempt
from ..project import Project
from ..reading import STORE_WIDTH
from .evidence import (
    SidecarRecord,
    has_order,
    read_order,
    read_sidecar,
    remove_marker_of,
    sidecars,
    slots,
    unknown_attempt,
    unusable_attempt,
)
from .last_run import is_behind
from .logged import LoggedJobs, logged_jobs

#: Sidecars read together, and by how many threads.
_TOGETHER, _THREADS = 200, 8
#: How much older a file may seem than the call that made it.
_SLACK = timedelta(minutes=5)


@dataclass(kw_only=True, slots=True)
class RecoveryScan:
    """A scan of a project's files for what its job database lacks."""

    project: Project
    reader: Reader
    batch: Batch
    batch_id: int | None = field(init=False)
    is_outdated: bool = field(init=False)  #: the database is older than its last run
    ended_at: datetime | None = field(init=False)  #: end of the last run; None if it was interrupted or there was none
    logged: LoggedJobs = field(init=False)  #: failed jobs of runs that the database lacks
    thorough: bool = field(init=False)  #: read every sidecar, not only those newer than the database

    def __post_init__(self) -> None:
        self.batch_id = self.reader.batch_id(self.batch.name)
        runs = self.reader.runs(self.batch_id) if self.batch_id is not None else []
        self.is_outdated = is_behind(self.project, self.batch.name, runs)
        self.thorough = self.is_outdated or not runs
        self.ended_at = runs[0].ended_at if runs else None
        known = {run.id for run in runs}
        self.logged = logged_jobs(self.project, self.batch, known) if self.is_outdated else LoggedJobs()

    def recovered_attempts(self, busy: set[str]) -> Iterator[RecoveredAttempt]:
        """Yield the attempts of sidecars that the database does not know, except those in *busy*."""
        # A run locks its folder, so that files of other projects are newer than its end.
        since = None
        if not self.thorough and self.batch_id is not None:
            since = self.ended_at or self.reader.newest_attempt(self.batch_id)
        for batch in self._homes():
            # Only the job database that owns the place writes there, and a listing may take minutes; a database that
            # knows an interrupted run may be a copy from before the end of that run.
            if not self.thorough and self.ended_at is not None and isinstance(batch.folder, ObjectUrl):
                continue
            files = sidecars(batch.folder, since - _SLACK if since else None)
            yield from self._recovered(files, batch, busy)

    def _homes(self) -> Iterator[Batch]:
        """Yield the batch at its folder, and at that in which sandbox runs of earlier versions left their images."""
        yield self.batch
        earlier = self.project.state / "output" / self.batch.name
        if self.project.sandbox and self.thorough and earlier.is_dir():
            yield replace(self.batch, folder=earlier)

    def _recovered(self, files: Iterator[ListedFile], batch: Batch, busy: set[str]) -> Iterator[RecoveredAttempt]:
        def read(file: ListedFile) -> SidecarRecord | None:
            return read_sidecar(file, batch, self.project)

        with ThreadPoolExecutor(STORE_WIDTH if isinstance(batch.folder, ObjectUrl) else _THREADS) as threads:
            while chunk := list(islice(files, _TOGETHER)):
                records = [record for record in threads.map(read, chunk) if record and record.attempt.id not in busy]
                known = self.reader.attempt_states([record.attempt.id for record in records])
                yield from threads.map(SidecarRecord.verified, [r for r in records if r.attempt.id not in known])

    def live(self, attempts: Sequence[RecoveredAttempt]) -> set[str]:
        """Return the ids of those attempts whose slots the present plan of their jobs can read."""
        keys = {attempt.key for attempt in attempts if attempt.live}
        if not keys:
            return set()
        wanted = (job for job in self.batch.jobs if job.key in keys)
        planned = {job.key: job for job in wanted}
        return {a.id for a in attempts if a.live and a.key in planned and _can_read(a, planned[a.key])}

    def set_aside_slots(self, attempts: Sequence[RecoveredAttempt]) -> None:
        """Set aside slots that no run will finish; the user may look at them."""
        ids = [attempt.id for attempt in attempts if attempt.live]
        for attempt_id, (state, _) in self.reader.attempt_states(ids).items():
            if state != "open":
                Spool(self.project.state / "spool").set_aside(attempt_id)

    def slots(self) -> tuple[list[RecoveredAttempt], set[str]]:
        """Return the attempts of slots that the database does not know, and the ids of all slots.

        The slot of a settled attempt is removed: its run died between the last commit and the removal.
        """
        folder = self.project.state / "spool"
        left = {path.stem: path for path in slots(folder, ".slot")}
        kept = {path.stem: path for path in slots(folder, KEPT_SUFFIX)}
        known = self.reader.attempt_states([*left, *kept])
        attempts = []
        for attempt_id, path in left.items():
            state, _ = known.get(attempt_id, (None, None))
            if state is None and not has_order(path):
                Spool(folder).set_aside(attempt_id)  # no run can finish it
            elif state is None:
                attempts += [unknown_attempt(order, self.batch)] if (order := read_order(path, self.batch)) else []
            elif state != "open":
                remove_marker_of(path)
                Spool(folder).release(attempt_id, delivered=state == "delivered")
        for attempt_id, path in kept.items():
            if attempt_id not in known and (order := read_order(path, self.batch)):
                attempts.append(unusable_attempt(order, self.batch))
        return attempts, set(left)

    def strays(self, busy: set[str], noted: set[str]) -> list[tuple[Job, AttemptRecord, list[SidecarRecord]]]:
        """Return the open attempts that have no slot, each with the sidecars of its delivered files.

        Calls of a submission that was being built are among them, unless it is *noted*: in a database from before its
        end they seem never to have been sent.
        """
        if self.batch_id is None:
            return []
        found = self.reader.ask(partial(open_attempts, batch_id=self.batch_id, building=True))
        return [
            (job, record, self._delivered(job, record))
            for job, record in found
            if record.id not in busy and record.submission_id not in noted
        ]

    def _delivered(self, job: Job, record: AttemptRecord) -> list[SidecarRecord]:
        records = []
        for stem in stems(job.output, job.wanted):
            for extension in EXTENSIONS.values():
                file = list_file(self.batch.folder / f"{stem}.{extension}.json")
                sidecar = None if file is None else read_sidecar(file, self.batch, self.project)
                if sidecar is not None and sidecar.attempt.id == record.id and sidecar.verified().file is not None:
                    records.append(sidecar)
        return records


def _can_read(attempt: RecoveredAttempt, job: PlannedJob) -> bool:
    """Return whether *job* requests what was sent, overrides included, of a provider that it may go to."""
    if attempt.task.provider not in askable(job.recipe.task.provider, job.recipe.route):
        return False
    same_overrides = attempt.fingerprint.partition(OVERRIDDEN)[2] == job.fingerprint.partition(OVERRIDDEN)[2]
    return same_overrides and unchanged(attempt.fingerprint, job.task, job.fingerprint, attempt.task)
