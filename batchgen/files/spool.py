"""Spool: stores paid answers in a private folder until their images and their ledger row are safe.

Each paid call has a slot (``slot``), and its name is durable before the call is sent: a call without a slot was never
sent. A slot gets its name only once it holds its order: a run that is killed while it makes a slot leaves none, and the
next run knows that the call was not sent. A slot is removed once the outcome of its call is committed.

Slots are made in groups, which share the sync of the folder; with 64 calls in flight that is about a fifth of a sync a
call. A pool of slots that are used again was measured, and would save another 0.11 ms of CPU a call. It was not built:
remains of an earlier answer in a slot would be a new danger in every window of a crash.
"""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ..errors import StoreError
from .atomic import sync_folder, write_atomic
from .group_thread import GroupThread
from .lock import is_alive
from .output import make_private
from .slot import Slot, StoredAnswer, holds_success, read_slot

_SUFFIX = ".slot"
#: A slot that is being made, after the id of its process: its call has not been sent.
PART_SUFFIX = ".part"
#: An answer that may have been paid for and was not delivered.
KEPT_SUFFIX = ".kept"
#: All files that may hold an answer.
SUFFIXES = (KEPT_SUFFIX, _SUFFIX)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Order:
    """A slot to make."""

    attempt_id: str
    content: Mapping[str, Any]
    space: int
    replace: bool


def spool_id(folder: Path) -> str:
    """Return the id of a spool, which other machines do not have; the first call makes it."""
    path = make_private(folder) / "id"
    if not path.exists():
        part = path.with_suffix(f".{uuid.uuid4().hex}")
        write_atomic(part, f"{uuid.uuid4().hex}\n".encode())
        with suppress(FileExistsError):  # another run was faster
            path.hardlink_to(part)
        part.unlink()
    return path.read_text(encoding="ascii").strip()


