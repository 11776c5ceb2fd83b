"""Source images in an object store: fetched once, in the version that the plan was made for, and prepared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from anyio import CapacityLimiter, Lock, current_time

from ..fault import Cause, Fault, ProviderError
from ..object_url import ObjectUrl
from ..task import Source
from .group_thread import in_thread
from .images.formats import EXTENSIONS
from .object_errors import OutageError
from .object_store import ObjectStore
from .output import publish
from .source_names import fetched_file, fetched_stem
from .source_versions import SourceVersions, condition

#: Seconds for which a store that does not answer is asked again; then the run stops. Nothing has been paid by then.
PATIENCE = 120.0
_LONGEST_WAIT = 15.0
#: So many images are fetched at a time: each is in memory until it is on disk.
_AT_ONCE = 16
#: Seconds between two looks whether the run is ending.
_LOOK = 0.2

T = TypeVar("T")

#: Returns what is sent in place of the bytes of a source, and its kind; raises ProviderError or StoreError.
Prepare = Callable[[bytes, Source], tuple[bytes, str]]


class StopWaiting(Exception):
    """The run is ending: an image that has not arrived is not waited for."""


class SourceObjects:
    """The folder with copies of source images that are in object stores."""

    def __init__(
        self, folder: Path, prepare: Prepare, patience: float = PATIENCE, is_ending: Callable[[], bool] = lambda: False
    ) -> None:
        self._folder = folder
        self._prepare = prepare
        self._patience = patience
        self._is_ending = is_ending
        self._locks: dict[str, Lock] = {}  #: by file name, because many jobs may need the same image at once
        self._slots = CapacityLimiter(_AT_ONCE)
        self._versions = SourceVersions(folder)

    async def local(self, source: Source) -> Source:
        """Return *source* as a local file.

        Raise ProviderError (invalid) if the object has changed or cannot be used, StoreError if the store fails, and
        StopWaiting if the run ends first.
        """
        stem = fetched_stem(source)
        async with self._locks.setdefault(stem, Lock()):
            if (copy := fetched_file(self._folder, source)) is not None:
                return copy
            since, wait = current_time(), 1.0
            while True:
                try:
                    async with self._slots:
                        return await self._wait_for(in_thread(partial(self._fetch, source, stem)))
                except OutageError:
                    if current_time() - since + wait > self._patience:
                        raise
                await self._wait_for(asyncio.ensure_future(asyncio.sleep(wait)))
                wait = min(2 * wait, _LONGEST_WAIT)

    async def _wait_for(self, work: asyncio.Future[T]) -> T:
        """Return the result of *work*; raise StopWaiting as soon as the run is ending, which *work* may outlive."""
        while not work.done():
            if self._is_ending():
                raise StopWaiting
            await asyncio.wait([work], timeout=_LOOK)
        return work.result()

    def _fetch(self, source: Source, stem: str) -> Source:
        content = self._content(source)
        data, mime = self._prepare(content, source)
        self._versions.record(source, content)
        name = f"{stem}.{EXTENSIONS[mime]}"
        publish(self._folder, name, data)
        return Source(path=str(self._folder / name), mime=mime, size_bytes=len(data))

    def _content(self, source: Source) -> bytes:
        """Return the bytes that the plan was made for; the object may have got another etag with the same bytes."""
        url = ObjectUrl.parse(source.url or "")
        store = ObjectStore(url.parent)
        try:
            return store.get(url.name, condition(source))
        except FileNotFoundError:
            data = store.find(url.name)
        if data is not None and self._versions.has_bytes(source, data):
            return data
        message = f"source image {url} was changed or removed after the plan was made"
        hint = "run again: the job then counts as changed"
        raise ProviderError(Fault(cause=Cause.INVALID, message=message, hint=hint))
