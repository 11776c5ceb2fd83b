"""Looks at the disk for a report: which files are there, and where earlier forms and source images are."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ...files.output import SUPERSEDED, names_aside
from ...files.sidecar import parse
from ...files.source_names import copy_name
from ...files.thumbnails import FOLDER as THUMBNAILS
from ...store.report_rows import FileRow
from ...task import Source
from ..sources import source_file
from ..thumbnails import earlier_form
from .places import Places, stored
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
    _sources: dict[Source, tuple[str, str | None, str]] = field(default_factory=dict)

    def looks(self) -> Looks:
        """Return the looks that tiles need."""
        return Looks(present=self.is_present, earlier=self.earlier, source=self.source, typed=self.typed)

    def is_present(self, path: str) -> bool:
        """Return whether a file is where its stored path says."""
        return os.path.exists(os.path.join(self.places.root, path))  # noqa: PTH110, PTH118 - fifty thousand times

    def earlier(self, file: FileRow) -> tuple[str, str | None] | None:
        """Return where a superseded file is, as stored, and its prompt if it is known; None if the file is gone."""
        place = self._aside(file) or earlier_form(self.project, self.batch, file.path, file.sha256)
        if place is None:
            return None
        return stored(place, self.places.root), _prompt(place)

    def _aside(self, file: FileRow) -> Path | None:
        """Return where a superseded file was moved, by its name and size, which takes no reading."""
        path = self.places.root / file.path
        if not path.is_relative_to(self.places.output):
            return None
        name = PurePosixPath(path.relative_to(self.places.output))
        for each in names_aside(name, file.sha256):
            aside = self.places.output / SUPERSEDED / name.parent / each
            with suppress(OSError):
                if aside.stat().st_size == file.size_bytes:
                    return aside
        return None

    def source(self, source: Source) -> tuple[str, str | None, str]:
        """Return path, URL and hash of a source image."""
        if source not in self._sources:
            self._sources[source] = self._source(source)
        return self._sources[source]

    def _source(self, source: Source) -> tuple[str, str | None, str]:
        """Look for a source image; its URL is that of the copy that was sent, as browsers do not show every format."""
        shown = source.url or stored(Path(source.path or ""), self.places.root)
        file = source_file(self.project, source)
        if file is None:
            return shown, None, ""
        copy = self.project.state / "inputs" / copy_name(source) if source.copy else None
        path = copy if copy is not None and copy.exists() else file.path
        return shown, self.places.url(path), file.sha256

    def typed(self, path: str) -> str:
        """Return the path of a source image as the manifest states it: relative to its folder, within the project."""
        folder = Path(self.batch.manifest).parent
        return os.path.relpath(path, folder) if Path(path).is_relative_to(self.places.root) else path

    def thumbnails(self) -> frozenset[str]:
        """Return the names of the thumbnails that are there, without their suffix."""
        try:
            with os.scandir(self.places.report / THUMBNAILS) as entries:
                return frozenset(entry.name.partition(".")[0] for entry in entries)
        except FileNotFoundError:
            return frozenset()


def _prompt(image: Path) -> str | None:
    """Return the prompt of a superseded image by its sidecar; None if it has none."""
    try:
        return parse(image.with_name(f"{image.name}.json").read_bytes()).task.prompt
    except (OSError, ValueError):
        return None
