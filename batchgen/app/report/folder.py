"""The folder of a batch's report, and the page in it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ...files.report_folder import MARKER, NAME, is_report, read_marker, write_marker, writing_report
from ...files.thumbnails import FOLDER as THUMBNAILS

if TYPE_CHECKING:
    from ...store.records import Batch

#: The page in the folder of a report.
PAGE_FILE = "index.html"
#: Characters that the name of a folder may have.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def folder_of(batch: Batch) -> Path:
    """Return the folder of a batch's report: ``report`` in its output folder, unless that is something else's."""
    usual = Path(batch.folder) / NAME
    if not usual.exists() or is_of(usual, batch) or _is_empty(usual):
        return usual
    return usual.with_name(f"{NAME}-{plain(batch.name)}")


def begin_report(batch: Batch) -> Path:
    """Make the folder of a report with its marker and the folder of thumbnails; raise OSError."""
    folder = folder_of(batch)
    folder.mkdir(parents=True, exist_ok=True)
    with writing_report(folder):
        if not is_of(folder, batch):
            write_marker(folder, {"batch": batch.name})
        (folder / THUMBNAILS).mkdir(exist_ok=True)
    return folder


def find(batch: Batch) -> Path | None:
    """Return the page of a batch's report; None if there is none."""
    with suppress(OSError):  # an output folder that cannot be read
        folder = folder_of(batch)
        if is_of(folder, batch) and (folder / PAGE_FILE).is_file():
            return folder / PAGE_FILE
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
