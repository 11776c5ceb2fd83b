"""Looks at the disk for a report: which files are there, and where earlier forms and source images are.

An object store is listed once, and not for parts of a page, which trust the job database.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...files.listing import FileSizes
from ...files.output_tree import file_at
from ...files.sidecar import parse
from ...files.source_names import copy_name
from ...files.superseded import SupersededFiles
from ...files.thumbnails import FOLDER as THUMBNAILS
from ...object_url import Folder, ObjectUrl, is_object_url, stored_path
from ...store.report_rows import FileRow
from ...task import Source
from ..sources import source_file
from ..thumbnails import earlier_form
from .places import Places
from .tiles import Looks

if TYPE_CHECKING:
    from ...store.records import Batch
    from ..project import Project


@dataclass(kw_only=True, slots=True)
class Disk:
    """The disk as the report of one batch sees it."""

    project: Project
    batch: Batch
    places: Places
    sizes: FileSizes | None = None  #: None: an object store is not listed as a whole
    _superseded: SupersededFiles = field(init=False)
    _sources: dict[Source, tuple[str, str | None, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._superseded = SupersededFiles(self.places.output, self.sizes)

    def looks(self) -> Looks:
        """Return the looks that tiles need."""
        return Looks(present=self.is_present, earlier=self.earlier, source=self.source, typed=self.typed)

    def is_present(self, path: str) -> bool:
        """Return whether a file is where its stored path says."""
        if is_object_url(path):
            return self.sizes is None or self.sizes.size_of(path) is not None
        return os.path.exists(os.path.join(self.places.root, path))  # noqa: PTH110, PTH118 - fifty thousand times

    def earlier(self, file: FileRow) -> tuple[str, str | None] | None:
        """Return where a superseded file is, as stored, and its prompt if it is known; None if the file is gone."""
        place = earlier_form(self.project, self.batch, file, self._superseded)
        if place is None:
            return None
        return stored_path(place, self.places.root), _prompt(place)

    def source(self, source: Source) -> tuple[str, str | None, str]:
        """Return path, URL and hash of a source image."""
        if source not in self._sources:
            self._sources[source] = self._source(source)
        return self._sources[source]

    def _source(self, source: Source) -> tuple[str, str | None, str]:
        """Look for a source image; its URL is that of the copy that was sent, as browsers do not show every format."""
        shown = source.shown(lambda path: stored_path(Path(path), self.places.root))
        file = source_file(self.project, source)
        if file is None:
            return shown, None, ""
        if isinstance(self.places.report, ObjectUrl):
            return shown, None, file.sha256  # who looks at the page may not have the sources
        copy = self.project.state / "inputs" / copy_name(source) if source.copy else None
        path = copy if copy is not None and copy.exists() else file.path
        return shown, self.places.url(path), file.sha256

    def typed(self, path: str) -> str:
        """Return the path of a source image as the manifest states it: relative to its folder, within the project."""
        folder = Path(self.batch.manifest).parent
        return os.path.relpath(path, folder) if Path(path).is_relative_to(self.places.root) else path

    @staticmethod
    def thumbnails(folder: Path) -> frozenset[str]:
        """Return the names of the thumbnails in the *folder* of a report, without their suffix."""
        try:
            with os.scandir(folder / THUMBNAILS) as entries:
                return frozenset(entry.name.partition(".")[0] for entry in entries)
        except FileNotFoundError:
            return frozenset()


def _prompt(image: Folder) -> str | None:
    """Return the prompt of a superseded image by its sidecar; None if it has none."""
    try:
        return parse(file_at(image.with_name(f"{image.name}.json")).read()).task.prompt
    except (OSError, ValueError):
        return None
