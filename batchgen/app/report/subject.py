"""The subject of a report: a batch, or one run of it, as users name it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...errors import NoSuchBatch, NotFound

if TYPE_CHECKING:
    from ...store.reader import Reader
    from ...store.records import Batch, Run

#: The form of a run's id.
RUN = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")


def find_subject(reader: Reader, word: str | None) -> tuple[Batch, Run | None]:
    """Return the batch that *word* names (None: the one that ran last), or the run and its batch; raise NotFound."""
    try:
        return reader.batch(word), None
    except NoSuchBatch:
        if word is None or not RUN.fullmatch(word):
            raise
    for batch, run in _runs(reader):
        if run.id == word:
            return batch, run
    raise NotFound(f"no run here has the id {word}; `batchgen list runs` shows those of a batch")


def find_run(reader: Reader, batch: Batch, word: str) -> Run:
    """Return the run *word* of a batch; raise NotFound."""
    for run in reader.runs(batch.id):
        if run.id == word:
            return run
    raise NotFound(f"no run of {batch.name} has the id {word}; `batchgen list runs` shows them")


def _runs(reader: Reader) -> Iterator[tuple[Batch, Run]]:
    for batch in reader.batches():
        for run in reader.runs(batch.id):
            yield batch, run
