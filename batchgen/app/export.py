"""Copies delivered files to a folder, under names that a layout chooses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import StoreError, UsageError
from ..files.output import publish
from ..files.output_tree import open_file
from ..job import Job
from ..manifest import filenames
from ..manifest.templates import Template, TemplateFault
from ..object_url import is_object_url
from ..store.records import Bill, StoredArtifact
from .project import Project, open_reader
from .reading import read_ahead

#: The names that a layout may use.
FIELDS = ("id", "batch", "provider", "model", "kind", "tag", "file")
DEFAULT = "{{ file }}"
#: The tag of a job without tags.
UNTAGGED = "untagged"


@dataclass(frozen=True, kw_only=True, slots=True)
class Copy:
    """One file to copy."""

    job: Job
    file: StoredArtifact
    name: str  #: below the folder, with its extension


def plan_copies(jobs: Iterable[tuple[Job, Bill]], layout: str) -> Iterator[Copy]:
    """Yield the copies to make; raise UsageError if *layout* gives an invalid name, or the same name twice.

    *layout* is a template without an extension, such as ``{{ tag }}/{{ id }}``; several images of a job are numbered.
    """
    template = _template(layout)
    taken: dict[str, str] = {}
    for job, bill in jobs:
        tag = job.tags[0] if job.tags else UNTAGGED
        values = {"id": job.key, "batch": job.batch, "provider": bill.provider or job.task.provider, "tag": tag}
        values |= {"model": job.task.model, "kind": job.task.kind.value, "file": job.output}
        stem = template.render(values)
        if why := filenames.flaw(stem):
            raise UsageError(f"--layout {layout}: for job {job.key} it gives {stem!r}, which {why}")
        stems = filenames.stems(stem, job.wanted)
        for file in filter(lambda file: bill.selects(file.ordinal), bill.files):
            name = f"{stems[file.ordinal]}{Path(file.path).suffix}"
            other = taken.setdefault(filenames.folded(name), job.key)
            if other != job.key:
                raise UsageError(
                    f"--layout {layout}: jobs {other} and {job.key} would both be {name}; add {{{{ id }}}}"
                )
            yield Copy(job=job, file=file, name=name)


def require_separate(project: Project, wanted: Iterable[Copy], folder: Path) -> int:
    """Return the number of *wanted* copies; raise UsageError if one would be in the output folder of a run.

    A copy there could replace another job's image, which would count as damaged and be bought again.
    """
    with open_reader(project) as reader:
        folders = [batch.folder for batch in reader.batches()]
    outputs = {Path(output).resolve() for output in folders if not is_object_url(output)}
    number, root = 0, folder.resolve()
    for copy in wanted:
        target = root / copy.name
        if found := outputs.intersection(target.parents):
            raise UsageError(
                f"--files: {target} would be in {found.pop()}, the output folder of a run; choose another folder"
            )
        number += 1
    return number


def copy_files(project: Project, wanted: Iterable[Copy], folder: Path) -> list[Copy]:
    """Copy files to *folder*, each whole or not at all; return those whose original is missing or damaged.

    An existing file with the same bytes stays; another one is moved to ``.superseded/``. Raises StoreError.
    """

    def content(copy: Copy) -> bytes:
        try:
            return open_file(project.root, copy.file.path).read()
        except OSError:
            return b""

    missing = []
    for copy, data in read_ahead(wanted, content):
        if hashlib.sha256(data).hexdigest() == copy.file.sha256:
            _put(folder, copy.name, data)
        else:
            missing.append(copy)
    return missing


def _put(folder: Path, name: str, data: bytes) -> None:
    try:
        publish(folder, name, data)
    except StoreError as error:
        why = error.__cause__.strerror if isinstance(error.__cause__, OSError) else str(error)
        raise StoreError(f"cannot write {folder / name}: {why}. Repeat the command to resume") from error


def _template(layout: str) -> Template:
    try:
        template = Template(layout)
    except TemplateFault as fault:
        raise UsageError(f"--layout {layout}: {fault}") from None
    if strange := sorted((template.names | template.optional) - set(FIELDS)):
        raise UsageError(f"--layout {layout}: there is no {{{{ {strange[0]} }}}}, only {', '.join(FIELDS)}")
    return template
