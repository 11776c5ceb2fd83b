"""Suspects of a batch: looked for after its pictures were examined, and written as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial

from ..errors import SettingsError
from ..picture import PictureFacts
from ..planning.suspects import ExaminedPicture, find_suspects
from ..providers.model import SizeRule
from ..providers.presets import preset_names, profile
from ..providers.profile import UnknownModel
from ..providers.sizes import fit_size
from ..store import picture_facts
from ..store.picture_facts import PictureRow
from ..store.reader import Reader
from ..store.records import Batch
from ..task import Kind, Source, Task
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
            task=_with_size_sent(row),
            facts=facts[row.sha256],
            provider=row.provider,
            model=row.model,
            sources=tuple(facts[hashes[each]] for each in row.task.images if hashes.get(each) in facts),
        )
        for row in rows
        if row.sha256 in facts
    ]


def _with_size_sent(row: PictureRow) -> Task:
    """Return the task of a picture; where its provider takes proportions only, pixels are replaced by these."""
    rule = _size_rule(row.provider, row.model, row.task.kind)
    if rule is None or rule.mode != "ratio":
        return row.task
    size, problem = fit_size(row.task.size, rule, row.provider)
    return row.task if problem else replace(row.task, size=size)


@cache
def _size_rule(provider: str, model: str, kind: Kind) -> SizeRule | None:
    """Return the rule for sizes in a provider's preset; None if it has none for this."""
    if provider not in preset_names():
        return None
    try:
        rules = profile(provider).find(model)[1].rules(kind)
    except (UnknownModel, SettingsError):  # SettingsError: a preset whose address only the manifest states
        return None
    return None if rules is None else rules.size
