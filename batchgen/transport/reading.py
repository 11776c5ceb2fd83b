"""How an answer comes in: streamed to a sink, capped, within its deadline.  A doer: sockets."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import httpx
from anyio import current_time, fail_after, to_thread

from ..errors import StoreError
from ..fault import Cause, Charged, Fault, ProviderError
from .mishaps import TROUBLE, in_doubt, too_large, words

#: Bytes of one body, API answers and results alike.  Ten 4K images in base64 stay below it.
MAX_BODY = 256 * 1024 * 1024

#: A shorter key might stand in an image's base64 by chance.
_TELLING = 16

#: Bytes handed on at once.
PIECE = 64 * 1024

#: Bytes of an answer to a free question: the longest catalogues of models have a few.
MAX_ANSWER = 16 * 1024 * 1024


class Sink(Protocol):
    """Where an answer goes while it arrives; a spool slot is one."""

    def keep_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Keep the status and the headers."""

    def write(self, chunk: bytes) -> None:
        """Keep a piece of the body."""

    def seal(self) -> None:
        """Make the whole answer durable."""


@dataclass(slots=True)
class Memory:
    """A sink for an answer that is small and may be asked for again."""

    body: bytearray = field(default_factory=bytearray)

    def keep_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Do nothing: whoever receives is given the head."""

    def write(self, chunk: bytes) -> None:
        """Keep a piece of the body."""
        self.body += chunk

    def seal(self) -> None:
        """Do nothing: memory outlives nobody."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The head of an answer whose body lies in the sink.  Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    broken: str | None = None  #: why the body broke off before its end, where it did


async def receive(response: httpx.Response, sink: Sink, ends: float, key: str = "", most: int | None = None) -> Head:
    """Read *response* into *sink* and seal it; *ends* is on the loop's clock, *most* in bytes (None: MAX_BODY).

    Where the far side repeats *key*, it is blacked out: answers are kept, and errors are shown.  Raises
    ProviderError where a success broke off.  An error answer says what it has to say in its status, so what came of it
    is enough.
    """
    secret = key if len(key) >= _TELLING else ""
    raw = response.headers.items()
    headers = {name.lower(): text.replace(secret, "*" * len(secret)) if secret else text for name, text in raw}
    head = Head(status=response.status_code, headers=headers)
    sink.keep_head(head.status, head.headers)
    pieces = _Pieces(sink, secret.encode())
    cap = MAX_BODY if most is None else most
    try:
        with fail_after(max(0.0, ends - current_time())):
            async for chunk in response.aiter_raw():
                if pieces.length + len(chunk) > cap:
                    raise too_large(cap, head.status)
                pieces.add(chunk)
    except TROUBLE as error:  # TimeoutError is an OSError
        if head.status < 300:
            what = f"the answer (HTTP {head.status}) broke off after {pieces.length} bytes: {words(error)}"
            raise in_doubt(what, head.status) from error
    finally:
        pieces.flush()
    await to_thread.run_sync(sink.seal)
    return head


@dataclass(slots=True)
class _Pieces:
    """Gathers what arrives into pieces; httpx's own gathering drops the last one where an answer breaks off."""

    sink: Sink
    secret: bytes = b""
    length: int = 0
    _gathered: list[bytes] = field(default_factory=list)
    _size: int = 0

    def add(self, chunk: bytes) -> None:
        self._gathered.append(chunk)
        self.length += len(chunk)
        self._size += len(chunk)
        if self._size >= PIECE:
            self.flush()

    def flush(self) -> None:
        piece = b"".join(self._gathered)
        self._gathered.clear()
        self._size = 0
        if self.secret:
            piece = piece.replace(self.secret, b"*" * len(self.secret))
        if piece:
            _write(self.sink, piece)


def _write(sink: Sink, piece: bytes) -> None:
    try:
        sink.write(piece)
    except OSError as error:
        # told apart from trouble on the way: another try would meet the same disk
        raise StoreError(f"cannot keep what arrives: {error.strerror}. Free the disk, then run again") from error


async def hang_up(response: httpx.Response) -> None:
    """Close *response*; what closing a broken connection has to say was said before."""
    with suppress(*TROUBLE):
        await response.aclose()


def inflated(body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return *body* without a compression nobody asked for; raise ProviderError (spoiled) where that fails."""
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding in ("", "identity"):
        return body
    if coding in ("gzip", "x-gzip", "deflate"):
        unpacker = zlib.decompressobj(wbits=47)  # gzip or zlib, by its own header
        with suppress(zlib.error):
            plain = unpacker.decompress(body, MAX_BODY)
            if unpacker.eof:
                return plain
    what = f"the answer is compressed ({coding}) and cannot be read"
    raise ProviderError(Fault(cause=Cause.SPOILED, message=what, charged=Charged.YES))
