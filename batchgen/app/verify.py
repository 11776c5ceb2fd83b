"""Verifies delivered files against the sizes and hashes in the job database."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import anyio

from ..files.images import DamagedImageError
from ..files.output_tree import open_file
from ..job import Requeued, State
from ..object_url import is_object_url
from ..planning.selection import Selection
from ..store.copies import CopyRecords
from ..store.reader import Reader
from ..store.records import Batch, DeliveredFile, StoredCopy
from .clock import utc_now
from .examination import Examination
from .project import Project, open_locked, open_reader
from .reading import CONTENT_WIDTH, reading_width

#: How a file is checked: by its size, by its hash, or by decoding it as well.
Depth = Literal["quick", "whole", "deep"]
_WRITTEN_AGAIN = "the next run writes it again"
#: Gets the number of files checked so far.
OnFiles = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class FileProblem:
    """A file that is not as it was delivered."""

    key: str
    path: str
    what: str  #: missing, size, hash, image or unreadable
    detail: str
    orphaned: bool = False  #: its job is no longer in the manifest, so that no run would make it again


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyReport:
    """The result of verifying every file."""

    batch: Batch
    checked: int
    problems: Sequence[FileProblem]
    requeued: Sequence[str] = ()  #: keys of requeued jobs
    suspects: Mapping[str, int] = field(default_factory=dict)  #: pictures that may be wrong, by kind; only if *deep*
    notice: str | None = None  #: why suspects were not looked for
    copies: Sequence[FileProblem] = ()  #: derived copies that are missing or were changed; a run writes missing ones


def verify(
    project: Project, name: str | None, selection: Selection, *, depth: Depth, on_files: OnFiles = lambda _files: None
) -> VerifyReport:
    """Check every file of the selected jobs; with the *depth* "deep", look for suspects too. Raises StoreError."""
    with open_reader(project) as reader:
        batch = reader.batch(name)
        return _verify(project, reader, batch, selection, depth=depth, on_files=on_files)


def requeue(
    project: Project, name: str | None, selection: Selection, *, depth: Depth, on_files: OnFiles = lambda _files: None
) -> VerifyReport:
    """Verify, and requeue the jobs with missing or damaged files."""
    with open_locked(project) as (reader, writer):
        batch = reader.batch(name)
        report = _verify(project, reader, batch, selection, depth=depth, on_files=on_files)
        affected = [
            reader.job(batch.id, key)
            for key in dict.fromkeys(problem.key for problem in report.problems if not problem.orphaned)
        ]
        jobs = [job for job in affected if job.state is State.DONE]
        # A run does not ask an object store for each copy: what is missing is written again if it is forgotten.
        missing = [copy.path for copy in report.copies if copy.what == "copy missing" and is_object_url(copy.path)]
        CopyRecords(project.state).remove(missing)

        async def move() -> None:
            for job in jobs:
                await writer.move(job, Requeued(at=utc_now()))

        anyio.run(move)
        return replace(report, requeued=[job.key for job in jobs])


def _verify(
    project: Project, reader: Reader, batch: Batch, selection: Selection, *, depth: Depth, on_files: OnFiles
) -> VerifyReport:
    checked, problems, copies = 0, list[FileProblem](), list[FileProblem]()
    records = CopyRecords(project.state)
    examination = Examination(project, reader, batch) if depth == "deep" else None
    check = partial(_problem, project.root, depth=depth, examination=examination)
    check_copy = partial(_copy_problem, project.root, depth=depth)
    width = reading_width(batch.folder)
    # An image that is decoded is in memory as a whole.
    with ThreadPoolExecutor(min(width, CONTENT_WIDTH) if examination else width) as threads:
        for page in reader.files(batch.id, replace(selection, orphaned=True)):
            for problem in threads.map(check, page):
                checked += 1
                on_files(checked)
                if problem is not None:
                    problems.append(problem)
            stored = records.of_jobs(batch.name, {delivered.key for delivered in page})
            derived = [copy for copies_ in stored.values() for copy in copies_ if copy.recipe]
            copies += [problem for problem in threads.map(check_copy, derived) if problem is not None]
            if examination is not None:
                examination.save()
    report = VerifyReport(batch=batch, checked=checked, problems=problems, copies=copies)
    if examination is None:
        return report
    return replace(report, suspects=examination.suspects(), notice=examination.notice)


def _copy_problem(root: Path, copy: StoredCopy, *, depth: Depth) -> FileProblem | None:
    problem = partial(FileProblem, key=copy.key, path=copy.path)
    file = open_file(root, copy.path)
    try:
        if file.size() == copy.size_bytes and (depth == "quick" or file.digest() == copy.sha256):
            return None
        return problem(what="copy changed", detail="it is not the copy that was written; it stays as it is")
    except FileNotFoundError:
        detail = "verify --requeue lets the next run write it again" if is_object_url(copy.path) else _WRITTEN_AGAIN
        return problem(what="copy missing", detail=detail)
    except OSError as error:
        return problem(what="copy unreadable", detail=str(error.strerror))


def _problem(
    root: Path, delivered: DeliveredFile, *, depth: Depth, examination: Examination | None
) -> FileProblem | None:
    """Return what is wrong with a file. An error of an object store is raised: it proves nothing about the file."""
    file, stored = delivered.file, open_file(root, delivered.file.path)
    problem = partial(FileProblem, key=delivered.key, path=file.path, orphaned=delivered.orphaned)
    try:
        size = stored.size()
        if size != file.size_bytes:
            return problem(what="size", detail=f"{size} bytes, delivered with {file.size_bytes}")
        if depth == "quick":
            return None
        data = None if examination is None else stored.read()
        actual = stored.digest() if data is None else hashlib.sha256(data).hexdigest()
        if actual != file.sha256:
            return problem(what="hash", detail=f"sha256 {actual[:16]}…, delivered with {file.sha256[:16]}…")
        if examination is not None and data is not None:
            examination.decode(data, file.sha256)
    except FileNotFoundError:
        return problem(what="missing", detail="the file is missing")
    except OSError as error:
        return problem(what="unreadable", detail=str(error.strerror))
    except DamagedImageError as error:
        return problem(what="image", detail=str(error))
    return None
