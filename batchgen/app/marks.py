"""Marks: reads and changes those of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from ..mark import Mark
from ..planning.marks import Merge
from ..store import marks
from ..store.records import StoredMark
from .project import Project, open_reader


def read(project: Project, batch: str | None) -> Sequence[StoredMark]:
    """Return the marks of a batch (None: the one that ran last) in the order of its manifest."""
    with open_reader(project) as reader:
        return reader.ask(partial(marks.of_batch, batch_id=reader.batch(batch).id))


def change(project: Project, batch: str | None, entries: Iterable[Mark], *, latest: bool = True) -> Merge:
    """Set the marks of a batch, also during a run; an empty entry clears one. Raises NotFound, StoreError.

    *latest*: these are decisions of this moment; otherwise, of two marks of one picture the later one counts.
    """
    with open_reader(project) as reader:
        batch_id = reader.batch(batch).id
    return marks.write(project.db, batch_id, entries, latest=latest)
