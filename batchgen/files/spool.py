r"""Where a paid answer is kept until its images and its ledger row are safe.  A doer: files in one private folder.

One *slot* a paid call, named by the attempt.  It describes itself, so that an answer can be delivered even where the
job table was lost::

    {"attempt": ..., "batch": ..., ...}\n      the order, written before anything is sent
    {"status": 200, "headers": {...}}\n        the head of the answer
    <body>                                     as it arrives
    \nsealed <length> <sha256>\n               the seal: the answer is whole, and on disk

The space is taken before the call is sent: a full disk shows before money is spent.  Unused space reads as NUL, which
no JSON holds, so the end of an unsealed body is known too.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..errors import StoreError
from .atomic import sync_folder
from .output import make_private

_SUFFIX = ".slot"
#: An answer that may have been paid for and was not delivered.
KEPT_SUFFIX = ".kept"
#: No head of an answer is longer (bytes).
_HEAD_MAX = 1024 * 1024
_SEAL = b"\nsealed "
_SEAL_LENGTH = len(_SEAL) + 20 + 1 + 64 + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredAnswer:
    """A slot as found on disk.  ``status`` is None where no answer had begun to arrive."""

    path: Path
    order: Mapping[str, Any]
    status: int | None
    headers: Mapping[str, str]
    body: bytes
    sealed: bool


class Slot:
    """One paid answer while it arrives; ``keep_head``, ``write`` and ``seal`` follow in this order."""

    def __init__(self, path: Path, order: Mapping[str, Any], space: int) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._hash = hashlib.sha256()
        self._length = 0
        self._rest = bytearray()
        self.status: int | None = None  #: of the answer, once its head has come
        self.trouble: OSError | None = None  #: why the answer could not be kept as it should
        try:
            self._end = self._start = self._order_end = self._put(_line(order), 0)
            os.posix_fallocate(self._descriptor, 0, self._end + space)
        except BaseException:
            self.discard()
            raise

    def keep_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Keep the status line and headers: they alone prove that the provider took the call."""
        self.status = status
        try:
            self._end = self._start = self._put(_line({"status": status, "headers": dict(headers)}), self._end)
        except OSError as error:
            self.trouble = error

    def write(self, chunk: bytes) -> None:
        """Add a piece of the body; what the disk does not take stays in memory, and ``trouble`` says why."""
        self._hash.update(chunk)
        if self.trouble is not None:
            self._rest += chunk
            return
        try:
            self._end = self._put(chunk, self._end)
            self._length += len(chunk)
        except OSError as error:
            self.trouble = error
            self._rest += chunk

    def seal(self, *, whole: bool = True) -> None:
        """Make the answer durable: from here on it cannot be lost.  Where the disk fails, ``trouble`` says why.

        One that broke off, and so is not *whole*, gets no seal: the next run must not take it for a complete one.
        """
        if self.trouble is not None:
            return
        try:
            if whole:
                self._end = self._put(_seal(self._length, self._hash.hexdigest()), self._end)
            os.ftruncate(self._descriptor, self._end)
            os.fdatasync(self._descriptor)
        except OSError as error:
            # never synced again: a second fsync may report success for pages that the first one lost
            self.trouble = error

    def body(self) -> bytes:
        """Return the body written so far."""
        return os.pread(self._descriptor, self._length, self._start) + bytes(self._rest)

    def rewind(self) -> None:
        """Forget the answer, but not the order: the same call goes out once more."""
        space = os.fstat(self._descriptor).st_size - self._order_end
        os.ftruncate(self._descriptor, self._order_end)
        os.posix_fallocate(self._descriptor, 0, self._order_end + max(0, space))
        self._end = self._start = self._order_end
        self._length, self._hash, self.status = 0, hashlib.sha256(), None
        self._rest.clear()
        self.trouble = None

    def close(self) -> None:
        """Close the file and leave it where it is."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def discard(self) -> None:
        """Close and remove the slot: its answer is safe elsewhere, or never came."""
        self.close()
        with suppress(FileNotFoundError):
            self.path.unlink()

    def _put(self, data: bytes, at: int) -> int:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, at)
            view, at = view[written:], at + written
        return at


class Scratch:
    """A download while it arrives: nothing that must outlive this process, since fetching again is free."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close()

    def keep_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Start over: a download that is tried again sends all of it again."""
        del status, headers
        self._file.seek(0)
        self._file.truncate()

    def write(self, chunk: bytes) -> None:
        """Add a piece."""
        self._file.write(chunk)

    def seal(self, *, whole: bool = True) -> None:
        """Do nothing: there is nothing to make durable."""

    def body(self) -> bytes:
        """Return all that came."""
        self._file.seek(0)
        return self._file.read()

    def close(self) -> None:
        """Close and forget the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Spool:
    """The folder of slots."""

    def __init__(self, folder: Path) -> None:
        try:
            self._folder = make_private(folder)
        except OSError as error:
            raise StoreError(f"cannot make {folder}: {error.strerror}. Nothing was sent.") from error

    def open(self, attempt_id: str, order: Mapping[str, Any], space: int, *, replace: bool = False) -> Slot:
        """Make a slot with *space* bytes set aside; raise StoreError where the disk has no room for it.

        *replace*: it takes the place of the attempt's earlier one, at once and whole.  Without any slot the next run
        would take the call for one that was never sent.
        """
        path = self._path(attempt_id)
        fresh = path.with_suffix(".again") if replace else path
        try:
            if replace:
                fresh.unlink(missing_ok=True)
            slot = Slot(fresh, order, space)
            try:
                if replace:
                    slot.path = fresh.rename(path)
                sync_folder(self._folder)
            except OSError:
                slot.close()
                if not replace:  # a slot says that its call may have been sent: this one never was
                    slot.discard()
                raise
        except OSError as error:
            raise StoreError(
                f"no room for an answer in {self._folder}: {error.strerror}. Nothing was sent: "
                "free the disk, then run the same command again"
            ) from error
        return slot

    def scratch(self) -> Scratch:
        """Open a nameless file for a download, gone when closed."""
        return Scratch(self._folder)

    def find(self, attempt_id: str) -> StoredAnswer | None:
        """Return what an earlier run kept for an attempt, or None."""
        path = self._path(attempt_id)
        return _read(path) if path.exists() else None

    def leftover_ids(self) -> Iterator[str]:
        """Yield the attempt ids of all slots an earlier run left behind."""
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            yield path.stem

    def release(self, attempt_id: str, *, delivered: bool) -> None:
        """Let go of an attempt's slot, now that its outcome is committed.

        A success that was not *delivered* is kept for the user to look at: it may hold what was paid for.
        """
        path = self._path(attempt_id)
        with suppress(FileNotFoundError):
            if delivered or not _holds_success(path):
                path.unlink()
            else:
                self.set_aside(attempt_id)

    def set_aside(self, attempt_id: str) -> None:
        """Keep an attempt's slot for the user to look at, under a name that no run reads again."""
        path = self._path(attempt_id)
        with suppress(FileNotFoundError):
            path.rename(path.with_suffix(KEPT_SUFFIX))

    def _path(self, attempt_id: str) -> Path:
        return self._folder / f"{attempt_id}{_SUFFIX}"


