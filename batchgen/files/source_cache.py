"""Source images given as URLs, for providers that want the bytes: fetched once, kept beside the job table.

A doer: files and, through transport, the network.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from anyio import Lock, to_thread

from ..errors import StoreError
from ..fault import Cause, Fault, ProviderError
from ..task import Source, Task
from .images import EXTENSIONS, SOURCE_TYPES, DamagedImageError, ImageInfo, examine
from .output import make_private, publish
from .spool import Scratch, Spool


class Fetch(Protocol):
    """Downloads one URL that the user named."""

    async def __call__(self, url: str, sink: Scratch) -> None:
        """Put what lies at *url* into *sink*; raise ProviderError where it cannot be had."""
        ...


class SourceCache:
    """The folder of fetched source images."""

    def __init__(self, folder: Path, spool: Spool, fetch: Fetch) -> None:
        self._folder = make_private(folder)
        self._spool = spool
        self._fetch = fetch
        self._fetching: dict[str, Lock] = {}  #: by URL: many jobs may ask for one at once
        self._known: dict[Path, tuple[int, int, str]] = {}  #: file -> (mtime, size, sha256) when it was found in order

    async def require_unchanged(self, task: Task) -> None:
        """Raise ProviderError (invalid) where a source file is not the one that the plan was made for."""
        for source in (*task.images, *([task.mask] if task.mask else [])):
            if source.path is not None and source.sha256 is not None:
                await to_thread.run_sync(self._compare, Path(source.path), source.sha256)

    def _compare(self, path: Path, planned: str) -> None:
        try:
            facts = path.stat()
            seen = (facts.st_mtime_ns, facts.st_size, planned)
            if self._known.get(path) == seen:
                return
            data = path.read_bytes()
        except OSError as error:
            raise _invalid(f"source image {path}: {error.strerror}", "put the file back, then retry") from error
        if hashlib.sha256(data).hexdigest() != planned:
            what = f"source image {path} changed after the plan was made"
            raise _invalid(what, "run again: the job is then a changed one")
        # a provider may charge for finding out that it is damaged
        _examined(data, str(path), "put a whole file there, then run again")
        self._known[path] = seen

    async def with_local_files(self, task: Task) -> Task:
        """Return *task* with every source a local file; raise ProviderError (invalid) where one cannot be fetched."""
        images = tuple([await self._local(source) for source in task.images])
        mask = await self._local(task.mask) if task.mask else None
        return replace(task, images=images, mask=mask)

    async def _local(self, source: Source) -> Source:
        if source.url is None:
            return source
        async with self._fetching.setdefault(source.url, Lock()):
            return await self._fetched(source.url)

    async def _fetched(self, url: str) -> Source:
        stem = hashlib.sha256(url.encode()).hexdigest()[:32]
        for mime in SOURCE_TYPES:
            path = self._folder / f"{stem}.{EXTENSIONS[mime]}"
            if path.exists():
                return Source(path=str(path), mime=mime, size_bytes=path.stat().st_size)
        with self._spool.scratch() as sink:
            await self._fetch(url, sink)
            data = sink.body()
        facts = await to_thread.run_sync(_examined, data, url)
        if facts.mime not in SOURCE_TYPES:
            raise _invalid(f"source image {url} is {facts.mime}; providers take PNG, JPEG and WebP")
        name = f"{stem}.{facts.extension}"
        await to_thread.run_sync(publish, self._folder, name, data)
        return Source(path=str(self._folder / name), mime=facts.mime, size_bytes=len(data))


def _examined(data: bytes, name: str, hint: str = "") -> ImageInfo:
    """Return what a source image is; raise ProviderError for a damaged one, StoreError without enough memory."""
    try:
        return examine(data)
    except DamagedImageError as error:
        raise _invalid(f"source image {name}: {error}", hint) from error
    except MemoryError as error:
        raise StoreError(
            f"not enough memory to read the source image {name}. Nothing was sent for it: free memory, then run the "
            "same command again"
        ) from error


def _invalid(what: str, hint: str = "") -> ProviderError:
    return ProviderError(Fault(cause=Cause.INVALID, message=what, hint=hint))
