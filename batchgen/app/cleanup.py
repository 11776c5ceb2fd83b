"""Removes leftover files: temporary files, spool slots, old superseded images, old logs."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ..errors import StoreError
from ..files import lock
from ..files.images import EXTENSIONS
from ..files.output import SUPERSEDED
from ..files.spool import KEPT_SUFFIX
from ..store.reader import Reader
from .project import Project, hold_lock, open_reader

#: Unfinished files in an output folder, and unfinished copies of the job database.
_PART = re.compile(r"\.bg-[0-9a-f]{16}.*\.part")
_COPY = re.compile(r"\..+\.\d+\.part|.+\.before-\w+\.\d+\.part")
_IMAGES = {f".{extension}" for extension in EXTENSIONS.values()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Leftover:
    """One file that may be removed."""

    what: str  #: temporary, spool, replaced, log
    path: Path
    size_bytes: int


def find_leftovers(project: Project, older_than: timedelta) -> list[Leftover]:
    """Return the files that may be removed; none of them records money or may still be needed. Raises NotFound.

    Superseded images, unusable answers and logs only if they are older than *older_than*. The sidecars of superseded
    images stay: they show what was bought if the job database is lost.
    """
    limit = time.time() - older_than.total_seconds()
    leftovers: dict[Path, Leftover] = {}
    with open_reader(project) as reader:
        for what, path in _candidates(project, reader):
            if path.is_symlink() or not path.is_file():
                continue
            facts = path.stat()
            if what in ("temporary", "spool") or facts.st_mtime < limit:
                leftovers[path] = Leftover(what=what.partition(" ")[0], path=path, size_bytes=facts.st_size)
    return list(leftovers.values())


def remove_leftovers(project: Project, older_than: timedelta) -> Sequence[Leftover]:
    """Remove leftover files while no run can start; return them. Raises AlreadyRunning, StoreError."""
    with open_reader(project):
        pass  # The lock would create a missing database.
    with hold_lock(project), ExitStack() as locks:
        with open_reader(project) as reader:
            for folder in {Path(batch.folder) for batch in reader.batches()}:
                locks.enter_context(lock.hold_folder(folder))
        leftovers = find_leftovers(project, older_than)
        try:
            for leftover in leftovers:
                leftover.path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot remove {error.filename}: {error.strerror}") from error
    return leftovers


def _candidates(project: Project, reader: Reader) -> Iterator[tuple[str, Path]]:
    folders = {Path(batch.folder) for batch in reader.batches()}
    # Earlier versions wrote the images of sandbox runs here.
    folders |= {project.state / "output"} if project.sandbox else set()
    for folder in folders:
        for path in _files(folder):
            if _PART.fullmatch(path.name):
                yield "temporary", path
            elif SUPERSEDED in path.relative_to(folder).parts and path.suffix in _IMAGES:
                yield "replaced", path
    yield from (("temporary", path) for path in project.state.iterdir() if _COPY.fullmatch(path.name))
    spool = project.state / "spool"
    yield from (("spool", spool / f"{name}.slot") for name in _ended(reader, spool))
    yield from (("spool", path) for path in spool.glob("*.again"))
    yield from (("spool answer", path) for path in spool.glob(f"*{KEPT_SUFFIX}"))
    yield from (("log", path) for path in project.state.glob("*.log*"))
    for name in ("logs", "runs"):
        yield from (("log", path) for path in _files(project.state / name))


def _ended(reader: Reader, spool: Path) -> Iterator[str]:
    """Yield the attempts that have a slot although their outcome is in the job database."""
    for name, delivered in reader.ended([path.stem for path in spool.glob("*.slot")]).items():
        if delivered:
            yield name


def _files(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        yield from (Path(where, name) for name in names)