def _holds_success(path: Path) -> bool:
    """Return whether a slot holds the beginning, at least, of an answer with a good status."""
    with path.open("rb") as file:
        file.readline()
        head, _ = _take_line(file.readline(_HEAD_MAX))
    status = head.get("status") if head else None
    return isinstance(status, int) and 200 <= status < 300


def _seal(length: int, digest: str) -> bytes:
    return b"%s%020d %s\n" % (_SEAL, length, digest.encode())


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def _read(path: Path) -> StoredAnswer:
    data = path.read_bytes()
    order, rest = _take_line(data)
    head, body = _take_line(rest)
    match head:
        case {"status": int(status), "headers": dict(headers)}:
            pass
        case _:
            return StoredAnswer(path=path, order=order or {}, status=None, headers={}, body=b"", sealed=False)
    body = body.rstrip(b"\0")  # killed between the seal and the cut, the rest of the space still follows
    seal, whole = body[-_SEAL_LENGTH:], body[:-_SEAL_LENGTH]
    sealed = seal.startswith(_SEAL) and seal == _seal(len(whole), hashlib.sha256(whole).hexdigest())
    return StoredAnswer(
        path=path,
        order=order or {},
        status=status,
        headers=headers,
        body=whole if sealed else body,
        sealed=sealed,
    )


def _take_line(data: bytes) -> tuple[dict[str, Any] | None, bytes]:
    """Split off a JSON line; a torn one is None."""
    line, _, rest = data.partition(b"\n")
    try:
        value = json.loads(line)
    except ValueError:
        return None, b""
    return (value if isinstance(value, dict) else None), rest
