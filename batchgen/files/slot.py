r"""Slots: files of paid answers, each named by its attempt.

A slot describes itself, so that its answer can be delivered even if the job database is lost::

    {"attempt": ..., "batch": ..., ...}\n      the order, written before anything is sent
    {"status": 200, "headers": {...}}\n        the head of the answer
    <body>                                     as it arrives
    \nsealed <length> crc32:<checksum>\n       the seal: the answer is complete

Seals of earlier versions hold a SHA-256 in place of the CRC, which takes 2 ms of an answer of 3.5 MB, and the CRC 0.8.

The space is allocated before the call is sent, so that a full disk shows before money is spent. Unused space reads as
NUL, which JSON cannot contain, so that the end of an unsealed body is known too.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import orjson

#: Longest head of an answer (bytes).
_HEAD_MAX = 1024 * 1024
_SEAL = b"\nsealed "
_LENGTH = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredAnswer:
    """A slot as found on disk. ``status`` is None if no answer had begun to arrive."""

    path: Path
    order: Mapping[str, Any]
    status: int | None
    headers: Mapping[str, str]
    body: bytes
    sealed: bool


class Slot:
    """One paid answer while it arrives; ``keep_head``, ``write``, ``seal`` and ``sync`` are called in this order."""

    def __init__(self, path: Path, order: Mapping[str, Any], space: int) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._checksum = 0
        self._length = 0
        self._rest = bytearray()
        self._synced = False
        self.status: int | None = None  #: the status of the answer, once its head has arrived
        self.error: OSError | None = None  #: why the answer could not be stored safely
        try:
            self._end = self._start = self._order_end = self._put(_line(order), 0)
            os.posix_fallocate(self._descriptor, 0, self._end + space)
        except BaseException:
            self.discard()
            raise

    def keep_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Store the status line and headers: they alone prove that the provider accepted the call."""
        self.status = status
        try:
            self._end = self._start = self._put(_line({"status": status, "headers": dict(headers)}), self._end)
        except OSError as error:
            self.error = error

    def write(self, chunk: bytes) -> None:
        """Add a piece of the body; after a disk error it stays in memory, and ``error`` holds the reason."""
        self._checksum = zlib.crc32(chunk, self._checksum)
        if self.error is not None:
            self._rest += chunk
            return
        try:
            self._end = self._put(chunk, self._end)
            self._length += len(chunk)
        except OSError as error:
            self.error = error
            self._rest += chunk

    def seal(self, *, whole: bool = True) -> None:
        """State that the answer is complete: from here on the end of this process cannot lose it.

        An answer that broke off, and so is not *whole*, gets no seal: the next run must not take it for complete.
        """
        if self.error is not None or not whole:
            return
        try:
            self._end = self._put(_seal(self._length, self._checksum), self._end)
        except OSError as error:
            self.error = error

    def sync(self) -> None:
        """Make what arrived durable, once: from here on nothing can lose it. ``error`` holds the reason if that fails.

        This waits for the disk, so it belongs in a thread.
        """
        if self.error is not None or self._synced:
            return
        self._synced = True
        try:
            os.ftruncate(self._descriptor, self._end)
            os.fdatasync(self._descriptor)
        except OSError as error:
            # It is never synced again: a second fsync may report success for pages that the first one lost.
            self.error = error

    def body(self) -> bytes:
        """Return the body written so far."""
        return os.pread(self._descriptor, self._length, self._start) + bytes(self._rest)

    def rewind(self) -> None:
        """Discard the answer, but not the order: the same call is sent again."""
        space = os.fstat(self._descriptor).st_size - self._order_end
        os.ftruncate(self._descriptor, self._order_end)
        os.posix_fallocate(self._descriptor, 0, self._order_end + max(0, space))
        self._end = self._start = self._order_end
        self._length, self._checksum, self.status, self._synced = 0, 0, None, False
        self._rest.clear()
        self.error = None

    def close(self) -> None:
        """Close the file and leave it where it is."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def discard(self) -> None:
        """Close and remove the slot: its answer is safe elsewhere, or never arrived."""
        self.close()
        with suppress(FileNotFoundError):
            self.path.unlink()

    def _put(self, data: bytes, at: int) -> int:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, at)
            view, at = view[written:], at + written
        return at


def holds_success(path: Path) -> bool:
    """Return whether a slot holds at least the beginning of an answer with a good status."""
    with path.open("rb") as file:
        file.readline()
        head, _ = _take_line(file.readline(_HEAD_MAX))
    status = head.get("status") if head else None
    return isinstance(status, int) and 200 <= status < 300


def _seal(length: int, checksum: int) -> bytes:
    return b"%s%0*d crc32:%08x\n" % (_SEAL, _LENGTH, length, checksum)


def _old_seal(body: memoryview) -> bytes:
    return b"%s%0*d %s\n" % (_SEAL, _LENGTH, len(body), hashlib.sha256(body).hexdigest().encode())


def _sealed_body(data: bytes) -> bytes | None:
    """Return the body of a sealed answer; None if its seal is missing or does not fit."""
    start = data.rfind(_SEAL)
    if start < 0:
        return None
    body = memoryview(data)[:start]
    fits = data[start:] == _seal(start, zlib.crc32(body)) or data[start:] == _old_seal(body)
    return bytes(body) if fits else None


def _line(value: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # it holds half a surrogate pair, a huge number, or keys that are not text
        return json.dumps(value, separators=(",", ":"), default=asdict).encode() + b"\n"


def read_slot(path: Path) -> StoredAnswer:
    """Return what a slot holds."""
    data = path.read_bytes()
    order, rest = _take_line(data)
    head, body = _take_line(rest)
    match head:
        case {"status": int(status), "headers": dict(headers)}:
            pass
        case _:
            return StoredAnswer(path=path, order=order or {}, status=None, headers={}, body=b"", sealed=False)
    body = body.rstrip(b"\0")  # unused space remains if the process was killed between the seal and the cut
    whole = _sealed_body(body)
    return StoredAnswer(
        path=path,
        order=order or {},
        status=status,
        headers=headers,
        body=body if whole is None else whole,
        sealed=whole is not None,
    )


def _take_line(data: bytes) -> tuple[dict[str, Any] | None, bytes]:
    """Split off a JSON line; an incomplete one is None."""
    line, _, rest = data.partition(b"\n")
    try:
        value = json.loads(line)
    except ValueError:
        return None, b""
    return (value if isinstance(value, dict) else None), rest
