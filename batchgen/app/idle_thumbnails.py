"""Thumbnails made while a run is in progress, in one process of the lowest priority.

Nothing waits for them: what arrives faster than they are made is left to the report at the end of the run, and so is
everything after an error.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Condition, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..engine.attempts import OpenAttempt
from ..engine.lane import Lane
from ..errors import BatchgenError
from ..files import log
from ..files.thumbnails import PictureFile, ThumbnailProcess
from ..job import Delivery, Incomplete, PartialDelivery, Settlement
from ..object_url import place_of
from ..picture import PictureFacts
from ..store import picture_facts
from ..store.records import Batch
from .clock import utc_now
from .project import Project
from .report.folder import begin_report

if TYPE_CHECKING:
    from ..files.object_tree import Upload

#: Pictures that wait at most, and facts that are kept at most until the end of the run.
_WAITING, _FACTS = 500, 20_000
#: Bytes of images on their way to an object store that are kept at most, so that they need not be downloaded again.
_KEPT_BYTES = 64 * 1024 * 1024
_NICE = 19
#: Seconds that the end of a run waits for the picture that is being examined.
_PATIENCE = 3.0


class IdleThumbnails:
    """Makes thumbnails of what a run delivers, if its batch has a report; a context manager around the run."""

    def __init__(self, project: Project, batch: Batch, *, is_wanted: bool) -> None:
        self._project, self._batch = project, batch
        self._waiting: deque[PictureFile] = deque(maxlen=_WAITING)
        self._facts: deque[PictureFacts] = deque(maxlen=_FACTS)
        self._uploaded: dict[str, bytes] = {}  #: by hash, the oldest first
        self._uploaded_bytes = 0
        self._news = Condition()
        self._ending = not is_wanted
        self._process = ThumbnailProcess(nice=_NICE)
        self._thread = Thread(target=self._work, name="thumbnails", daemon=True) if is_wanted else None

    def record(self, lane: Lane, opened: OpenAttempt, settlement: Settlement | None) -> None:
        """Note the pictures of a settled attempt; listens to the runner."""
        del lane, opened
        if settlement is None or not isinstance(settlement.event, Delivery | PartialDelivery | Incomplete):
            return
        with self._news:
            for file in settlement.event.outcome.artifacts:
                self._waiting.append(PictureFile(path=place_of(file.path, self._project.root), sha256=file.sha256))
            self._news.notify()

    def keep(self, upload: Upload) -> None:
        """Keep the bytes of an image that went to an object store, as long as there is room."""
        image = upload.parts[0]
        sha256 = image.facts.get("batchgen-sha256")
        with self._news:
            if self._ending or sha256 is None or sha256 in self._uploaded:
                return
            self._uploaded[sha256] = image.data
            self._uploaded_bytes += len(image.data)
            while self._uploaded_bytes > _KEPT_BYTES:
                self._uploaded_bytes -= len(self._uploaded.pop(next(iter(self._uploaded))))

    def __enter__(self) -> Self:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is None:
            return
        with self._news:
            self._ending = True
            self._news.notify()
        self._thread.join(_PATIENCE)
        self._process.end()
        try:
            picture_facts.write_facts(self._project.db, list(self._facts), utc_now())
        except BatchgenError as failure:
            log.event("thumbnails_failed", logging.WARNING, error=str(failure))

    def _work(self) -> None:
        try:
            with self._process:
                folder = None
                while (picture := self._next()) is not None:
                    folder = folder or begin_report(self._project, self._batch)
                    with self._on_disk(picture) as file:
                        facts = self._process.make(file, folder)
                    if isinstance(facts, PictureFacts) and not self._process.is_ended:
                        self._facts.append(facts)
        except Exception as error:  # noqa: BLE001 - no error here may end a run that buys images
            log.event("thumbnails_failed", logging.WARNING, error=str(error))

    @contextmanager
    def _on_disk(self, picture: PictureFile) -> Iterator[PictureFile]:
        """Return a picture as a file of this machine if its bytes were kept, and otherwise as it is."""
        with self._news:
            data = self._uploaded.pop(picture.sha256, None)
            self._uploaded_bytes -= len(data or b"")
        if data is None:
            yield picture
            return
        with NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            yield replace(picture, path=Path(file.name))

    def _next(self) -> PictureFile | None:
        with self._news:
            while not self._waiting and not self._ending:
                self._news.wait()
            return None if self._ending else self._waiting.popleft()
