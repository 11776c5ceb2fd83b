"""TODO."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio

from ..files.images import DamagedImageError, examine
from ..files.output import digest
from ..job import Requeued, State
from ..planning.selection import Selection
from ..store.reader import Reader
from ..store.records import Batch, DeliveredFile
from .clock import utc_now
from .project import Project, open_locked, open_reader

#: Threads that read files; disks answer several questions at once.
_THREADS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class FileProblem:
    """A file that is not as it was delivered."""

    key: str
    path: str
    what: str  #: missing, size, hash, image or unreadable
    detail: str
    orphaned: bool = False  #: its job stands in the manifest no more, so no run would make it again


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyReport:
    """What looking at every file came to."""

    batch: Batch
    checked: int
    problems: Sequence[FileProblem]
    requeued: Sequence[str] = ()  #: keys of jobs that were put back


def verify(project: Project, name: str | None, selection: Selection, *, deep: bool) -> VerifyReport:
    """Hold every file that the selected jobs count on against its size and hash; *deep*: decode it too."""
    with open_reader(project) as reader:
        batch = reader.batch(name)
        return _verified(project, reader, batch, selection, deep=deep)


def requeue(project: Project, name: str | None, selection: Selection, *, deep: bool) -> VerifyReport:
    """Do what ``verify`` does, and put the jobs back whose files are not as they were."""
    with open_locked(project) as (reader, writer):
        batch = reader.batch(name)
        seen = _verified(project, reader, batch, selection, deep=deep)
        wrong = [
            reader.job(batch.id, key) for key in dict.fromkeys(flaw.key for flaw in seen.problems if not flaw.orphaned)
        ]
        chosen = [job for job in wrong if job.state is State.DONE]

        async def put_back() -> None:
            for job in chosen:
                await writer.move(job, Requeued(at=utc_now()))

        anyio.run(put_back)
        return replace(seen, requeued=[job.key for job in chosen])


def _verified(project: Project, reader: Reader, batch: Batch, selection: Selection, *, deep: bool) -> VerifyReport:
    checked, flaws = 0, list[FileProblem]()
    look = partial(_flaw, project.root, deep=deep)
    with ThreadPoolExecutor(_THREADS) as threads:
        for page in reader.files(batch.id, replace(selection, orphaned=True)):
            checked += len(page)
            flaws += [flaw for flaw in threads.map(look, page) if flaw is not None]
    return VerifyReport(batch=batch, checked=checked, problems=flaws)


def _flaw(root: Path, standing: DeliveredFile, *, deep: bool) -> FileProblem | None:
    file, path = standing.file, root / standing.file.path
    say = partial(FileProblem, key=standing.key, path=file.path, orphaned=standing.orphaned)
    try:
        size = path.stat().st_size
        if size != file.size_bytes:
            return say(what="size", detail=f"{size} bytes, delivered with {file.size_bytes}")
        found = digest(path)
        if found != file.sha256:
            return say(what="hash", detail=f"sha256 {found[:16]}…, delivered with {file.sha256[:16]}…")
        if deep:
            examine(path.read_bytes())
    except FileNotFoundError:
        return say(what="missing", detail="the file is gone")
    except OSError as error:
        return say(what="unreadable", detail=str(error.strerror))
    except DamagedImageError as error:
        return say(what="image", detail=str(error))
    return None
