"""TCP connections: kept alive through NAT devices, and readable even if the server frames HTTP badly."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler

from .errors import UnreachedError
from .framing import MAX_HEAD, Framing, NotHttpError

#: Awaited after a connection is made and before the first byte of the request is written.
Ready = Callable[[], Awaitable[None]]

#: The gate of the call that this task makes; the HTTP clients pass no argument of their own through.
READY: ContextVar[Ready | None] = ContextVar("READY", default=None)

#: Seconds to wait for the rest of a document that is longer than announced.
SURPLUS = 1.0

#: NAT devices drop a silent connection after five minutes or less; a render may take as long.
_KEEPALIVE = {"TCP_KEEPIDLE": 45, "TCP_KEEPALIVE": 45, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 8}
_LIMITS = ("max_line_size", "max_field_size", "max_headers")


def connector(tls: ssl.SSLContext, resolver: AbstractResolver | None = None) -> aiohttp.TCPConnector:
    """Return a connector whose connections serve one request each."""
    tcp = _Connector(ssl=tls, limit=0, force_close=True, resolver=resolver, socket_factory=_keepalive_socket)
    loop = asyncio.get_running_loop()
    tcp._factory = lambda: Handler(loop)  # type: ignore[assignment]  # noqa: SLF001 - there is no public way
    return tcp


class _Connector(aiohttp.TCPConnector):
    """Makes connections, proxy and TLS included, and then waits until the call may be sent."""

    async def connect(self, *args: Any, **options: Any) -> aiohttp.connector.Connection:  # noqa: ANN401 - the library's
        """Return a connection over which the request may be written at once."""
        connection = await super().connect(*args, **options)
        ready = READY.get()
        if ready is not None:
            try:
                await ready()
            except BaseException:
                connection.close()
                raise
            if connection.protocol is None or not connection.protocol.is_connected():
                connection.close()
                raise UnreachedError("the server closed the connection before the request was sent")
        return connection


def _keepalive_socket(address: Any) -> socket.socket:  # noqa: ANN401 - what getaddrinfo returns
    family, kind, protocol, _, _ = address
    result = socket.socket(family, kind, protocol)
    result.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        option = getattr(socket, name, None)
        if option is not None:
            result.setsockopt(socket.IPPROTO_TCP, option, value)
    return result


class Handler(ResponseHandler):
    """Reframes an answer before the client's parser sees it (see ``framing``)."""

    _framing: Framing | None = None
    _surplus_timer: asyncio.TimerHandle | None = None

    def set_response_params(self, **params: Any) -> None:  # noqa: ANN401 - the library's
        """Start an answer. A proxy's answer to CONNECT (that call has no timer) is not reframed."""
        self._framing = Framing() if "timer" in params else None
        if self._framing is not None:
            params |= {name: 2 * MAX_HEAD for name in _LIMITS if name in params}
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Reframe what arrived and pass it to the parser."""
        if self._framing is None or not data:
            super().data_received(data)
            return
        try:
            reframed = self._framing.feed(data)
        except NotHttpError as error:
            self._framing = None
            if self.transport is not None:
                self.transport.close()
            self.set_exception(aiohttp.ClientPayloadError(str(error)))
            return
        if reframed:
            super().data_received(reframed)
        self._cancel_timer()
        if self._framing is not None and self._framing.surplus:
            self._surplus_timer = asyncio.get_running_loop().call_later(SURPLUS, self._give_up)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the answer if the closed connection is its end."""
        self._cancel_timer()
        framing, self._framing = self._framing, None
        rest = framing.close() if framing is not None and exc is None else b""
        if rest:
            super().data_received(rest)
        super().connection_lost(exc)

    def _give_up(self) -> None:
        if self._framing is not None:
            super().data_received(self._framing.give_up())

    def _cancel_timer(self) -> None:
        if self._surplus_timer is not None:
            self._surplus_timer.cancel()
            self._surplus_timer = None
