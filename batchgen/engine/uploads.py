"""Uploads: the stage in which paid images go to an object store, apart from the calls that bought them.

An upload is retried by itself, and never leads to another call: the answer is sealed in the spool before it starts. A
bounded number of attempts have a place; only they hold images in memory. The others wait with their answer on disk.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable

from anyio import sleep

from ..files.object_errors import OutageError, StoreRefusal
from ..files.object_tree import ObjectTree, Part, Upload

#: Attempts that upload at once.
WIDTH = 64
#: Seconds without a successful upload after which the run stops, as it does for a full disk.
PATIENCE = 300.0
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0
_KEPT = "The answers are kept in the spool, nothing is lost"


class UploadPlace:
    """The place of one attempt among the uploads: it holds images in memory only while it has the place."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._is_taken = False

    async def take(self) -> None:
        """Wait for a place, unless this attempt has one."""
        if not self._is_taken:
            await self._places.acquire()
            self._is_taken = True

    def leave(self) -> None:
        """Give the place up, if this attempt has one."""
        if self._is_taken:
            self._is_taken = False
            self._places.release()


class Uploads:
    """The places for uploads, and how long the object store has not answered."""

    def __init__(
        self,
        show_message: Callable[[str], None] = lambda _text: None,
        *,
        width: int = WIDTH,
        patience: float = PATIENCE,
        on_upload: Callable[[Upload], None] = lambda _upload: None,
    ) -> None:
        """*on_upload* gets every image that is there, with its bytes; it must not wait for anything."""
        self._places = asyncio.Semaphore(width)
        self._show_message = show_message
        self._patience = patience
        self._on_upload = on_upload
        self._failing_since: float | None = None
        self.waiting = 0  #: attempts whose answers wait for a place or for the store

    def place(self) -> UploadPlace:
        """Return the place of one attempt, which it is still to take."""
        return UploadPlace(self._places)

    async def publish(self, uploads: Iterable[Upload], is_superseded: Callable[[], bool] = lambda: False) -> None:
        """Bring files to the store, however often it takes; raise StoreError if it refuses, or is down for minutes.

        *is_superseded*: whether another runner has claimed the job meanwhile, whose files stay.
        """
        for upload in uploads:
            self.waiting += 1
            try:
                for part in upload.parts:
                    await self._put(upload.tree, part, is_superseded)
                self._on_upload(upload)
            finally:
                self.waiting -= 1

    async def _put(self, tree: ObjectTree, part: Part, is_superseded: Callable[[], bool]) -> None:
        wait = _FIRST_WAIT
        while True:
            try:
                await tree.put_soon(part, is_superseded)
            except StoreRefusal as error:
                raise StoreRefusal(f"{error}. {_KEPT}: once that is fixed, run the same command again") from error
            except OutageError as error:
                self._note_failure(error)
                await sleep(wait * random.uniform(0.75, 1.25))  # noqa: S311 - so that they do not come all at once
                wait = min(2 * wait, _LONGEST_WAIT)
            else:
                self._note_success()
                return

    def _note_failure(self, error: OutageError) -> None:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
            self._show_message(f"{error}. Uploads are tried again; answers wait in the spool until they are uploaded")
        elif now - self._failing_since > self._patience:
            minutes = round((now - self._failing_since) / 60)
            raise OutageError(
                f"{error}, for {minutes} minutes now. {_KEPT}: run the same command again once the store answers"
            ) from error

    def _note_success(self) -> None:
        if self._failing_since is not None:
            seconds = time.monotonic() - self._failing_since
            self._failing_since = None
            self._show_message(f"the object store answers again, after {seconds:.0f} s; no image was lost")
