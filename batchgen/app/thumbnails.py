"""Thumbnails of a batch and the facts of its pictures: makes what is missing, in several processes.

Both go by the hash of a file's content, so that a second call for an unchanged batch makes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ..errors import StoreError
from ..files.superseded import SupersededFiles
from ..files.thumbnail_pool import examine_all
from ..files.thumbnails import FOLDER, FileGone, PictureFile, is_abandoned, thumbnail_path
from ..object_url import Folder, name_in, parse_folder, place_of
from ..picture import VERSION, PictureFacts
from ..planning.selection import Selection
from ..store import picture_facts
from ..store.queries import superseded_files
from ..store.reader import Reader
from ..store.records import Batch, StoredArtifact
from ..store.report_rows import FileRow
from ..task import Kind
from .clock import utc_now
from .project import Project
from .sources import source_file
from .suspects import update_suspects

#: Gets the number of files examined so far, and of all that are to be examined.
OnFiles = Callable[[int, int], None]

#: Facts written in one transaction: few enough that a run, which writes as well, does not wait.
_PAGE = 250


@dataclass(kw_only=True, slots=True)
class ThumbnailReport:
    """What was made, and what was found on the way."""

    made: int = 0
    reused: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)  #: path and reason
    suspects: Mapping[str, int] = field(default_factory=dict)  #: pictures that may be wrong, by kind


def make(
    project: Project,
    reader: Reader,
    batch: Batch,
    folder: Path,
    *,
    files: Iterable[PictureFile] | None = None,
    on_files: OnFiles = lambda _done, _total: None,
    processes: int | None = None,
) -> ThumbnailReport:
    """Write the thumbnails that the report in *folder* lacks, then look for suspects in the whole batch.

    *files* are the pictures of the report, by default all of the batch. Raises StoreError.
    """
    report = ThumbnailReport()
    thumbs = prepare_folder(folder)
    wanted = pictures_of(project, reader, batch) if files is None else files
    missing, report.reused = _missing(reader, {each.sha256: each for each in wanted}, thumbs)
    facts: list[PictureFacts] = []
    for number, (picture, answer) in enumerate(examine_all(missing, folder, processes), 1):
        on_files(number, len(missing))
        if isinstance(answer, FileGone):
            report.unreadable.append((str(picture.path), answer.message))
            continue
        facts.append(answer)
        if answer.error is None:
            report.made += 1
        else:
            report.unreadable.append((str(picture.path), answer.error))
        if len(facts) == _PAGE:
            picture_facts.write_facts(project.db, facts, utc_now())
            facts = []
    picture_facts.write_facts(project.db, facts, utc_now())
    report.suspects = update_suspects(project, reader, batch)
    return report


def prepare_folder(folder: Path) -> set[str]:
    """Make the folder of thumbnails, and return the names in it; raise StoreError."""
    names = set()
    try:
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        with os.scandir(folder / FOLDER) as entries:
            for entry in entries:
                if is_abandoned(entry.name):
                    Path(entry.path).unlink(missing_ok=True)
                names.add(entry.name)
    except OSError as error:
        raise StoreError(
            f"cannot write thumbnails into {folder}: {error.strerror}. Check owner and permissions of the folder, or "
            "write the report elsewhere"
        ) from error
    return names


def pictures_of(
    project: Project,
    reader: Reader,
    batch: Batch,
    selection: Selection = Selection(),  # noqa: B008 - frozen
) -> Iterator[PictureFile]:
    """Yield the pictures of the selected jobs: current files, their earlier forms, and the sources of edits."""
    for page in reader.files(batch.id, selection):
        for delivered in page:
            yield PictureFile(path=place_of(delivered.file.path, project.root), sha256=delivered.file.sha256)
    earlier = SupersededFiles(parse_folder(batch.folder))
    for stored in reader.ask(partial(superseded_files, batch_id=batch.id)):
        if place := earlier_form(project, batch, stored, earlier):
            yield PictureFile(path=place, sha256=stored.sha256)
    if selection.kinds and Kind.EDIT.value not in selection.kinds:
        return
    for job in reader.jobs(batch.id, replace(selection, kinds=(Kind.EDIT.value,))):
        for source in job.task.sources:
            if file := source_file(project, source):
                yield file


def earlier_form(
    project: Project, batch: Batch, file: StoredArtifact | FileRow, superseded: SupersededFiles
) -> Folder | None:
    """Return where a superseded file is; its stored path is that under which it was delivered."""
    name = name_in(parse_folder(batch.folder), place_of(file.path, project.root))
    return None if name is None else superseded.find(name, file.sha256, file.size_bytes)


def _missing(reader: Reader, wanted: Mapping[str, PictureFile], thumbs: set[str]) -> tuple[list[PictureFile], int]:
    """Return the pictures that were not examined or lack a thumbnail, and how many there are besides."""
    known: dict[str, PictureFacts] = reader.ask(partial(picture_facts.of_hashes, hashes=list(wanted)))
    missing = []
    for sha256, picture in wanted.items():
        facts = known.get(sha256)
        is_current = facts is not None and facts.version == VERSION
        is_there = thumbnail_path(Path(), sha256).name in thumbs
        if not (is_current and (is_there or (facts is not None and facts.error))):
            missing.append(picture)
    return missing, len(wanted) - len(missing)
