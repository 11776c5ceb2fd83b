"""Jobs of a report: the selected ones with their calls, files and marks, in the order of the manifest, page by page."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING

from ... import redaction
from ...job import State
from ...planning.selection import Selection
from ...store.copies import CopyRecords
from ...store.judging import matching_files
from ...store.marks import of_jobs as marks_of_jobs
from ...store.picture_facts import of_hashes, suspects_of_jobs
from ...store.report_rows import Call, FileRow, ReportRow, calls_of, files_of, jobs_of, selected_ids
from ...store.rows import decode_tags, decode_task
from ...store.tables import micros
from ...task import Task

if TYPE_CHECKING:
    from ...picture import PictureFacts, Suspect
    from ...store.reader import Reader
    from ...store.records import Batch, StoredCopy, StoredMark
    from ..project import Project

#: Jobs that are read together; also those of one file of details.
PAGE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """Which calls a report is about: those of one run, those that ended since a moment, or all."""

    run: str | None = None
    since: datetime | None = None

    @property
    def everything(self) -> bool:
        """Return whether no call is left out."""
        return self.run is None and self.since is None

    def holds(self, call: Call) -> bool:
        """Return whether the report is about *call*."""
        if self.run is not None and call.run_id != self.run:
            return False
        return self.since is None or call.at >= micros(self.since)


EVERYTHING = Scope()


@dataclass(frozen=True, kw_only=True)
class ReportJob:
    """A job with all that a report shows of it."""

    number: int  #: from 0, in the order of the manifest
    row: ReportRow
    every_call: Sequence[Call]
    calls: Sequence[Call]  #: those that the report is about
    pictures: Sequence[FileRow]  #: current files that the report is about
    files: Sequence[FileRow]  #: every current file
    earlier: Sequence[FileRow]  #: superseded files
    copies: Sequence[StoredCopy] = ()
    facts: Mapping[str, PictureFacts] = field(default_factory=dict)  #: by hash
    suspects: Sequence[Suspect] = ()
    marks: Sequence[StoredMark] = ()

    @property
    def is_shown(self) -> bool:
        """Return whether the job has a tile; if it has pictures, at least one must belong to the report."""
        return bool(self.pictures) or not self.files

    @cached_property
    def call_at_provider(self) -> Call | None:
        """Return the call that is at a provider; that of a cancelled job may be, too."""
        return next((call for call in reversed(self.every_call) if call.is_at_provider), None)

    @property
    def is_at_provider(self) -> bool:
        """Return whether the job is at a provider."""
        return self.row.state == State.RUNNING and self.call_at_provider is not None

    @property
    def state(self) -> str:
        """Return the state of the job for users."""
        return "at_provider" if self.is_at_provider else self.row.state

    @cached_property
    def task(self) -> Task:
        """Return the task; decoding it takes longer than all the rest."""
        return decode_task(self.row.task)

    @property
    def tags(self) -> Sequence[str]:
        """Return the tags of the job."""
        return decode_tags(self.row.tags)

    @cached_property
    def call_by_id(self) -> Mapping[str, Call]:
        """Return the calls by attempt id."""
        return {call.id: call for call in self.every_call}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Judgements:
    """What is known of the pictures of some jobs besides their files: by key, by hash, and by job id."""

    copies: Mapping[str, Sequence[StoredCopy]] = field(default_factory=dict)
    facts: Mapping[str, PictureFacts] = field(default_factory=dict)
    suspects: Mapping[int, Sequence[Suspect]] = field(default_factory=dict)
    marks: Mapping[int, Sequence[StoredMark]] = field(default_factory=dict)


@dataclass(kw_only=True, slots=True)
class JobPages:
    """Reads the jobs of a report; each page is one transaction."""

    project: Project
    reader: Reader
    batch: Batch
    selection: Selection = field(default_factory=Selection)
    scope: Scope = EVERYTHING
    only: Sequence[int] | None = None  #: ids of jobs, in place of a selection
    judged: bool = True  #: with copies, facts, suspects and marks of pictures

    def __iter__(self) -> Iterator[list[ReportJob]]:
        # A prompt may contain a key, which a run hides in its log only.
        redaction.register(value for name, value in os.environ.items() if name.endswith(("_KEY", "_TOKEN")))
        chosen = partial(selected_ids, batch_id=self.batch.id, selection=self.selection)
        ids = iter(self.reader.ask(chosen) if self.only is None else self.only)
        number = 0
        while page := list(islice(ids, PAGE)):
            jobs = [job for job in self._page(page, number) if self.scope.everything or job.calls]
            number += sum(job.is_shown for job in jobs)
            if jobs:
                yield jobs

    def _page(self, ids: Sequence[int], first: int) -> Iterator[ReportJob]:
        ask = self.reader.ask
        rows, calls = ask(partial(jobs_of, ids=ids)), ask(partial(calls_of, ids=ids))
        files = ask(partial(files_of, ids=ids))
        judgements = self._judgements(rows, files) if self.judged else _Judgements()
        matching = ask(partial(matching_files, ids=ids, selection=self.selection)) if self.selection.judges else None
        for row in rows:
            every_call, every_file = calls.get(row.id, []), files.get(row.id, [])
            job = ReportJob(
                number=first,
                row=row,
                every_call=every_call,
                calls=[call for call in every_call if self.scope.holds(call)],
                pictures=self._pictures(every_file, every_call, matching),
                files=[file for file in every_file if file.superseded_at is None],
                earlier=[file for file in every_file if file.superseded_at is not None],
                copies=[copy for copy in judgements.copies.get(row.key, ()) if copy.recipe],
                facts=judgements.facts,
                suspects=judgements.suspects.get(row.id, ()),
                marks=judgements.marks.get(row.id, ()),
            )
            first += job.is_shown
            yield job

    def _judgements(self, rows: Sequence[ReportRow], files: Mapping[int, Sequence[FileRow]]) -> _Judgements:
        ask, ids = self.reader.ask, [row.id for row in rows]
        hashes = {file.sha256 for each in files.values() for file in each}
        return _Judgements(
            copies=CopyRecords(self.project.state).of_jobs(self.batch.name, [row.key for row in rows]),
            facts=ask(partial(of_hashes, hashes=hashes)),
            suspects=ask(partial(suspects_of_jobs, ids=ids)),
            marks=ask(partial(marks_of_jobs, ids=ids)),
        )

    def _pictures(
        self, files: Iterable[FileRow], calls: Iterable[Call], matching: Container[tuple[int, int]] | None
    ) -> list[FileRow]:
        """Return the current files of a job that the report is about."""
        attempts = {call.id for call in calls if self.scope.holds(call)}
        return [
            file
            for file in files
            if file.superseded_at is None
            and (self.scope.everything or file.attempt_id in attempts)
            and (matching is None or (file.job_id, file.ordinal) in matching)
        ]
