"""Removes leftover files: temporary files, spool slots, old superseded images, their thumbnails, old logs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath

from ..files.images import EXTENSIONS
from ..files.listing import ListedFile, list_file, list_files, remove_files
from ..files.output import SUPERSEDED
from ..files.spool import KEPT_SUFFIX, PART_SUFFIX
from ..files.thumbnails import FOLDER as THUMBNAILS
from ..files.thumbnails import thumbnail_path
from ..object_url import Folder, ObjectUrl, name_in, parse_folder
from ..store.reader import Reader
from ..store.records import Batch
from .clock import utc_now
from .output_lock import hold_output
from .project import Project, hold_lock, open_reader
from .report.folder import folder_of, is_of
from .thumbnails import pictures_of

#: Unfinished files in an output folder, and unfinished copies of the job database.
_PART = re.compile(r"\.bg-[0-9a-f]{16}.*\.part")
_COPY = re.compile(r"\..+\.\d+\.part|.+\.before-\w+\.\d+\.part")
_IMAGES = {f".{extension}" for extension in EXTENSIONS.values()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Leftover:
    """One file that may be removed."""

    what: str  #: temporary, spool, replaced, thumbnail, log
    path: Folder
    size_bytes: int


def find_leftovers(project: Project, older_than: timedelta) -> list[Leftover]:
    """Return the files that may be removed; none of them records money or may still be needed. Raises NotFound.

    Superseded images, thumbnails, unusable answers and logs only if they are older than *older_than*. The sidecars of
    superseded images stay: they show what was bought if the job database is lost.
    """
    limit = utc_now() - older_than
    leftovers: dict[Folder, Leftover] = {}
    with open_reader(project) as reader:
        for what, file in _candidates(project, reader):
            if what in ("temporary", "spool") or file.changed_at < limit:
                kind = what.partition(" ")[0]
                leftovers[file.place] = Leftover(what=kind, path=file.place, size_bytes=file.size_bytes)
    return list(leftovers.values())


def remove_leftovers(project: Project, older_than: timedelta) -> Sequence[Leftover]:
    """Remove leftover files while no run can start; return them. Raises AlreadyRunning, StoreError."""
    with open_reader(project):
        pass  # The lock would create a missing database.
    with hold_lock(project), ExitStack() as locks:
        with open_reader(project) as reader:
            for folder in _folders(reader):
                locks.enter_context(hold_output(project, folder))
        leftovers = find_leftovers(project, older_than)
        remove_files([leftover.path for leftover in leftovers])
    return leftovers


def _folders(reader: Reader) -> set[Folder]:
    return {parse_folder(batch.folder) for batch in reader.batches()}


def _candidates(project: Project, reader: Reader) -> Iterator[tuple[str, ListedFile]]:
    folders = _folders(reader)
    # Earlier versions wrote the images of sandbox runs here.
    folders |= {project.state / "output"} if project.sandbox else set()
    for folder in folders:
        for file in list_files(folder):
            name = PurePosixPath(name_in(folder, file.place) or "")
            if isinstance(folder, Path) and _PART.fullmatch(name.name):
                yield "temporary", file
            elif SUPERSEDED in name.parts and name.suffix in _IMAGES:
                yield "replaced", file
    for batch in reader.batches():
        yield from (("thumbnail", file) for file in _thumbnails(project, reader, batch))
    for what, path in _local_candidates(project, reader):
        if (listed := list_file(path)) is not None:
            yield what, listed


def _thumbnails(project: Project, reader: Reader, batch: Batch) -> Iterator[ListedFile]:
    """Yield the thumbnails in a batch's report of pictures that the batch does not have any more."""
    report = folder_of(project, batch)
    if not is_of(report.local, batch):
        return
    files = list(filter(None, map(list_file, (report.local / THUMBNAILS).glob("*.webp"))))
    if isinstance(report.place, ObjectUrl):
        files += list_files(report.place, THUMBNAILS)
    if files:
        names = {thumbnail_path(Path(), picture.sha256).name for picture in pictures_of(project, reader, batch)}
        yield from (file for file in files if file.place.name not in names)


def _local_candidates(project: Project, reader: Reader) -> Iterator[tuple[str, Path]]:
    """Yield the candidates in the project's state, which is on this machine."""
    yield from (("temporary", path) for path in project.state.iterdir() if _COPY.fullmatch(path.name))
    spool = project.state / "spool"
    yield from (("spool", spool / f"{name}.slot") for name in _ended(reader, spool))
    for suffix in (PART_SUFFIX, ".again"):  # the second is that of earlier versions
        yield from (("spool", path) for path in spool.glob(f"*{suffix}"))
    yield from (("spool answer", path) for path in spool.glob(f"*{KEPT_SUFFIX}"))
    yield from (("log", path) for path in project.state.glob("*.log*"))
    yield from (("thumbnail", path) for path in (project.state / "serve" / THUMBNAILS).glob("*.webp"))
    yield from (("log", path) for path in (project.state / "serve").glob("*.*"))
    for name in ("logs", "runs"):
        yield from (("log", path) for path in (project.state / name).rglob("*"))


def _ended(reader: Reader, spool: Path) -> Iterator[str]:
    """Yield the attempts that have a slot although their outcome is in the job database."""
    for name, delivered in reader.ended([path.stem for path in spool.glob("*.slot")]).items():
        if delivered:
            yield name
