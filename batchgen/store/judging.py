"""SQL conditions on marks and suspects: which of them still count, and which jobs and files they select."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, case, exists, false, or_, select

from ..errors import UsageError
from ..job import State
from ..mark import NO_PICTURE
from ..planning.selection import NOTED, UNMARKED, Selection
from .picture_facts import is_examined
from .picture_tables import marks, suspects
from .records import SuspectPicture
from .rows import listed
from .tables import artifacts, jobs


def still_counts(row: FromClause, job: FromClause) -> ColumnElement[bool]:
    """Return the condition that no other picture took the place of the file that a *row* of marks or suspects names.

    A superseded file keeps its place until its job is done again, so that an interrupted redo finds the job again.
    """
    file = artifacts.alias()
    has_place = or_(file.c.superseded_at.is_(None), job.c.state != State.DONE.value)
    newest = select(file.c.id).where(file.c.job_id == row.c.job_id, file.c.ordinal == row.c.ordinal, has_place)
    newest = newest.order_by(file.c.superseded_at.is_not(None), file.c.id.desc()).limit(1)
    any_file = exists().where(file.c.job_id == row.c.job_id, file.c.superseded_at.is_(None))
    is_newest = newest.correlate_except(file).scalar_subquery() == row.c.artifact_id
    return case((row.c.ordinal == NO_PICTURE, ~any_file), else_=is_newest)


def judging_conditions(batch_id: int, selection: Selection) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions for jobs with a picture that has one of the marks, and is suspect, as *selection* asks."""
    if selection.marks:
        yield or_(*_marked(batch_id, selection))
    elif selection.suspects:
        row, job = suspects.alias(), jobs.alias()
        wanted = select(row.c.job_id).join(job, job.c.id == row.c.job_id).where(row.c.batch_id == batch_id)
        yield jobs.c.id.in_(wanted.where(row.c.kind.in_(selection.suspects), still_counts(row, job)))


def _marked(batch_id: int, selection: Selection) -> Iterator[ColumnElement[bool]]:
    values = [value for value in selection.marks if value != UNMARKED]
    if values:
        row, job = marks.alias(), jobs.alias()
        wanted = select(row.c.job_id).join(job, job.c.id == row.c.job_id).where(row.c.batch_id == batch_id)
        conditions = (
            _is_one_of(row, values),
            still_counts(row, job),
            *_is_suspect(row.c.job_id, row.c.artifact_id, selection),
        )
        yield jobs.c.id.in_(wanted.where(*conditions))
    if UNMARKED in selection.marks:
        file = artifacts.alias()
        current = (file.c.job_id == jobs.c.id, file.c.superseded_at.is_(None))
        yield exists().where(*current, _is_unmarked(file), *_is_suspect(file.c.job_id, file.c.id, selection))


def require_examined(connection: Connection, batch_id: int, selection: Selection) -> None:
    """Raise UsageError if suspects are selected, and those of the batch were never looked for."""
    if selection.suspects and not is_examined(connection, batch_id):
        raise UsageError(
            f"--suspect {selection.suspects[0]}: the pictures of this batch have not been examined yet. "
            "To examine them: `batchgen report`, or `batchgen verify --deep`"
        )


def suspects_of(connection: Connection, ids: Iterable[int]) -> dict[int, list[SuspectPicture]]:
    """Return the suspects among the pictures of these jobs by job id, without those that were replaced."""
    other = jobs.alias()
    wanted = select(suspects, other.c.key).join(jobs, jobs.c.id == suspects.c.job_id)
    wanted = wanted.outerjoin(other, other.c.id == suspects.c.other_job_id).order_by(suspects.c.ordinal, suspects.c.id)
    by_job: dict[int, list[SuspectPicture]] = {}
    for row in connection.execute(wanted.where(suspects.c.job_id.in_(listed(ids)), still_counts(suspects, jobs))):
        picture = SuspectPicture(row.ordinal, row.kind, row.detail, row.key, row.other_ordinal)
        by_job.setdefault(row.job_id, []).append(picture)
    return by_job


def matching_files(connection: Connection, ids: Sequence[int], selection: Selection) -> frozenset[tuple[int, int]]:
    """Return job id and ordinal of those current files of these jobs that *selection* asks for by mark or suspect."""
    file = artifacts.alias()
    wanted = select(file.c.job_id, file.c.ordinal).where(file.c.job_id.in_(listed(ids)), file.c.superseded_at.is_(None))
    if selection.marks:
        row = marks.alias()
        values = [value for value in selection.marks if value != UNMARKED]
        has_mark = exists().where(
            row.c.artifact_id == file.c.id, row.c.job_id == file.c.job_id, _is_one_of(row, values)
        )
        is_unmarked = [_is_unmarked(file)] if UNMARKED in selection.marks else []
        wanted = wanted.where(or_(*([has_mark] if values else []), *is_unmarked))
    rows = connection.execute(wanted.where(*_is_suspect(file.c.job_id, file.c.id, selection)))
    return frozenset((row.job_id, row.ordinal) for row in rows)


def _is_one_of(row: FromClause, values: Sequence[str]) -> ColumnElement[bool]:
    return or_(false(), *(_is(row, value) for value in values))


def _is(row: FromClause, value: str) -> ColumnElement[bool]:
    if value == NOTED:
        return row.c.note != ""
    return row.c.stars >= int(value) if value.isdigit() else row.c.mark == value


def _is_unmarked(file: FromClause) -> ColumnElement[bool]:
    """Return the condition for a file that is neither picked nor rejected."""
    row = marks.alias()
    return ~exists().where(row.c.job_id == file.c.job_id, row.c.artifact_id == file.c.id, row.c.mark.is_not(None))


def _is_suspect(
    job_id: ColumnElement[Any], artifact_id: ColumnElement[Any], selection: Selection
) -> Iterator[ColumnElement[bool]]:
    if selection.suspects:
        row = suspects.alias()
        # The job is part of the condition because the index is on it.
        of_file = (row.c.job_id == job_id, row.c.artifact_id == artifact_id)
        yield exists().where(*of_file, row.c.kind.in_(selection.suspects))
