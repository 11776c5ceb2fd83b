"""Images of jobs that other jobs use: found when a call is prepared, once the jobs that made them are done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from anyio import to_thread

from ..errors import StoreError
from ..fault import Cause, Fault, ProviderError
from ..files.output import make_private, publish
from ..files.output_tree import open_file
from ..job import Attempt
from ..object_url import is_object_url
from ..providers.model import Rules
from ..store import needs
from ..store.reader import Reader
from ..store.records import StoredArtifact
from ..task import Source, Task


async def without_parents(attempt: Attempt) -> Attempt:
    """Return *attempt*: in a batch without chains, no job uses images of others."""
    return attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class ParentImages:
    """The delivered images of one batch."""

    reader: Reader
    batch: str
    root: Path  #: file names in the job database are relative to it
    inputs: Path  #: the folder for copies of images in an object store

    async def place(self, attempt: Attempt) -> Attempt:
        """Return *attempt* with the files of the jobs whose images it uses; a missing one has no hash."""
        if all(source.job is None for source in attempt.task.sources):
            return attempt
        return replace(attempt, task=await to_thread.run_sync(self.placed, attempt.task))

    def placed(self, task: Task) -> Task:
        """Return *task* with the files of the jobs whose images it uses; a missing one has no hash."""
        keys = [source.job for source in task.sources if source.job is not None]
        files = self.reader.ask(partial(needs.images, batch=self.batch, parents=keys)) if keys else {}
        images = tuple(self._source(source, files) for source in task.images)
        return replace(task, images=images, mask=None if task.mask is None else self._source(task.mask, files))

    def _source(self, source: Source, files: Mapping[tuple[str, int], StoredArtifact]) -> Source:
        if source.job is None:
            return source
        file = files.get((source.job, source.number or 1))
        path = None if file is None else self._path(file)
        if file is None or path is None:
            return replace(source, path=source.name)
        return replace(source, path=path, sha256=file.sha256, mime=file.mime, size_bytes=file.size_bytes)

    def _path(self, file: StoredArtifact) -> str | None:
        """Return a file on this machine, the copy of an object; None if that is gone. Raise StoreError."""
        if not is_object_url(file.path):
            return str((self.root / file.path).absolute())
        name = f"{file.sha256}.{file.mime.rpartition('/')[2]}"
        copy = self.inputs / name
        if not copy.exists():
            stored = open_file(self.root, file.path)
            try:
                if not stored.exists():
                    return None
                data = stored.read()
            except OSError as error:
                raise StoreError(f"cannot read {file.path}, which another job uses: {error}") from error
            publish(make_private(self.inputs), name, data)
        return str(copy.absolute())


def parent_images(reader: Reader, batch_id: int, batch: str, root: Path, state: Path) -> ParentImages | None:
    """Return the images of a batch; None if none of its jobs waits for another one."""
    if not reader.ask(partial(needs.exist, batch_id=batch_id)):
        return None
    return ParentImages(reader=reader, batch=batch, root=root, inputs=state / "inputs")


def require_fitting(task: Task, rules: Rules | None, provider: str) -> None:
    """Raise ProviderError (invalid) if the model does not accept the images of other jobs that *task* uses.

    How large they are, and of which kind, is known only once they are made.
    """
    sources = [source for source in task.sources if source.job is not None and source.sha256 is not None]
    if not sources or rules is None:
        return
    for source in sources:
        is_mask = source is task.mask
        most = rules.mask_bytes_max if is_mask else rules.image_bytes_max
        types = ("image/png",) if is_mask else rules.image_types
        if source.size_bytes is not None and source.size_bytes > most:
            size = f"{source.size_bytes / 1e6:.1f} MB, and {provider} accepts {most / 1e6:.1f} MB"
            raise _invalid(f"{source.name} has {size}", f"ask for a smaller image of {source.job}, or for a jpeg")
        if source.mime is not None and source.mime not in types:
            raise _invalid(f"{source.name} is {source.mime}", f"set output_format of {source.job}: {types[0][6:]}")


def _invalid(message: str, hint: str) -> ProviderError:
    return ProviderError(Fault(cause=Cause.INVALID, message=message, hint=hint))