class Scratch:
    """A download while it arrives. It need not outlive this process, since another download is free."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close()

    def keep_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Start over: another try sends the whole body again."""
        del status, headers
        self._file.seek(0)
        self._file.truncate()

    def write(self, chunk: bytes) -> None:
        """Add a piece."""
        self._file.write(chunk)

    def seal(self, *, whole: bool = True) -> None:
        """Do nothing: a download need not be durable."""

    def body(self) -> bytes:
        """Return what arrived."""
        self._file.seek(0)
        return self._file.read()

    def close(self) -> None:
        """Close the file, which removes it."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Spool:
    """The folder of slots."""

    def __init__(self, folder: Path) -> None:
        try:
            self._folder = make_private(folder)
        except OSError as error:
            raise StoreError(f"cannot make {folder}: {error.strerror}. Nothing was sent.") from error
        self._opening = GroupThread("batchgen-slots", self._open_group)
        self._releasing = GroupThread("batchgen-release", self._release_group)

    @classmethod
    def take_over(cls, folder: Path) -> Self:
        """Return the spool of a process that begins its work, without what killed ones left of slots in the making."""
        spool = cls(folder)
        for path in folder.glob(f"*{PART_SUFFIX}"):
            maker = path.stem.rpartition(".")[2]
            if maker.isdigit() and not is_alive(int(maker)):
                with suppress(OSError):  # `clean` removes it
                    path.unlink()
        return spool

    def open(self, attempt_id: str, order: Mapping[str, Any], space: int, *, replace: bool = False) -> Slot:
        """Make a slot with *space* bytes allocated; raise StoreError if the disk has no room for it.

        With *replace* it replaces the attempt's earlier slot atomically: if there were no slot for a moment, the next
        run could assume that the call was never sent.
        """
        [slot] = self._open_group([_Order(attempt_id=attempt_id, content=order, space=space, replace=replace)])
        if isinstance(slot, Exception):
            raise slot
        return slot

    def open_soon(
        self, attempt_id: str, order: Mapping[str, Any], space: int, *, replace: bool = False
    ) -> asyncio.Future[Slot]:
        """Make a slot as ``open`` does, together with others that are due; the caller owns it even if cancelled."""
        self._releasing.start()  # before anything is sent
        return self._opening.submit(_Order(attempt_id=attempt_id, content=order, space=space, replace=replace))

    def scratch(self) -> Scratch:
        """Open an unnamed file for a download, which vanishes when it is closed."""
        return Scratch(self._folder)

    def find(self, attempt_id: str) -> StoredAnswer | None:
        """Return the answer that an earlier run stored for an attempt, or None."""
        path = self._path(attempt_id)
        return read_slot(path) if path.exists() else None

    def holds(self, attempt_id: str) -> bool:
        """Return whether an attempt has a slot."""
        return self._path(attempt_id).exists()

    def leftover_ids(self) -> Iterator[str]:
        """Yield the attempt ids of all slots that an earlier run left behind."""
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            yield path.stem

    def release(self, attempt_id: str, *, delivered: bool) -> None:
        """Remove an attempt's slot, now that its outcome is committed.

        A success that was not *delivered* is kept for the user to examine: it may hold an image that was paid for.
        """
        path = self._path(attempt_id)
        with suppress(FileNotFoundError):
            if delivered or not holds_success(path):
                path.unlink()
            else:
                self.set_aside(attempt_id)

    def release_soon(self, attempt_id: str, delivered: bool, alarm: Callable[[Exception], None]) -> None:
        """Remove a slot as ``release`` does, in a thread; *alarm* is called if the disk refuses.

        The outcome is committed, so nothing has to wait for it: the next run removes what this one does not.
        """

        def check(released: asyncio.Future[None]) -> None:
            error = None if released.cancelled() else released.exception()
            if isinstance(error, Exception):
                alarm(error)

        self._releasing.submit((attempt_id, delivered)).add_done_callback(check)

    def close(self) -> None:
        """Finish what was to be released soon, and end the threads."""
        self._opening.close()
        self._releasing.close()

    def set_aside(self, attempt_id: str) -> None:
        """Keep an attempt's slot for the user to examine, under a name that no run reads again."""
        path = self._path(attempt_id)
        with suppress(FileNotFoundError):
            path.rename(path.with_suffix(KEPT_SUFFIX))

    def _path(self, attempt_id: str) -> Path:
        return self._folder / f"{attempt_id}{_SUFFIX}"

    def _open_group(self, orders: Sequence[_Order]) -> list[Slot | Exception]:
        """Make slots, and sync the folder once; a slot that cannot be made is an error."""
        made = [self._make(order) for order in orders]
        try:
            if any(isinstance(slot, Slot) for slot in made):
                sync_folder(self._folder)
        except OSError as error:
            return [self._undo(order, slot, error) for order, slot in zip(orders, made, strict=True)]
        return made

    def _make(self, order: _Order) -> Slot | Exception:
        path = self._path(order.attempt_id)
        part = path.with_suffix(f".{os.getpid()}{PART_SUFFIX}")
        try:
            if not order.replace and os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
            part.unlink(missing_ok=True)
            slot = Slot(part, order.content, order.space)
            try:
                slot.path = part.rename(path)
            except OSError:
                slot.discard()
                raise
        except OSError as error:
            return self._no_room(error)
        except Exception as error:  # noqa: BLE001 - an order that cannot be written must not fail the whole group
            return error
        return slot

    def _undo(self, order: _Order, slot: Slot | Exception, error: OSError) -> Exception:
        """Give up a slot whose name may not be durable; return the error of its call."""
        if isinstance(slot, Exception):
            return slot
        slot.close()
        if not order.replace:  # a slot means that its call may have been sent, and this one was not
            with suppress(OSError):  # a disk that fails may refuse this as well
                slot.discard()
        return self._no_room(error)

    def _no_room(self, error: OSError) -> StoreError:
        failure = StoreError(
            f"no room for an answer in {self._folder}: {error.strerror}. Nothing was sent: "
            "free disk space, then run the same command again"
        )
        failure.__cause__ = error
        return failure

    def _release_group(self, ended: Sequence[tuple[str, bool]]) -> list[Exception | None]:
        return [self._release_error(attempt_id, delivered) for attempt_id, delivered in ended]

    def _release_error(self, attempt_id: str, delivered: bool) -> OSError | None:
        try:
            self.release(attempt_id, delivered=delivered)
        except OSError as error:
            return error
        return None
