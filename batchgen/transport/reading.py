"""How an answer comes in: streamed to a sink, capped, within its deadline.  A doer: sockets."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import httpx
from anyio import current_time, fail_after, to_thread

from ..errors import StoreError
from ..fault import Cause, Charged, Fault, ProviderError
from .mishaps import TROUBLE, in_doubt, too_large, words

#: Bytes of one body, API answers and results alike.  Ten 4K images in base64 stay below it.
MAX_BODY = 256 * 1024 * 1024

#: Bytes handed on at once.
PIECE = 256 * 1024


class Sink(Protocol):
    """Where an answer goes while it arrives; a spool slot is one."""

    def keep_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Keep the status and the headers."""

    def write(self, chunk: bytes) -> None:
        """Keep a piece of the body."""

    def seal(self) -> None:
        """Make the whole answer durable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The head of an answer whose body lies in the sink.  Header names are lower case."""

    status: int
    headers: Mapping[str, str]


async def receive(response: httpx.Response, sink: Sink, ends: float) -> Head:
    """Read *response* into *sink* and seal it; *ends* is on the loop's clock.

    Raises ProviderError where a success broke off.  An error answer says what it has to say in its status, so what came
    of it is enough.
    """
    head = Head(status=response.status_code, headers={name.lower(): text for name, text in response.headers.items()})
    sink.keep_head(head.status, head.headers)
    length = 0
    try:
        with fail_after(max(0.0, ends - current_time())):
            async for chunk in response.aiter_raw(PIECE):
                length += len(chunk)
                if length > MAX_BODY:
                    raise too_large(MAX_BODY, head.status)
                _write(sink, chunk)
    except TROUBLE as error:  # TimeoutError is an OSError
        if head.status < 300:
            what = f"the answer (HTTP {head.status}) broke off after {length} bytes: {words(error)}"
            raise in_doubt(what, head.status) from error
    await to_thread.run_sync(sink.seal)
    return head


def _write(sink: Sink, chunk: bytes) -> None:
    try:
        sink.write(chunk)
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
