"""HTTP/1.1 connections: one request out, one answer in, on the event loop's own sockets.

A client library in between (aiohttp, httpx-aiohttp) costs 0.3 ms of CPU a call and 2 ms for 3.5 MB of answer: it parses
the answer a second time, queues its body, and wakes a task for every piece. Here the bytes of a body go from the socket
straight to their receiver, so that no memory fills up either.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto
from collections.abc import AsyncIterator, Callable
from typing import cast

import httpx

from .framing import Framing, Head, NotHttpError

#: Seconds to wait for the rest of a document that is longer than announced.
SURPLUS = 1.0
#: Bytes of a body that may wait for a receiver.
_WAITING = 64 * 1024

# asyncio gives each TLS connection a buffer of 256 KB, which is 1.3 GB for 5,000 calls. A TLS record has 16 KB at most.
sslproto.SSLProtocol.max_size = 32 * 1024


class Connection(asyncio.Protocol, httpx.AsyncByteStream):
    """A connection to a server, and the body of the answer that arrives over it."""

    def __init__(self) -> None:
        """Wait for a connection."""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._framing: Framing | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._consume: Callable[[bytes], None] | None = None
        self._pieces: list[bytes] = []
        self._error: Exception | None = None
        self._full = self._ended = False

    @property
    def is_open(self) -> bool:
        """Return whether a request can be sent, or an answer can still arrive."""
        return not (self._ended or self._transport is None or self._transport.is_closing())

    async def start_tls(self, tls: ssl.SSLContext, host: str) -> None:
        """Begin TLS with *host* over what is a tunnel now; raise OSError if that fails."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the proxy closed the connection")
        # The proxy's answer may have announced a body, even an empty one; a tunnel has none.
        self._framing, self._ended, self._pieces = None, False, []
        self._transport = await self._loop.start_tls(self._transport, self, tls, server_hostname=host)

    # --- the request ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Expect the answer to a request, which is written next."""
        self._framing = Framing()

    async def write(self, data: bytes) -> bool:
        """Send a part of the request; return whether the server still wants the next one."""
        if not self.is_open or self._transport is None:
            return False
        self._transport.write(data)
        while self._full and self._is_wanted:
            await self._wait()
        return self._is_wanted

    @property
    def _is_wanted(self) -> bool:
        return self.is_open and (self._head is None or self._head.status < 300)

    async def head(self) -> Head:
        """Wait for the head of the answer; raise httpx.TransportError if none comes."""
        while self._head is None:
            if self._ended:
                raise self._error or httpx.ReadError("the connection was closed without an answer")
            await self._wait()
        return self._head

    @property
    def _head(self) -> Head | None:
        return self._framing.head if self._framing is not None else None

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- the body -------------------------------------------------------------------------------------------------

    async def pump(self, consume: Callable[[bytes], None]) -> None:
        """Pass the body to *consume*, piece by piece as it arrives, until it ends.

        Raises what *consume* raises, what ``stop`` was given, or httpx.TransportError if the body breaks off.
        """
        pieces, self._pieces = self._pieces, []
        for piece in pieces:
            consume(piece)
        self._consume = consume
        if self._transport is not None and not self._ended:
            self._transport.resume_reading()
        while not self._ended:
            await self._wait()
        if self._error is not None:
            raise self._error

    def stop(self, error: Exception | None = None) -> None:
        """End the answer here: it is complete, or *error* is why it is not."""
        if not self._ended:
            self._ended, self._error = True, error
            self._cancel_timer()
            self._wake()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body once it has ended; ``pump`` is faster."""
        pieces: list[bytes] = []
        await self.pump(pieces.append)
        for piece in pieces:
            yield piece

    def close(self) -> None:
        """Hang up."""
        self.stop(httpx.ReadError("the connection was closed"))
        self._consume = None
        if self._transport is not None:
            # A close would first send the rest of a request that was given up, and wait for the end of TLS.
            self._transport.abort()

    async def aclose(self) -> None:
        """Hang up."""
        self.close()

    # --- what the event loop calls --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Pass the body in *data* on."""
        self._cancel_timer()
        if self._framing is None or self._ended:  # not part of any answer
            self.close()
            return
        try:
            for piece in self._framing.feed(data):
                self._pass_on(piece)
        except NotHttpError as error:
            self.stop(httpx.RemoteProtocolError(str(error)))
        except Exception as error:  # noqa: BLE001 - of the receiver, which gets it back from ``pump``
            self.stop(error)
        if self._framing.ended:
            self.stop()
        elif self._framing.surplus:
            self._timer = self._loop.call_later(SURPLUS, self.stop)
        if self._head is not None and self._consume is None:
            self._wake()

    def _pass_on(self, piece: bytes) -> None:
        if self._consume is not None:
            self._consume(piece)
            return
        self._pieces.append(piece)
        if self._transport is not None and sum(map(len, self._pieces)) > _WAITING:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """End the answer; a body that ends with its connection is complete.

        Where the server does not read the request, ``connection_lost`` would wait until all of that is sent.
        """
        if self._framing is not None and not self._ended:
            try:
                for piece in self._framing.close():
                    self._pass_on(piece)
            except Exception as error:  # noqa: BLE001 - as above
                self.stop(error)
            if self._framing.ended:
                self.stop()
        self._break_off("was closed")

    def connection_lost(self, exc: Exception | None) -> None:
        """End the answer, which is incomplete if the connection failed."""
        if exc is None:
            self.eof_received()
        elif isinstance(exc, ConnectionResetError | BrokenPipeError):
            self._break_off("was reset")
        else:
            self._break_off(f"failed ({getattr(exc, 'strerror', None) or exc})")

    def _break_off(self, event: str) -> None:
        when = "before the end of the answer" if self._head is not None else "without an answer"
        self.stop(httpx.ReadError(f"the connection {event} {when}"))

    def pause_writing(self) -> None:
        """Stop writing."""
        self._full = True

    def resume_writing(self) -> None:
        """Continue writing."""
        self._full = False
        self._wake()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
