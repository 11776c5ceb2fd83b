"""What lies around a job table that it may not know: sidecars of delivered files, slots of calls.  A doer: reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from ...files.images import EXTENSIONS
from ...files.spool import KEPT_SUFFIX, Spool
from ...job import Job
from ...manifest import Batch
from ...manifest.filenames import stems
from ...route import askable
from ...store.reader import Reader
from ...store.records import AttemptRecord, RecoveredAttempt
from ..project import Project
from .evidence import (
    SidecarRecord,
    has_order,
    read_order,
    read_sidecar,
    sidecars,
    slots,
    unknown_attempt,
    unusable_attempt,
)
from .last_run import is_behind

#: Sidecars looked at together, by so many threads.
_TOGETHER, _THREADS = 200, 8
#: How far a file's time may lie before that of the call that made it.
_SLACK = timedelta(minutes=5)


@dataclass(kw_only=True, slots=True)
class RecoveryScan:
    """What lies around the job table that it may not know."""

    project: Project
    reader: Reader
    batch: Batch
    batch_id: int | None = field(init=False)
    is_outdated: bool = field(init=False)  #: the table is older than its last run
    ended_at: datetime | None = field(init=False)  #: of the last run; None where it was cut off, or there was none
    thorough: bool = field(init=False)  #: look at every sidecar, not only at those newer than the table

    def __post_init__(self) -> None:
        self.batch_id = next((b.id for b in self.reader.batches() if b.name == self.batch.name), None)
        runs = self.reader.runs(self.batch_id) if self.batch_id is not None else []
        self.is_outdated = is_behind(self.project, self.batch.name, runs)
        self.thorough = self.is_outdated or not runs
        self.ended_at = runs[0].ended_at if runs else None

    def recovered_attempts(self, busy: set[str]) -> Iterator[RecoveredAttempt]:
        """Yield what sidecars tell of attempts that the table does not know; not of those in *busy*."""
        # while a run is on, nobody else works in its folder: others' files are newer than its end
        since = None
        if not self.thorough and self.batch_id is not None:
            since = self.ended_at or self.reader.newest_attempt(self.batch_id)
        paths = sidecars(self.batch.folder, since - _SLACK if since else None)
        with ThreadPoolExecutor(_THREADS) as threads:
            while chunk := list(islice(paths, _TOGETHER)):
                found = [one for one in threads.map(self._told, chunk) if one and one.trace.id not in busy]
                known = self.reader.attempt_states([one.trace.id for one in found])
                yield from threads.map(SidecarRecord.verified, [one for one in found if one.trace.id not in known])

    def _told(self, path: Path) -> SidecarRecord | None:
        return read_sidecar(path, self.batch, self.project)

    def live(self, found: Sequence[RecoveredAttempt]) -> set[str]:
        """Return the attempts among *found* whose slot can be read by the rules of the job that stands now."""
        named = {trace.key for trace in found if trace.live}
        if not named:
            return set()
        wanted = (job for job in self.batch.jobs if job.key in named)
        planned = {
            (job.key, job.fingerprint, name)
            for job in wanted
            for name in askable(job.recipe.task.provider, job.recipe.route)
        }
        return {t.id for t in found if t.live and (t.key, t.fingerprint, t.task.provider) in planned}

    def keep(self, found: Sequence[RecoveredAttempt]) -> None:
        """Put slots by that nobody will finish: a person may look at them."""
        ids = [trace.id for trace in found if trace.live]
        for attempt_id, (state, _) in self.reader.attempt_states(ids).items():
            if state != "open":
                Spool(self.project.state / "spool").set_aside(attempt_id)

    def slots(self) -> tuple[list[RecoveredAttempt], set[str]]:
        """Return the slots that no row speaks of, as traces, and the attempts whose slot is there.

        The slot of an attempt that has ended goes: its run died between the last commit and removing it.
        """
        folder = self.project.state / "spool"
        left = {path.stem: path for path in slots(folder, ".slot")}
        kept = {path.stem: path for path in slots(folder, KEPT_SUFFIX)}
        known = self.reader.attempt_states([*left, *kept])
        found = []
        for attempt_id, path in left.items():
            state, _ = known.get(attempt_id, (None, None))
            if state is None and not has_order(path):
                Spool(folder).set_aside(attempt_id)  # no run will ever finish it
            elif state is None:
                found += [unknown_attempt(trace, self.batch)] if (trace := read_order(path, self.batch)) else []
            elif state != "open":
                Spool(folder).release(attempt_id, delivered=state == "delivered")
        for attempt_id, path in kept.items():
            if attempt_id not in known and (trace := read_order(path, self.batch)):
                found.append(unusable_attempt(trace, self.batch))
        return found, set(left)

    def strays(self, busy: set[str]) -> list[tuple[Job, AttemptRecord, list[SidecarRecord]]]:
        """Return attempts that are open in the table and have no slot, each with the sidecars of what it delivered."""
        if self.batch_id is None:
            return []
        return [
            (job, record, self._delivered(job, record))
            for job, record in self.reader.open_attempts(self.batch_id)
            if record.id not in busy
        ]

    def _delivered(self, job: Job, record: AttemptRecord) -> list[SidecarRecord]:
        found = []
        for stem in stems(job.output, job.wanted):
            for extension in EXTENSIONS.values():
                one = self._told(self.batch.folder / f"{stem}.{extension}.json")
                if one is not None and one.trace.id == record.id and one.verified().file is not None:
                    found.append(one)
        return found
