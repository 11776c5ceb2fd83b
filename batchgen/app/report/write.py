"""Writes a report: its folder, the page, the details in chunks, and the thumbnails."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import StoreError
from ...files.listing import FileSizes
from ...files.report_folder import DATA, read_marker, write_file, write_marker, writing_report
from ...files.thumbnails import FOLDER as THUMBNAILS
from ...object_url import Folder, ObjectUrl, is_object_url, parse_folder
from ...planning.selection import Selection
from .. import thumbnails
from ..project import open_reader
from . import html
from .archive import Archive, write_archive
from .document import build, places_of
from .folder import PAGE_FILE, PART_FILE, ReportFolder, folder_to_write, is_of, plain
from .inline import inline_thumbnails
from .jobs import Scope
from .subject import find_run, find_subject

if TYPE_CHECKING:
    from ...store.reader import Reader
    from ...store.records import Batch, Run
    from ..project import Project
    from ..thumbnails import OnFiles, ThumbnailReport
    from .contact_sheet import Sheet


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportOptions:
    """How a report is written; paths are absolute."""

    since: datetime | str | None = None  #: a moment, or the id of the run with whose start it begins
    selected_by: str = ""  #: the selecting options, as typed
    folder: Path | None = None  #: None: the usual one
    single_file: bool = False  #: thumbnails are inside the page
    zipped: bool = False  #: write a zip of the output folder
    archive: Path | None = None  #: the zip; None: beside the output folder
    sheet: Path | None = None  #: a contact sheet, as .pdf or .png


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenReport:
    """A report that was written."""

    batch: str
    page: Folder
    size_bytes: int  #: of the page
    pictures: int
    jobs: Mapping[str, int]  #: by state, and in total
    files: Sequence[Folder] = field(default_factory=tuple)  #: that were written: those that changed
    thumbnails: ThumbnailReport
    archive: Archive | None = None
    sheet: Sheet | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as ``report --json`` prints it."""
        made, archive, sheet = self.thumbnails, self.archive, self.sheet
        return {
            "batch": self.batch,
            "page": str(self.page),
            "pictures": self.pictures,
            "jobs": dict(self.jobs),
            "files": [str(file) for file in self.files],
            "thumbnails": {"made": made.made, "reused": made.reused},
            "suspects": dict(made.suspects),
            "unreadable": [{"path": path, "message": message} for path, message in made.unreadable],
            "zip": None
            if archive is None
            else {"path": str(archive.path), "bytes": archive.size_bytes, "missing": list(archive.missing)},
            "contact_sheet": None
            if sheet is None
            else {"files": [str(file) for file in sheet.files], "pages": sheet.pages},
        }


def write(
    project: Project,
    name: str | None,
    selection: Selection = Selection(),  # noqa: B008 - frozen
    options: ReportOptions = ReportOptions(),
    on_files: OnFiles = lambda _done, _total: None,
) -> WrittenReport:
    """Write the report of a batch, or of one run (None: the batch that ran last); raise NotFound, StoreError."""
    with open_reader(project) as reader:
        batch, run = find_subject(reader, name)
        if options.folder is None:
            _require_place(project, batch)
        scope, about = _scope(reader, batch, run, options)
        own = None if options.folder is None else ReportFolder(options.folder, options.folder)
        folder = own or folder_to_write(project, batch)
        writer = _Writer(
            project=project,
            reader=reader,
            batch=batch,
            selection=selection,
            scope=scope,
            folder=folder,
            is_part=own is None and not (selection.everything and scope.everything),
        )
        try:
            folder.local.mkdir(parents=True, exist_ok=True)
            with writing_report(folder.local):
                return writer.write(options, about, on_files)
        except OSError as error:
            file = error.filename or folder.local
            raise StoreError(
                f"the report cannot be written: {file}: {error.strerror or error}. Nothing else was changed. "
                "Free disk space, fix the folder, or choose another one: "
                f"{project.command_flags(batch.name).on_batch('report', '-o DIR')}"
            ) from error


def _require_place(project: Project, batch: Batch) -> None:
    """Raise StoreError if a batch has neither its output folder nor its manifest where they were."""
    if is_object_url(batch.folder) or Path(batch.folder).exists() or Path(batch.manifest).exists():
        return
    flags = project.command_flags(batch.name)
    raise StoreError(
        f"the output folder of batch {batch.name} is gone, and so is its manifest: {batch.folder}. If the project was "
        f"moved, a run finds both again: {flags.plain('run MANIFEST')}. Otherwise choose a folder for the report: "
        f"{flags.on_batch('report', '-o DIR')}"
    )


def _scope(reader: Reader, batch: Batch, run: Run | None, options: ReportOptions) -> tuple[Scope, str]:
    """Return the calls that the report is about, and the same in words."""
    since, texts = options.since, [f"run {run.id}"] if run is not None else []
    if isinstance(since, str):
        texts.append(f"since run {since}")
        since = find_run(reader, batch, since).started_at
    elif since is not None:
        texts.append(f"since {since.astimezone():%Y-%m-%d %H:%M}")
    texts += [options.selected_by] if options.selected_by else []
    return Scope(run=None if run is None else run.id, since=since), ", ".join(texts)


