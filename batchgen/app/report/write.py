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
from .. import thumbnails
from ..project import open_reader
from . import html
from .document import build
from .jobs import EVERYTHING, Scope

if TYPE_CHECKING:
    from ...store.reader import Reader
    from ...store.records import Batch
    from ..project import Project
    from ..thumbnails import OnFiles, ThumbnailReport

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
    unreadable: Sequence[tuple[str, str]] = ()  #: pictures without a thumbnail: path and reason

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
            "unreadable": [{"path": path, "message": message} for path, message in self.unreadable],
        }


def write(
    project: Project,
    name: str | None,
    selection: Selection = Selection(),  # noqa: B008 - frozen
    options: ReportOptions = ReportOptions(),
    on_files: OnFiles = lambda _done, _total: None,
) -> WrittenReport:
    """Write the report of a batch (None: the one that ran last); raise NotFound, StoreError."""
    with open_reader(project) as reader:
        batch = reader.batch(name)
        folder = options.folder or folder_of(batch)
        writer = _Writer(project=project, reader=reader, batch=batch, selection=selection, folder=folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with writing_report(folder):
                return writer.write(options, on_files)
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


@dataclass(kw_only=True, slots=True)
class _Writer:
    """Writes one report."""

    project: Project
    reader: Reader
    batch: Batch
    selection: Selection
    folder: Path
    written: list[Path] = field(default_factory=list)  #: files that changed

    def write(self, options: ReportOptions, on_files: OnFiles) -> WrittenReport:
        """Write everything; raise OSError."""
        # First of all, so that a report that was cut off is still known for one.
        if not _is_of(self.folder, self.batch):
            write_marker(self.folder, {"batch": self.batch.name})
        made = self._thumbnails(on_files)
        chunks: list[str] = []

        def on_details(number: int, details: Sequence[Mapping[str, Any]]) -> None:
            (self.folder / DATA).mkdir(exist_ok=True)
            chunks.append(f"{number:04}.js")
            self._put(self.folder / DATA / chunks[-1], html.chunk(number, details))

        document = build(
            self.project,
            self.reader,
            self.batch,
            self.selection,
            scope=options.scope,
            folder=self.folder,
            on_details=on_details,
        )
        self._put_page(document)
        for path in (self.folder / DATA).glob("*.js"):
            if path.name not in chunks:
                path.unlink()  # an earlier report had more jobs
        return WrittenReport(
            batch=self.batch.name,
            page=self.folder / PAGE_FILE,
            pictures=document["head"]["images"],
            jobs=document["head"]["jobs"],
            files=self.written,
            thumbnails=made.made,
            reused=made.reused,
            suspects=made.suspects,
            unreadable=made.unreadable,
        )

    def _thumbnails(self, on_files: OnFiles) -> ThumbnailReport:
        pictures = None
        if not self.selection.everything:
            pictures = thumbnails.pictures_of(self.project, self.reader, self.batch, self.selection)
        return thumbnails.make(self.project, self.reader, self.batch, self.folder, files=pictures, on_files=on_files)

    def _put_page(self, document: dict[str, Any]) -> None:
        """Write the page, unless it shows the same already but for the time at which it was written."""
        digest = hashlib.sha256(html.render(document | {"generated_at": ""}).encode()).hexdigest()
        marker = {"batch": self.batch.name, "database": document["database"], "digest": digest}
        page = self.folder / PAGE_FILE
        if page.is_file() and read_marker(self.folder) == {"batchgen_report": 1, **marker}:
            return
        self._put(page, html.render(document))
        write_marker(self.folder, marker)

    def _put(self, path: Path, text: str) -> None:
        if write_file(path, text.encode("utf-8", "replace")):
            self.written.append(path)
