"""Pool of the processes that make thumbnails: one thread waits for each of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread

from ..object_url import ObjectUrl
from ..picture import PictureFacts
from .thumbnails import FileGone, PictureFile, ThumbnailProcess

#: Pictures for which another process pays: starting one takes as long as making a few thumbnails.
_WORTH = 8
#: Processes for each processor where pictures are in an object store, for whose answers they wait; and all of them.
_WAITING, _MOST = 3, 16

Examined = tuple[PictureFile, PictureFacts | FileGone]


def examine_all(pictures: Sequence[PictureFile], folder: Path, processes: int | None = None) -> Iterator[Examined]:
    """Make the thumbnails of these pictures and yield their facts, as they are finished; raise StoreError."""
    width = min(processes or _suitable(pictures), -(-len(pictures) // _WORTH))
    orders, pool = _Orders(pictures), [ThumbnailProcess() for _ in range(width)]
    threads = [Thread(target=orders.work, args=(process, folder), daemon=True) for process in pool]
    try:
        for thread in threads:
            thread.start()
        working = width
        while working:
            answer = orders.answers.get()
            if isinstance(answer, Exception):
                raise answer
            if answer is None:
                working -= 1
            else:
                yield answer
    finally:
        for process in pool:
            process.end()
        for thread in threads:
            thread.join()


class _Orders:
    """The pictures that wait, and the answers of all processes; None in place of an answer: a process is finished."""

    def __init__(self, pictures: Sequence[PictureFile]) -> None:
        self.answers: SimpleQueue[Examined | Exception | None] = SimpleQueue()
        self._waiting = iter(pictures)
        self._lock = Lock()

    def work(self, process: ThumbnailProcess, folder: Path) -> None:
        """Let *process* make thumbnails until none waits or it is ended."""
        try:
            with process:
                while not process.is_ended and (picture := self._next()) is not None:
                    self.answers.put((picture, process.make(picture, folder)))
        except Exception as error:  # noqa: BLE001 - raised in the thread of the caller
            self.answers.put(error)
        finally:
            self.answers.put(None)

    def _next(self) -> PictureFile | None:
        with self._lock:
            return next(self._waiting, None)


def _suitable(pictures: Sequence[PictureFile]) -> int:
    """Return how many processes keep the processors busy."""
    remote = any(isinstance(picture.path, ObjectUrl) for picture in pictures)
    return min(_MOST, _WAITING * _processors()) if remote else _processors()


def _processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
