"""Submissions that the job database lacks although their batches may be at the provider: known by their notes."""

from __future__ import annotations

from functools import partial

from ...database_url import database_name
from ...engine.batches.notes import SubmissionNote, read_note
from ...files.result_files import FOLDER, noted_submissions
from ...manifest import Batch
from ...store import lost_submissions, migrate
from ...store.reader import Reader
from ...store.submissions import SubmissionState
from ..project import Project


def batches_to_recover(project: Project, batch: Batch) -> int:
    """Return how many batches at their providers the job database lacks: a run takes them in before it plans."""
    if migrate.revision(project.db) is None:
        return len(missing_submissions(project, batch, None))
    with Reader(project.db) as reader:
        return len(missing_submissions(project, batch, reader))


def missing_submissions(project: Project, batch: Batch, reader: Reader | None) -> list[SubmissionNote]:
    """Return the submissions of *batch*, oldest first, that the database lacks, or has from before their end.

    Without a *reader* there is no database.
    """
    stored = noted_submissions(project.state / FOLDER)
    if not stored:
        return []
    ids = [files.submission_id for files in stored]
    known = {} if reader is None else reader.ask(partial(lost_submissions.states, ids=ids))
    building = SubmissionState.BUILDING
    notes = [read_note(files) for files in stored if known.get(files.submission_id, building) is building]
    name = database_name(project.db)
    mine = [note for note in notes if note and (note.batch, note.database) == (batch.name, name)]
    return sorted(mine, key=lambda note: note.submission.created_at)
