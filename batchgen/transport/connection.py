"""One connection: kept alive through NAT boxes, and read even where its server frames HTTP badly.

A doer: sockets.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler

from .framing import MAX_HEAD, Framing, NotHttpError

#: Seconds to wait for the rest of a document that is longer than was announced.
SURPLUS = 1.0

#: NAT boxes forget a silent connection after five minutes or less; a render may take as long.
_KEEPALIVE = {"TCP_KEEPIDLE": 45, "TCP_KEEPALIVE": 45, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 8}
_LIMITS = ("max_line_size", "max_field_size", "max_headers")


def connector(tls: ssl.SSLContext, resolver: AbstractResolver | None = None) -> aiohttp.TCPConnector:
    """Return a connector whose connections serve one request each."""
    made = aiohttp.TCPConnector(ssl=tls, limit=0, force_close=True, resolver=resolver, socket_factory=_alive)
    loop = asyncio.get_running_loop()
    made._factory = lambda: Handler(loop)  # type: ignore[assignment]  # noqa: SLF001 - there is no public way
    return made


def _alive(address: Any) -> socket.socket:  # noqa: ANN401 - what getaddrinfo returns
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        option = getattr(socket, name, None)
        if option is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


class Handler(ResponseHandler):
    """Reframes an answer before the client's parser sees it (see ``framing``)."""

    _framing: Framing | None = None
    _waiting: asyncio.TimerHandle | None = None

    def set_response_params(self, **given: Any) -> None:  # noqa: ANN401 - the library's
        """Start an answer.  A proxy's answer to CONNECT (that call has no timer) is not reframed."""
        self._framing = Framing() if "timer" in given else None
        if self._framing is not None:
            given |= {name: 2 * MAX_HEAD for name in _LIMITS if name in given}
        super().set_response_params(**given)

    def data_received(self, data: bytes) -> None:
        """Take in what arrived."""
        if self._framing is None or not data:
            super().data_received(data)
            return
        try:
            made = self._framing.feed(data)
        except NotHttpError as error:
            self._framing = None
            if self.transport is not None:
                self.transport.close()
            self.set_exception(aiohttp.ClientPayloadError(str(error)))
            return
        if made:
            super().data_received(made)
        self._wait_no_longer()
        if self._framing is not None and self._framing.surplus:
            self._waiting = asyncio.get_running_loop().call_later(SURPLUS, self._give_up)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the answer where the end of the connection does."""
        self._wait_no_longer()
        framing, self._framing = self._framing, None
        made = framing.close() if framing is not None and exc is None else b""
        if made:
            super().data_received(made)
        super().connection_lost(exc)

    def _give_up(self) -> None:
        if self._framing is not None:
            super().data_received(self._framing.give_up())

    def _wait_no_longer(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
