"""Receives answers: streamed to a sink, capped, within their deadlines."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

import httpx
import orjson
from anyio import get_cancelled_exc_class

from .. import redaction
from ..errors import StoreError
from ..fault import ProviderError
from .connection import Connection
from .content_coding import decompress
from .deadline import Deadline
from .errors import describe, too_large

#: Bytes of one body, API answers and results alike. Ten 4K images in base64 stay below it.
MAX_BODY = 256 * 1024 * 1024

#: Bytes passed on at once.
PIECE = 64 * 1024

#: Seconds of silence after which a body is examined: it may be complete though its connection is open.
IDLE = 5.0

#: Bytes at the end of a body that show whether it may be complete.
_END = 40
_LAST_EVENT = re.compile(rb"^data: ?\[DONE\]\s*\Z", re.MULTILINE)

#: Bytes of an answer to a free question: the longest lists of models have a few million.
MAX_ANSWER = 16 * 1024 * 1024


class Sink(Protocol):
    """Receiver of an answer while it arrives, such as a spool slot."""

    def keep_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Store the status and the headers."""

    def write(self, chunk: bytes) -> None:
        """Store a piece of the body."""

    def seal(self, *, whole: bool = True) -> None:
        """State that the answer has ended; it is not *whole* if it broke off."""


@dataclass(slots=True)
class BufferSink:
    """A sink in memory, for an answer that is small and can be requested again."""

    _body: bytearray = field(default_factory=bytearray)

    def keep_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Do nothing: ``receive`` returns the head."""

    def write(self, chunk: bytes) -> None:
        """Store a piece of the body."""
        self._body += chunk

    def seal(self, *, whole: bool = True) -> None:
        """Do nothing: memory does not outlive the process."""

    def body(self) -> bytes:
        """Return what arrived."""
        return bytes(self._body)


@dataclass(frozen=True, kw_only=True, slots=True)
class ResponseHead:
    """The head of an answer whose body is in the sink. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    broken: str | None = None  #: why the body broke off; None: it is complete


async def receive(
    response: httpx.Response,
    sink: Sink,
    ends: float,
    key: str = "",
    *,
    most: int | None = None,
    silence: float = math.inf,
) -> ResponseHead:
    """Read *response* into *sink* and seal it there.

    *ends* is on the loop's clock, *most* in bytes (None: MAX_BODY), *silence* in seconds.

    If the server repeats *key*, it is blacked out: answers are stored, and errors are shown. A body that breaks off is
    kept as well, since the document in it may be complete; ``broken`` then states why.
    """
    raw = response.headers.items()
    headers = {name.lower(): redaction.hidden(text, [key], None) for name, text in raw}
    head = ResponseHead(status=response.status_code, headers=headers)
    sink.keep_head(head.status, head.headers)
    pieces = _Pieces(sink, redaction.Redactor(key), head.status, MAX_BODY if most is None else most)
    broken: str | None = None
    try:
        await _read_body(response, pieces, ends, silence)
    except (StoreError, ProviderError, get_cancelled_exc_class()):
        raise
    except Exception as error:  # noqa: BLE001 - even after a bug here, what arrived is kept
        broken = redaction.hidden(describe(error), [key])
    finally:
        pieces.end()
    sink.seal(whole=broken is None)
    if broken is not None:
        broken = f"the answer (HTTP {head.status}) broke off after {pieces.length} bytes: {broken}"
    return replace(head, broken=broken)


async def _read_body(response: httpx.Response, pieces: _Pieces, ends: float, silence: float) -> None:
    """Read the body to its end, or to the end of the document in it."""
    body = cast("Connection", response.stream)
    expired = TimeoutError("no more came until the deadline")
    deadline = Deadline(ends, lambda: body.stop(expired), lambda: pieces.length)
    idle = _IdleCheck(pieces, body, silence)
    try:
        await body.pump(pieces.add)
    finally:
        deadline.stop()
        idle.stop()


@dataclass(slots=True)
class _Pieces:
    """Gathers chunks into pieces; httpx's own buffering drops the last one if an answer breaks off."""

    sink: Sink
    blackout: redaction.Redactor
    status: int
    most: int
    length: int = 0
    _gathered: list[bytes] = field(default_factory=list)
    _size: int = 0
    _end: bytes = b""  #: the last bytes, written out or not

    def add(self, chunk: bytes) -> None:
        if self.length + len(chunk) > self.most:
            raise too_large(self.most, self.status)
        self._gathered.append(chunk)
        self._end = (self._end + chunk[-_END:])[-_END:]
        self.length += len(chunk)
        self._size += len(chunk)
        if self._size >= PIECE:
            self._write_out(self.blackout.add(self._take()))

    def end(self) -> None:
        """Write the rest."""
        self._write_out(self.blackout.add(self._take()) + self.blackout.end())

    def document_ended(self) -> bool:
        """Return whether the body so far is a complete JSON document, or a stream of events with its last one."""
        if _LAST_EVENT.search(self._end):
            return True
        if not self._end.rstrip().endswith((b"}", b"]")):
            return False
        waiting = self.blackout.rest + b"".join(self._gathered)
        body = getattr(self.sink, "body", bytes)  # a sink that cannot be read takes images
        try:
            orjson.loads(body() + waiting)
        except (ValueError, OSError, MemoryError):
            return False
        return True

    def _take(self) -> bytes:
        piece = b"".join(self._gathered)
        self._gathered.clear()
        self._size = 0
        return piece

    def _write_out(self, piece: bytes) -> None:
        if piece:
            _write(self.sink, piece)


class _IdleCheck:
    """Ends the reading of an answer that is complete though its connection stays open, or that is silent too long."""

    def __init__(self, pieces: _Pieces, body: Connection, silence: float) -> None:
        self._pieces, self._body, self._silence = pieces, body, silence
        self._last_length = self._examined_length = 0
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._timer = self._loop.call_later(min(IDLE, silence), self._check)

    def stop(self) -> None:
        self._timer.cancel()

    def _check(self) -> None:
        length, now = self._pieces.length, self._loop.time()
        if length != self._last_length:
            self._last_length, self._since = length, now
        elif length != self._examined_length:
            self._examined_length = length
            if self._pieces.document_ended():
                self._body.stop()
                return
        if now - self._since >= self._silence:
            self._body.stop(TimeoutError(f"nothing came for {self._silence:g} s"))
            return
        self._timer = self._loop.call_later(min(IDLE, self._silence), self._check)


def _write(sink: Sink, piece: bytes) -> None:
    try:
        sink.write(piece)
    except OSError as error:
        # Not a network failure: another try would fail on the same disk.
        raise StoreError(f"cannot store the answer: {error.strerror}. Free disk space, then run again") from error


async def hang_up(response: httpx.Response) -> None:
    """Close *response*; errors of a broken connection have been reported already."""
    with suppress(Exception):
        await response.aclose()


def decompressed(body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return *body* without compression; raise ProviderError (spoiled) if it cannot be read."""
    return decompress(body, headers, MAX_BODY)
