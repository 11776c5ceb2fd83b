"""Pictures that the server hands out: originals and sources by hash, never by path, and their thumbnails."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from ..app.clock import utc_now
from ..app.project import Project
from ..errors import StoreError
from ..files.images.formats import sniff
from ..files.output_tree import file_at
from ..files.thumbnails import FOLDER, PictureFile, ThumbnailProcess, thumbnail_path
from ..object_url import ObjectUrl
from ..picture import PictureFacts
from ..store import picture_facts

#: Processes that make thumbnails, and their niceness: a run comes first.
_WIDTH, _NICE = 2, 10
#: Facts that are recorded together.
_PAGE = 50


@dataclass(frozen=True, slots=True)
class Picture:
    """The content of an image file."""

    data: bytes
    mime: str


def read_picture(path: Path, roots: Sequence[Path]) -> Picture | None:
    """Return the image at *path*; None if it is gone, not an image, a link, or leads out of all *roots*.

    The path comes from the job database, but what lies there may have been replaced since.
    """
    with suppress(OSError):
        real = path.resolve(strict=True)
        if not any(real.is_relative_to(root.resolve()) for root in roots):
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            data = file.read()
        mime = sniff(data)
        return None if mime is None else Picture(data, mime)
    return None


def read_object(url: ObjectUrl) -> Picture | None:
    """Return the image in an object store; None if it is gone or not an image. Raises StoreError."""
    try:
        data = file_at(url).read()
    except FileNotFoundError:
        return None
    mime = sniff(data)
    return None if mime is None else Picture(data, mime)


class Thumbnails:
    """Thumbnails that are made when a page asks for them, by few processes, each picture once."""

    def __init__(self, project: Project, report: Path) -> None:
        self._project = project
        self._report = report
        self._folder = project.state / "serve"  # a report folder is made by ``batchgen report`` only
        self._processes = [ThumbnailProcess(nice=_NICE) for _ in range(_WIDTH)]
        self._free: asyncio.Queue[ThumbnailProcess] | None = None
        self._making: dict[str, asyncio.Task[bytes | None]] = {}
        self._facts: list[PictureFacts] = []

    def close(self) -> None:
        """End the processes, and record what was measured of the pictures."""
        for process in self._processes:
            process.end()
        with suppress(StoreError):
            self._record()

    async def get(self, sha: str, find: Callable[[], PictureFile | None]) -> bytes | None:
        """Return a thumbnail; *find* returns its picture if it has to be made first. None if there is none."""
        data = await anyio.to_thread.run_sync(self._read, sha)
        if data is not None:
            return data
        task = self._making.get(sha)
        if task is None:
            task = self._making[sha] = asyncio.create_task(self._make(sha, find))
            task.add_done_callback(lambda _done: self._making.pop(sha, None))
        # A page that scrolled on cancels its request; others may wait for the same picture.
        return await asyncio.shield(task)

    async def _make(self, sha: str, find: Callable[[], PictureFile | None]) -> bytes | None:
        picture = await anyio.to_thread.run_sync(find)
        if picture is None:
            return None
        process = await self._queue().get()
        try:
            facts = await anyio.to_thread.run_sync(process.make, picture, self._folder)
        finally:
            self._queue().put_nowait(process)
        if isinstance(facts, PictureFacts):
            self._facts.append(facts)
            if len(self._facts) >= _PAGE:
                await anyio.to_thread.run_sync(self._record)
        return await anyio.to_thread.run_sync(self._read, sha)

    def _queue(self) -> asyncio.Queue[ThumbnailProcess]:
        if self._free is None:
            (self._folder / FOLDER).mkdir(parents=True, exist_ok=True, mode=0o700)
            self._free = asyncio.Queue()
            for process in self._processes:
                self._free.put_nowait(process)
        return self._free

    def _read(self, sha: str) -> bytes | None:
        for folder in (self._report, self._folder):
            with suppress(OSError):
                return thumbnail_path(folder, sha).read_bytes()
        return None

    def _record(self) -> None:
        facts, self._facts = self._facts, []
        picture_facts.write_facts(self._project.db, facts, utc_now())
