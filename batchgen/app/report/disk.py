"""Looks at the disk for a report: which files are there, and where earlier forms and source images are."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ...files.output import SUPERSEDED
from ...store.report_rows import FileRow
from ...task import Source
from .places import Places, stored
from .tiles import Looks

if TYPE_CHECKING:
    from ..project import Project


@dataclass(kw_only=True, slots=True)
class Disk:
    """The disk as the report of one batch sees it."""

    project: Project
    places: Places
    _sources: dict[Source, tuple[str, str | None, str]] = field(default_factory=dict)

    def looks(self) -> Looks:
        """Return the looks that tiles need."""
        return Looks(present=self.is_present, earlier=self.earlier, source=self.source)

    def is_present(self, path: str) -> bool:
        """Return whether a file is where its stored path says."""
        return os.path.exists(os.path.join(self.places.root, path))  # noqa: PTH110, PTH118 - fifty thousand times

    def earlier(self, file: FileRow) -> tuple[str, str | None] | None:
        """Return where a superseded file is, as stored, and its prompt if it is known; None if the file is gone."""
        path = self.places.root / file.path
        if not path.is_relative_to(self.places.output):
            return None
        name = path.relative_to(self.places.output)
        aside = self.places.output / SUPERSEDED / name.with_name(f"{name.stem}.{file.sha256[:8]}{name.suffix}")
        return (stored(aside, self.places.root), None) if aside.exists() else None

    def source(self, source: Source) -> tuple[str, str | None, str]:
        """Return path, URL and hash of a source image."""
        if source not in self._sources:
            self._sources[source] = self._source(source)
        return self._sources[source]

    def _source(self, source: Source) -> tuple[str, str | None, str]:
        if source.path is None:
            return source.url or "", None, ""
        path = Path(source.path)
        shown = stored(path, self.places.root)
        return shown, quote(os.path.relpath(path, self.places.report)), source.sha256 or ""
