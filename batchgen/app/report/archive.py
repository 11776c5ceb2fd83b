"""A zip of a batch: its pictures with their sidecars, and the page, which shows all of them wherever it is unpacked.

Earlier forms of pictures stay at home. Source images, and files outside the output folder, come along in folders of
their own, so that no link of the page leads out of the zip.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from ...files.listing import FileSizes
from ...files.output_tree import file_at
from ...files.thumbnails import thumbnail_path
from ...object_url import Folder, place_of
from ..reading import read_ahead
from . import html
from .inline import hashes
from .places import Places

#: Folders of what was outside of the output folder.
SOURCES, FILES = "sources", "files"


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """A zip that was written."""

    path: Path
    size_bytes: int
    files: int
    missing: Sequence[str] = ()  #: stored paths of files that are gone


@dataclass(kw_only=True, slots=True)
class _Content:
    """What goes into a zip: files by their names in it, and the document as it is there."""

    document: dict[str, Any]
    sizes: FileSizes
    files: dict[str, Folder] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def is_there(self, place: Folder) -> bool:
        """Return whether a file exists."""
        return self.sizes.size(place) is not None


def write_archive(
    target: Path, places: Places, document: Mapping[str, Any], *, report: Path, copies: Sequence[str], sizes: FileSizes
) -> Archive:
    """Write the zip *target*; *report*: the folder on this machine, *copies*: stored paths of derived copies.

    *sizes* has the files of the output folder. Raises OSError, StoreError.
    """
    content = _Content(document={**document, "folder_url": "../", "root": "../"}, sizes=sizes)
    _collect(content, places, report, copies)
    part = target.with_name(f".{target.name}.part")
    top = PurePosixPath(places.output.name or "batch")
    page = PurePosixPath(places.report.name, "index.html")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
            objects = {}
            for name, place in content.files.items():
                if isinstance(place, Path):
                    archive.write(place, str(top / name))
                else:
                    objects[name] = file_at(place)
            for name, data in read_ahead(objects, lambda name: objects[name].read()):
                archive.writestr(str(top / name), data)
            archive.writestr(str(top / page), html.render(content.document))
        os.replace(part, target)  # noqa: PTH105 - the same for both
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    number = len(content.files) + 1
    return Archive(path=target, size_bytes=target.stat().st_size, files=number, missing=content.missing)


def _collect(content: _Content, places: Places, report: Path, copies: Sequence[str]) -> None:
    """Collect the files, and change the paths in the document to their names."""
    document, top = content.document, places.report.name
    tiles, words = document["tiles"], document["words"]
    paths = [_delivered(content, places, *each) for each in zip(tiles["path"], tiles["sha"], strict=True)]
    for stored in copies:
        if (name := places.name(stored)) is not None:
            content.files[name] = place_of(stored, places.root)
    for sha in hashes(document):
        content.files[f"{top}/{thumbnail_path(Path(), sha)}"] = thumbnail_path(report, sha)
    sources = [_source(content, places, report, source) for source in words["source"]]
    for chunk in _chunks(report, document):
        content.files[f"{top}/{chunk.relative_to(report)}"] = chunk
    content.document |= {"tiles": {**tiles, "path": paths, "earlier": {}}, "words": {**words, "source": sources}}
    content.files = {name: place for name, place in content.files.items() if content.is_there(place)}


def _delivered(content: _Content, places: Places, stored: str, sha: str) -> str:
    """Add a delivered file and its sidecar; return its path as the page in the zip states it."""
    if not stored:
        return ""
    place = place_of(stored, places.root)
    if not content.is_there(place):
        content.missing.append(stored)
    name = places.name(stored) or f"{FILES}/{sha}{place.suffix}"
    content.files[name] = place
    content.files[f"{name}.json"] = place.with_name(f"{place.name}.json")
    return f"{places.folder}{name}"


def _source(content: _Content, places: Places, report: Path, source: Mapping[str, Any]) -> dict[str, Any]:
    """Add a source image; return it with its URL in the zip."""
    if source["url"] is None:
        return dict(source)
    path = (report / unquote(source["url"])).resolve()
    name = f"{SOURCES}/{source['sha']}{path.suffix}"
    content.files[f"{places.report.name}/{name}"] = path
    return {**source, "url": name}


def _chunks(report: Path, document: Mapping[str, Any]) -> Iterator[Path]:
    return report.glob("data/*.js") if "chunk" in document else iter(())
