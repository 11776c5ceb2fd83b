"""Marks: lists, imports, changes and clears those of a batch."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import NotFound, StoreError, UsageError
from ..files.atomic import write_atomic
from ..mark import Mark
from ..planning import marks_file
from ..planning.marks import Merge, Result, has
from ..planning.marks_file import MarksFile
from ..planning.selection import IdList, Selection, absent_ids
from ..store import marks
from ..store.queries import known_keys
from ..store.reader import Reader
from ..store.records import Batch, StoredMark
from .clock import utc_now
from .project import Project, open_reader

#: The folder of removed marks, in the folder of the job database.
REMOVED = "marks"


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkList:
    """Marks of a batch."""

    batch: Batch
    database: str  #: the id of the job database
    sandbox: bool
    marks: Sequence[StoredMark]
    replaced: int = 0  #: marks of pictures that were replaced; they are not among the others
    undo: Path | None = None  #: of removed marks: the file that brings them back

    def as_json(self) -> dict[str, Any]:
        """Return the document of ``marks.json``."""
        return marks_file.document(
            self.marks, database=self.database, batch=self.batch.name, sandbox=self.sandbox, now=utc_now()
        )


def read(project: Project, batch: str | None) -> Sequence[StoredMark]:
    """Return the marks of a batch (None: the one that ran last), those of replaced pictures included."""
    with open_reader(project) as reader:
        return reader.ask(partial(marks.of_batch, batch_id=reader.batch(batch).id))


def change(project: Project, batch: str | None, entries: Iterable[Mark], *, latest: bool = True) -> Merge:
    """Set the marks of a batch, also during a run; an empty entry clears one. Raises NotFound, StoreError.

    *latest*: these are decisions of this moment; otherwise, of two marks of one picture the later one counts.
    """
    with open_reader(project) as reader:
        batch_id = reader.batch(batch).id
    return marks.write(project.db, batch_id, entries, latest=latest)


def list_marks(project: Project, batch: str | None, selection: Selection) -> MarkList:
    """Return the marks of a batch that *selection* selects."""
    with open_reader(project) as reader:
        named = reader.batch(batch)
        stored = reader.ask(partial(marks.of_batch, batch_id=named.id))
        of_jobs = replace(selection, marks=(), orphaned=True)
        if not of_jobs.everything:
            ids = {job.id for job in reader.jobs(named.id, of_jobs)}
            stored = [mark for mark in stored if mark.job_id in ids]
    wanted = [mark for mark in stored if has(mark, selection.marks)]
    return MarkList(
        batch=named,
        database=marks.database_id(project.db),
        sandbox=project.sandbox,
        marks=[mark for mark in wanted if not mark.replaced],
        replaced=sum(mark.replaced for mark in wanted),
    )


def clear(project: Project, batch: str | None, selection: Selection) -> MarkList:
    """Remove the selected marks of a batch, and return them with a file that brings them back; raise StoreError."""
    removed = list_marks(project, batch, selection)
    if not removed.marks:
        return removed
    undo = project.state / REMOVED / f"cleared-{utc_now():%Y%m%dT%H%M%S%f}.json"
    try:
        undo.parent.mkdir(mode=0o700, exist_ok=True)
        write_atomic(undo, json.dumps(removed.as_json(), ensure_ascii=False, indent=1).encode())
    except OSError as error:
        raise StoreError(
            f"cannot write {undo}, which would bring the marks back ({error.strerror}). Nothing was cleared. "
            "Free some space or check permissions, and repeat the command"
        ) from error
    marks.remove(project.db, removed.marks)
    return replace(removed, undo=undo)


# --- import -------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportReport:
    """What became of the marks in a file."""

    batch: Batch
    file: str
    changes: Sequence[Mark] = ()
    results: Mapping[Result, int] = field(default_factory=dict)
    notices: Sequence[str] = ()

    def count(self, result: Result) -> int:
        """Return how many entries had this result."""
        return self.results.get(result, 0)


def import_file(project: Project, batch: str | None, file: MarksFile) -> ImportReport:
    """Merge the marks in a file into those of its batch, also during a run: the later mark of a picture counts.

    Raises UsageError for a file of another job database or batch, and NotFound for one with unknown ids; nothing is
    changed then. Marks of pictures that were replaced since are skipped.
    """
    _require_kind(project, file)
    with open_reader(project) as reader:
        target = _batch(reader, batch, file)
        notices = _origin_notices(project, reader, target, file)
        _require_ids(reader, target, file)
    merged = marks.write(project.db, target.id, file.marks)
    return ImportReport(batch=target, file=file.name, changes=merged.changes, results=merged.results, notices=notices)


def _require_kind(project: Project, file: MarksFile) -> None:
    """Raise UsageError if the file is of sandbox runs and these are real ones, or the other way round."""
    if file.sandbox is None or file.sandbox == project.sandbox:
        return
    other = project.counterpart.command_flags().plain("marks import", shlex.quote(file.name))
    made, here = ("a sandbox run", "real jobs") if file.sandbox else ("real jobs", "those of a sandbox run")
    raise UsageError(
        f"{file.name} has marks of {made}, and cannot mark {here}. Nothing was changed. "
        f"To import it where it was made: {other}"
    )


def _batch(reader: Reader, name: str | None, file: MarksFile) -> Batch:
    if name is not None and file.batch is not None and name != file.batch:
        raise UsageError(
            f"{file.name} has marks of batch {file.batch}, not of {name}. Nothing was changed. "
            f"To import it there: `batchgen marks import {shlex.quote(file.name)} --batch {shlex.quote(file.batch)}`"
        )
    if name is None and file.batch is not None and reader.batch_id(file.batch) is None:
        names = ", ".join(batch.name for batch in reader.batches())
        raise UsageError(
            f"{file.name} has marks of batch {file.batch}, which this job database does not have. There are: {names}. "
            "Nothing was changed. Use -C or --db to name the project that it was made in"
        )
    return reader.batch(name or file.batch)


def _origin_notices(project: Project, reader: Reader, batch: Batch, file: MarksFile) -> list[str]:
    """Return what is known of the file's origin; raise UsageError if it is of another job database.

    A job database that was rebuilt has another id but the same pictures: then every mark has its picture here.
    """
    if file.database == marks.database_id(project.db):
        return []
    merged = reader.ask(partial(marks.compare, batch_id=batch.id, entries=file.marks))
    foreign = merged.results.get(Result.REPLACED, 0)
    if file.database is None:
        if file.marks and foreign == len(file.marks):
            raise UsageError(
                f"{file.name}: none of its {foreign:,} marks is of a picture that {batch.name} has now. Nothing was "
                "changed. Use --batch, -C or --sandbox to name where it was made"
            )
        return ["a table does not name its job database: the hashes of the pictures were compared"]
    if foreign:
        raise UsageError(
            f"{file.name} was made with another job database (id {file.database}), and {foreign:,} of its "
            f"{len(file.marks):,} marks are not of pictures that {batch.name} has here. Nothing was changed. "
            "Use -C or --db to name the project that it was made in"
        )
    return ["it was made with another job database, which had the same pictures"]


def _require_ids(reader: Reader, batch: Batch, file: MarksFile) -> None:
    """Raise NotFound if the batch lacks ids of the file."""
    keys_here = reader.ask(partial(known_keys, batch_id=batch.id, keys=file.lines))
    if absent := [key for key in file.lines if key not in keys_here]:
        listed = Selection(listed=IdList(file.name, file.lines))
        keys = (job.key for job in reader.jobs(batch.id, Selection(orphaned=True)))
        raise NotFound(
            f"no job of {batch.name} has the id {absent_ids(listed, absent, keys)}. Nothing was changed. "
            "`batchgen list jobs` shows all of them"
        )
