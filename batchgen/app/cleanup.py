"""What nobody needs any more: left-over temporary files, spool leftovers, old replaced images, old logs."""

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
from .project import Project, command_line, open_reader

#: Unfinished files in an output folder, and unfinished copies of the job table beside it.
_PART = re.compile(r"\.bg-[0-9a-f]{16}.*\.part")
_COPY = re.compile(r"\..+\.\d+\.part|.+\.before-\w+\.\d+\.part")
_IMAGES = {f".{extension}" for extension in EXTENSIONS.values()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Leftover:
    """One file that may go."""

    what: str  #: temporary, spool, replaced, log
    path: Path
    size_bytes: int


def find_leftovers(project: Project, older_than: timedelta) -> list[Leftover]:
    """Return what may go; what tells of money or may still be needed is not among it.  Raises NotFound.

    Replaced images, answers that were of no use and logs only where they are older than *older_than*.  The sidecars
    of replaced images stay: they tell a lost job table what was bought.
    """
    limit = time.time() - older_than.total_seconds()
    found: dict[Path, Leftover] = {}
    with open_reader(project) as reader:
        for what, path in _candidates(project, reader):
            if path.is_symlink() or not path.is_file():
                continue
            facts = path.stat()
            if what in ("temporary", "spool") or facts.st_mtime < limit:
                found[path] = Leftover(what=what.partition(" ")[0], path=path, size_bytes=facts.st_size)
    return list(found.values())


def remove_leftovers(project: Project, older_than: timedelta) -> Sequence[Leftover]:
    """Remove what ``find_leftovers`` finds, while no run can be on; return it.  Raises LockHeld, StoreError."""
    with open_reader(project):
        pass  # where there is no table, the lock would make one
    with lock.hold(project.db, command=command_line()), ExitStack() as held:
        with open_reader(project) as reader:
            for folder in {Path(batch.folder) for batch in reader.batches()}:
                held.enter_context(lock.hold_folder(folder))
        found = find_leftovers(project, older_than)
        try:
            for scrap in found:
                scrap.path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot remove {error.filename}: {error.strerror}") from error
    return found


def _candidates(project: Project, reader: Reader) -> Iterator[tuple[str, Path]]:
    for folder in {Path(batch.folder) for batch in reader.batches()}:
        for path in _files(folder):
            if _PART.fullmatch(path.name):
                yield "temporary", path
            elif SUPERSEDED in path.relative_to(folder).parts and path.suffix in _IMAGES:
                yield "replaced", path
    yield from (("temporary", path) for path in project.state.iterdir() if _COPY.fullmatch(path.name))
    spool = project.state / "spool"
    yield from (("spool", spool / f"{name}.slot") for name in _ended(reader, spool))
    yield from (("spool", path) for path in spool.glob("*.again"))
    yield from (("spool that a person may look at", path) for path in spool.glob(f"*{KEPT_SUFFIX}"))
    yield from (("log", path) for path in project.state.glob("*.log*"))
    for name in ("logs", "runs"):
        yield from (("log", path) for path in _files(project.state / name))


def _ended(reader: Reader, spool: Path) -> Iterator[str]:
    """Yield the attempts whose slot is there though their outcome is in the job table."""
    for name, delivered in reader.ended([path.stem for path in spool.glob("*.slot")]).items():
        if delivered:
            yield name


def _files(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        yield from (Path(where, name) for name in names)
