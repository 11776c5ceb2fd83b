"""The folder of a batch's report, and the page in it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ...files.output_tree import file_at
from ...files.report_folder import MARKER, NAME, is_report, read_marker, write_marker, writing_report
from ...files.thumbnails import FOLDER as THUMBNAILS
from ...object_url import Folder, ObjectUrl, is_object_url, parse_folder

if TYPE_CHECKING:
    from ...store.records import Batch
    from ..project import Project

#: The page in the folder of a report, and that of a part of the batch, which leaves the whole one as it is.
PAGE_FILE, PART_FILE = "index.html", "selection.html"
#: Characters that the name of a folder may have.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


@dataclass(frozen=True, slots=True)
class ReportFolder:
    """Where a report is written, and where it is seen: the same, but for an output folder in an object store."""

    local: Path
    place: Folder


@dataclass(frozen=True, slots=True)
class ReportPage:
    """The page of a report."""

    place: Folder
    written_at: datetime


def folder_of(project: Project, batch: Batch) -> ReportFolder:
    """Return the folder of a batch's report: ``report`` in its output folder, unless that is something else's.

    An object store is not asked; see ``folder_to_write``.
    """
    output = parse_folder(batch.folder)
    if isinstance(output, ObjectUrl):
        local = project.state / f"{NAME}-{plain(batch.name)}"
        place = str((read_marker(local) or {}).get("place", ""))
        is_known = is_object_url(place) and ObjectUrl.parse(place).parent == output
        return ReportFolder(local, ObjectUrl.parse(place) if is_known else output / NAME)
    usual = output / NAME
    if not usual.exists() or is_of(usual, batch) or _is_empty(usual):
        return ReportFolder(usual, usual)
    other = usual.with_name(f"{NAME}-{plain(batch.name)}")
    return ReportFolder(other, other)


def folder_to_write(project: Project, batch: Batch) -> ReportFolder:
    """Return the folder of a report that is to be written; in an object store, that of another batch is left alone.

    Raises StoreError.
    """
    folder = folder_of(project, batch)
    if isinstance(folder.place, ObjectUrl) and folder.place.name == NAME and not _is_free(folder.place, batch):
        return ReportFolder(folder.local, folder.place.with_name(f"{NAME}-{plain(batch.name)}"))
    return folder


def _is_free(place: ObjectUrl, batch: Batch) -> bool:
    """Return whether no other batch has its report at a place of an object store; raise StoreError."""
    with suppress(FileNotFoundError, ValueError):
        marker = json.loads(file_at(place / MARKER).read())
        return not isinstance(marker, dict) or marker.get("batch") == batch.name
    return True


def begin_report(project: Project, batch: Batch) -> Path:
    """Make the folder of a report with its marker and the folder of thumbnails; raise OSError."""
    folder = folder_of(project, batch).local
    folder.mkdir(parents=True, exist_ok=True)
    with writing_report(folder):
        if not is_of(folder, batch):
            write_marker(folder, {"batch": batch.name})
        (folder / THUMBNAILS).mkdir(exist_ok=True)
    return folder


def find(project: Project, batch: Batch) -> ReportPage | None:
    """Return the page of a batch's report; None if there is none, or none in an object store that was written here."""
    with suppress(OSError):  # an output folder that cannot be read
        folder = folder_of(project, batch)
        page = folder.local / PAGE_FILE
        if is_of(folder.local, batch) and page.is_file():
            return ReportPage(folder.place / PAGE_FILE, datetime.fromtimestamp(page.stat().st_mtime, UTC))
    return None


def is_of(folder: Path, batch: Batch) -> bool:
    """Return whether *folder* has the report of a batch."""
    marker = read_marker(folder) if is_report(folder) else None
    return marker is not None and marker.get("batch") == batch.name


def _is_empty(folder: Path) -> bool:
    """Return whether a folder is empty, apart from the unfinished marker of a report that was killed."""
    return folder.is_dir() and all(path.name == f".{MARKER}.part" for path in folder.iterdir())


def plain(name: str) -> str:
    """Return the name of a batch as a name of files."""
    return "".join(char if char in _PLAIN else "_" for char in name)