@dataclass(kw_only=True, slots=True)
class _Writer:
    """Writes one report."""

    project: Project
    reader: Reader
    batch: Batch
    selection: Selection
    scope: Scope
    folder: ReportFolder
    is_part: bool  #: it must leave the page of the whole batch, which may be in the same folder, as it is
    sizes: FileSizes = field(init=False)
    written: list[Folder] = field(default_factory=list)  #: files that changed
    chunks: list[str] = field(default_factory=list)  #: names of the files of details
    copies: list[str] = field(default_factory=list)  #: stored paths of derived copies

    def __post_init__(self) -> None:
        self.sizes = FileSizes(parse_folder(self.batch.folder))

    @property
    def local(self) -> Path:
        """Return the folder on this machine."""
        return self.folder.local

    def write(self, options: ReportOptions, about: str, on_files: OnFiles) -> WrittenReport:
        """Write everything; raise OSError, StoreError."""
        # The marker comes first, so that the folder of a report that was killed is recognised as one.
        if not is_of(self.local, self.batch):
            write_marker(self.local, {"batch": self.batch.name})
        self._pull()
        made = self._make_thumbnails(on_files)
        document = self._document(options, about)
        local_page = self._put(document, single=options.single_file)
        archive = self._archive(options, document) if options.zipped else None
        sheet = None
        if options.sheet is not None:
            from .contact_sheet import write_sheet  # it loads Pillow

            sheet = write_sheet(options.sheet, document, self.local)
        page = local_page if options.single_file else self._push(local_page)
        return WrittenReport(
            batch=self.batch.name,
            page=page,
            size_bytes=local_page.stat().st_size,
            pictures=document["head"]["images"],
            jobs=document["head"]["jobs"],
            files=self.written,
            thumbnails=made,
            archive=archive,
            sheet=sheet,
        )

    def _pull(self) -> None:
        """Fetch the thumbnails of a report in an object store if this machine has none."""
        if isinstance(self.folder.place, ObjectUrl) and not (self.local / THUMBNAILS).exists():
            from ...files.report_mirror import pull_thumbnails

            pull_thumbnails(self.folder.place, self.local)

    def _push(self, page: Path) -> Folder:
        """Upload the report if it belongs in an object store; return where its page is."""
        if not isinstance(self.folder.place, ObjectUrl):
            return page
        from ...files.report_mirror import push_report

        names = push_report(self.local, self.folder.place, page.name, is_whole=not self.is_part)
        self.written = [self.folder.place / name for name in names]
        return self.folder.place / page.name

    def _archive(self, options: ReportOptions, document: Mapping[str, Any]) -> Archive:
        places = places_of(self.project, self.batch, self.folder)
        # A zip of what is in an object store is written on this machine.
        beside = places.output.parent if isinstance(places.output, Path) else self.project.root
        target = options.archive or beside / f"{places.output.name or 'batch'}.zip"
        return write_archive(target, places, document, report=self.local, copies=self.copies, sizes=self.sizes)

    def _make_thumbnails(self, on_files: OnFiles) -> ThumbnailReport:
        pictures = None
        if not (self.selection.everything or self.selection.suspects):  # suspects are looked for among all
            pictures = thumbnails.pictures_of(self.project, self.reader, self.batch, self.selection)
        return thumbnails.make(self.project, self.reader, self.batch, self.local, files=pictures, on_files=on_files)

    def _document(self, options: ReportOptions, about: str) -> dict[str, Any]:
        document = build(
            self.project,
            self.reader,
            self.batch,
            self.selection,
            scope=self.scope,
            folder=self.folder,
            sizes=self.sizes,
            about=about,
            on_details=None if options.single_file or self.is_part else self._put_details,
        )
        self.copies += [copy["path"] for entry in document.get("details", ()) for copy in entry["copies"]]
        return document

    def _put_details(self, number: int, details: Sequence[Mapping[str, Any]]) -> None:
        (self.local / DATA).mkdir(exist_ok=True)
        self.chunks.append(f"{number:04}.js")
        self.copies += [copy["path"] for entry in details for copy in entry["copies"]]
        self._write(self.local / DATA / self.chunks[-1], html.chunk(number, details))

    def _put(self, document: dict[str, Any], *, single: bool) -> Path:
        if single:
            return self._put_single(document)
        if not self.is_part:
            return self._put_page(document)
        self._write(self.local / PART_FILE, html.render(document))
        return self.local / PART_FILE

    def _put_page(self, document: dict[str, Any]) -> Path:
        """Write the page, unless it shows the same already but for the time at which it was written."""
        digest = hashlib.sha256(html.render(document | {"generated_at": ""}).encode()).hexdigest()
        marker = {"batch": self.batch.name, "database": document["database"], "digest": digest}
        if isinstance(self.folder.place, ObjectUrl):
            marker["place"] = str(self.folder.place)
        page = self.local / PAGE_FILE
        if not (page.is_file() and read_marker(self.local) == {"batchgen_report": 1, **marker}):
            self._write(page, html.render(document))
            write_marker(self.local, marker)
        for path in (self.local / DATA).glob("*.js"):
            if path.name not in self.chunks:
                path.unlink()  # an earlier report had more jobs
        return page

    def _put_single(self, document: dict[str, Any]) -> Path:
        """Write a page with its thumbnails inside; it lies beside the usual one, and is named after the batch.

        That of an output folder in an object store is in the working folder.
        """
        folder = self.project.root if isinstance(self.folder.place, ObjectUrl) else self.local
        page = folder / f"{plain(self.batch.name)}{'-selection' if self.is_part else ''}.html"
        self._write(page, html.render(document | {"inline": inline_thumbnails(document, self.local)}))
        return page

    def _write(self, path: Path, text: str) -> None:
        if write_file(path, text.encode("utf-8", "replace")):
            self.written.append(path)
