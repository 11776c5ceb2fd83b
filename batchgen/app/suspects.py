"""Suspects of a batch: looked for after its pictures were examined, and written as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ..picture import PictureFacts
from ..planning.suspects import ExaminedPicture, find_suspects
from ..store import picture_facts
from ..store.picture_facts import PictureRow
from ..store.reader import Reader
from ..store.records import Batch
from ..task import Source
from .project import Project
from .sources import source_file


def update_suspects(project: Project, reader: Reader, batch: Batch) -> Mapping[str, int]:
    """Look for suspects again if pictures or facts have changed; return how many there are of each kind.

    Raises StoreError.
    """
    state = reader.ask(partial(picture_facts.state_of_pictures, batch_id=batch.id))
    if reader.ask(partial(picture_facts.examined_state, batch_id=batch.id)) != state:
        rows = reader.ask(partial(picture_facts.pictures, batch_id=batch.id))
        suspects = find_suspects(_examined(project, reader, rows))
        picture_facts.replace_suspects(project.db, batch.id, suspects, state)
    return reader.ask(partial(picture_facts.suspect_counts, batch_id=batch.id))


def _examined(project: Project, reader: Reader, rows: list[PictureRow]) -> list[ExaminedPicture]:
    """Return the pictures of a batch whose facts are known."""
    hashes: dict[Source, str] = {}
    for row in rows:
        for source in row.task.images:
            if source not in hashes and (file := source_file(project, source)):
                hashes[source] = file.sha256
    wanted = {row.sha256 for row in rows} | set(hashes.values())
    facts: dict[str, PictureFacts] = reader.ask(partial(picture_facts.of_hashes, hashes=wanted))
    return [
        ExaminedPicture(
            job_id=row.job_id,
            key=row.key,
            ordinal=row.ordinal,
            artifact_id=row.artifact_id,
            task=row.task,
            facts=facts[row.sha256],
            provider=row.provider,
            model=row.model,
            sources=tuple(facts[hashes[each]] for each in row.task.images if hashes.get(each) in facts),
        )
        for row in rows
        if row.sha256 in facts
    ]
