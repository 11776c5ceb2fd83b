"""How an answer comes in: streamed to a sink, capped, within its deadline.  A doer: sockets."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import httpx
import orjson
from anyio import CancelScope, get_cancelled_exc_class, to_thread

from .. import redaction
from ..errors import StoreError
from ..fault import ProviderError
from .content_coding import decompress
from .deadline import until
from .errors import too_large, why_broken

#: Bytes of one body, API answers and results alike.  Ten 4K images in base64 stay below it.
MAX_BODY = 256 * 1024 * 1024

#: Bytes handed on at once.
PIECE = 64 * 1024

#: Seconds of silence after which a body is looked at: it may be complete, without an end.
IDLE = 5.0

_LAST_EVENT = re.compile(rb"^data: ?\[DONE\]\s*\Z", re.MULTILINE)

#: Bytes of an answer to a free question: the longest catalogues of models have a few.
MAX_ANSWER = 16 * 1024 * 1024


class Sink(Protocol):
    """Where an answer goes while it arrives; a spool slot is one."""

    def keep_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Keep the status and the headers."""

    def write(self, chunk: bytes) -> None:
        """Keep a piece of the body."""

    def seal(self, *, whole: bool = True) -> None:
        """Make the answer durable; not *whole*: all that came of it before it broke off."""


@dataclass(slots=True)
class BufferSink:
    """A sink for an answer that is small and may be asked for again."""

    _body: bytearray = field(default_factory=bytearray)

    def keep_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Do nothing: whoever receives is given the head."""

    def write(self, chunk: bytes) -> None:
        """Keep a piece of the body."""
        self._body += chunk

    def seal(self, *, whole: bool = True) -> None:
        """Do nothing: memory does not outlive the process."""

    def body(self) -> bytes:
        """Return what came."""
        return bytes(self._body)


@dataclass(frozen=True, kw_only=True, slots=True)
class ResponseHead:
    """The head of an answer whose body lies in the sink.  Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    broken: str | None = None  #: why the body ended before its end, in words; None: it ended as HTTP says


async def receive(
    response: httpx.Response, sink: Sink, ends: float, key: str = "", most: int | None = None
) -> ResponseHead:
    """Read *response* into *sink* and seal it there; *ends* is on the loop's clock, *most* in bytes (None: MAX_BODY).

    Where the far side repeats *key*, it is blacked out: answers are kept, and errors are shown.  What came of a body
    that breaks off is made durable as well, since the answer in it may be complete: ``broken`` says that it did.
    """
    raw = response.headers.items()
    headers = {name.lower(): redaction.hidden(text, [key], None) for name, text in raw}
    head = ResponseHead(status=response.status_code, headers=headers)
    sink.keep_head(head.status, head.headers)
    pieces = _Pieces(sink, redaction.Redactor(key))
    cap = MAX_BODY if most is None else most
    broken: str | None = None
    try:
        await _read_body(response, pieces, ends, cap)
    except (StoreError, ProviderError, get_cancelled_exc_class()):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it was, even a bug here: what came is kept
        broken = redaction.hidden(why_broken(error), [key])
    finally:
        pieces.end()
    await _seal(sink, whole=broken is None)
    if broken is not None:
        broken = f"the answer (HTTP {head.status}) broke off after {pieces.length} bytes: {broken}"
    return replace(head, broken=broken)


async def _read_body(response: httpx.Response, pieces: _Pieces, ends: float, cap: int) -> None:
    """Read the body to its end, or to the end of the document in it."""
    idle = _Idle(pieces)
    try:
        with until(ends, lambda: pieces.length), idle.scope:
            async for chunk in response.aiter_raw():
                if pieces.length + len(chunk) > cap:
                    raise too_large(cap, response.status_code)
                pieces.add(chunk)
    finally:
        idle.stop()
    # where the idle scope was cancelled, the document is whole


async def _seal(sink: Sink, *, whole: bool) -> None:
    seal = partial(sink.seal, whole=whole)
    try:
        await to_thread.run_sync(seal)
    except (RuntimeError, MemoryError):  # no thread can be started: a limit of processes, or of memory
        seal()


@dataclass(slots=True)
class _Pieces:
    """Gathers what arrives into pieces; httpx's own gathering drops the last one where an answer breaks off."""

    sink: Sink
    blackout: redaction.Redactor
    length: int = 0
    _gathered: list[bytes] = field(default_factory=list)
    _size: int = 0

    def add(self, chunk: bytes) -> None:
        self._gathered.append(chunk)
        self.length += len(chunk)
        self._size += len(chunk)
        if self._size >= PIECE:
            self._write_out(self.blackout.add(self._take()))

    def end(self) -> None:
        """Write the rest."""
        self._write_out(self.blackout.add(self._take()) + self.blackout.end())

    def document_ended(self) -> bool:
        """Return whether what came is one whole JSON document, or a stream of events to its end."""
        waiting = self.blackout.rest + b"".join(self._gathered)
        if _LAST_EVENT.search(waiting[-40:]):
            return True
        if not waiting.rstrip().endswith((b"}", b"]")):
            return False
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


class _Idle:
    """Ends the reading of an answer that is complete though its connection stays open."""

    def __init__(self, pieces: _Pieces) -> None:
        self.scope = CancelScope()
        self._pieces = pieces
        self._seen = self._looked = 0
        self._timer = asyncio.get_running_loop().call_later(IDLE, self._look)

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        length = self._pieces.length
        if self._looked != length == self._seen:
            self._looked = length
            if self._pieces.document_ended():
                self.scope.cancel()
                return
        self._seen = length
        self._timer = asyncio.get_running_loop().call_later(IDLE, self._look)


def _write(sink: Sink, piece: bytes) -> None:
    try:
        sink.write(piece)
    except OSError as error:
        # told apart from trouble on the way: another try would meet the same disk
        raise StoreError(f"cannot keep what arrives: {error.strerror}. Free the disk, then run again") from error


async def hang_up(response: httpx.Response) -> None:
    """Close *response*; what closing a broken connection has to say was said before."""
    with suppress(Exception):
        await response.aclose()


def decompressed(body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return *body* without the compressions around it; raise ProviderError (spoiled) where it cannot be read."""
    return decompress(body, headers, MAX_BODY)
