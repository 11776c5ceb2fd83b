"""Writes a report: its folder, the page, the details in chunks, and the thumbnails."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import StoreError
from ...files.report_folder import NAME, is_report, read_marker, write_file, write_marker, writing_report
from ...planning.selection import Selection
from ..project import open_reader
from . import html
from .document import build
from .jobs import EVERYTHING, Scope

if TYPE_CHECKING:
    from ...store.reader import Reader
    from ...store.records import Batch
    from ..project import Project

#: The page, and the folder of its details, in the folder of a report.
PAGE_FILE, DATA = "index.html", "data"
#: Characters that a folder's name may have.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportOptions:
    """How a report is written."""

    scope: Scope = EVERYTHING
    single_file: bool = False
    folder: Path | None = None  #: absolute; None: the usual one


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenReport:
    """A report that was written."""

    batch: str
    page: Path
    pictures: int
    jobs: Mapping[str, int]  #: by state, and in total
    files: Sequence[Path] = field(default_factory=tuple)  #: that were written: those that changed
    thumbnails: int = 0  #: that were made
    reused: int = 0  #: thumbnails
    suspects: Mapping[str, int] = field(default_factory=dict)  #: pictures by kind

    def as_json(self) -> dict[str, Any]:
        """Return it as ``report --json`` prints it."""
        return {
            "batch": self.batch,
            "page": str(self.page),
            "pictures": self.pictures,
            "jobs": dict(self.jobs),
            "files": [str(file) for file in self.files],
            "thumbnails": {"made": self.thumbnails, "reused": self.reused},
            "suspects": dict(self.suspects),
        }


def write(
    project: Project,
    name: str | None,
    selection: Selection = Selection(),  # noqa: B008 - frozen
    options: ReportOptions = ReportOptions(),
) -> WrittenReport:
    """Write the report of a batch (None: the one that ran last); raise NotFound, StoreError."""
    with open_reader(project) as reader:
        batch = reader.batch(name)
        folder = options.folder or folder_of(batch)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with writing_report(folder):
                return _write(project, reader, batch, selection, options, folder)
        except OSError as error:
            raise StoreError(
                f"the report cannot be written to {folder}: {error.strerror or error}. "
                "Free disk space, fix the folder, or choose another one: batchgen report -o DIR"
            ) from error


def folder_of(batch: Batch) -> Path:
    """Return the folder of a batch's report: ``report`` in its output folder, unless that is something else's."""
    usual = Path(batch.folder) / NAME
    if not usual.exists() or _is_of(usual, batch) or not any(usual.iterdir()):
        return usual
    own = "".join(char if char in _PLAIN else "_" for char in batch.name)
    return usual.with_name(f"{NAME}-{own}")


def find(batch: Batch) -> Path | None:
    """Return the page of a batch's report; None if there is none."""
    folder = folder_of(batch)
    return folder / PAGE_FILE if _is_of(folder, batch) and (folder / PAGE_FILE).is_file() else None


def _is_of(folder: Path, batch: Batch) -> bool:
    marker = read_marker(folder) if is_report(folder) else None
    return marker is not None and marker.get("batch") == batch.name


def _write(  # noqa: PLR0917 - see write
    project: Project, reader: Reader, batch: Batch, selection: Selection, options: ReportOptions, folder: Path
) -> WrittenReport:
    # First of all, so that a report that was cut off is still known for one.
    if not _is_of(folder, batch):
        write_marker(folder, {"batch": batch.name})
    written: list[Path] = []
    chunks: list[str] = []

    def on_details(number: int, details: Sequence[Mapping[str, Any]]) -> None:
        (folder / DATA).mkdir(exist_ok=True)
        chunks.append(f"{number:04}.js")
        _put(folder / DATA / chunks[-1], html.chunk(number, details), written)

    document = build(project, reader, batch, selection, scope=options.scope, folder=folder, on_details=on_details)
    _put_page(folder, batch, document, written)
    _remove_others(folder / DATA, chunks)
    return WrittenReport(
        batch=batch.name,
        page=folder / PAGE_FILE,
        pictures=document["head"]["images"],
        jobs=document["head"]["jobs"],
        files=written,
    )


def _put_page(folder: Path, batch: Batch, document: dict[str, Any], written: list[Path]) -> None:
    """Write the page, unless it shows the same already but for the time at which it was written."""
    digest = hashlib.sha256(html.render(document | {"generated_at": ""}).encode()).hexdigest()
    marker = {"batch": batch.name, "database": document["database"], "digest": digest}
    page = folder / PAGE_FILE
    if page.is_file() and read_marker(folder) == {"batchgen_report": 1, **marker}:
        return
    _put(page, html.render(document), written)
    write_marker(folder, marker)


def _put(path: Path, text: str, written: list[Path]) -> None:
    if write_file(path, text.encode("utf-8", "replace")):
        written.append(path)


def _remove_others(folder: Path, names: Sequence[str]) -> None:
    """Remove details that an earlier report left."""
    for path in folder.glob("*.js"):
        if path.name not in names:
            path.unlink()
