"""HTTP transport of httpx: makes connections, directly or through a proxy, and sends one request over each."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable, Mapping
from typing import NamedTuple, cast

import httpx
from aiohappyeyeballs import start_connection
from anyio import fail_after

from ..ready import Ready
from .addresses import AddressInfo, Resolver
from .connection import Connection
from .errors import ProxyRefusedError
from .proxies import login, proxy_for

#: Seconds after which the next address of a host is tried beside the first one (RFC 8305).
_NEXT_ADDRESS = 0.25
#: NAT devices drop a silent connection after five minutes or less; a render may take as long.
_KEEPALIVE = {"TCP_KEEPIDLE": 45, "TCP_KEEPALIVE": 45, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 8}
#: Bytes of a body that are sent together with the head.
_TOGETHER = 64 * 1024
_FORBIDDEN = (b"\r", b"\n", b"\0")


class _Route(NamedTuple):
    """The way to a server: its address, and the proxy in between."""

    scheme: str
    host: str
    port: int
    proxy: str | None

    @property
    def tunnelled(self) -> bool:
        return self.proxy is not None and self.scheme == "https"


class Wire(httpx.AsyncBaseTransport):
    """Sends requests, each over a connection of its own.

    Extensions of a request: ``timeout`` (its ``connect`` covers name, TCP, proxy and TLS) and ``ready``. Raises
    httpx.ConnectError, httpx.ConnectTimeout or a ProxyError while nothing has been sent, and other errors after that.
    """

    def __init__(self, tls: ssl.SSLContext, *, public: bool = False) -> None:
        """Verify servers by *tls*; *public*: connect to addresses on the open internet only."""
        self._tls = tls
        self._resolver = Resolver(public=public)
        # Proxies resolve names themselves and may have private addresses.
        self._proxy_resolver = Resolver()
        self._proxies: dict[tuple[str, str], str | None] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request* and return its answer, whose body is still arriving."""
        route = self._route(request.url)
        head, body, extensions = _head(request, route), request.stream, request.extensions
        del request  # It takes 3 KB, and thousands of calls wait for their answers.
        connection = await self._connected(route, extensions.get("timeout", {}).get("connect"))
        try:
            await self._ready(connection, extensions.get("ready"))
            connection.begin()
            await _write(connection, head, cast("httpx.AsyncByteStream", body))
            answer = await connection.head()
        except BaseException:
            connection.close()
            raise
        return httpx.Response(answer.status, headers=answer.fields, stream=connection)

    def _route(self, url: httpx.URL) -> _Route:
        if url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol(f"{url} is neither http nor https")
        host = url.raw_host.decode("ascii")
        if not host:
            raise httpx.UnsupportedProtocol(f"{url} has no host")
        if (url.scheme, host) not in self._proxies:
            self._proxies[url.scheme, host] = proxy_for(str(url))
        return _Route(url.scheme, host, url.port or _port(url.scheme), self._proxies[url.scheme, host])

    @staticmethod
    async def _ready(connection: Connection, ready: Ready | None) -> None:
        if ready is not None:
            await ready()
        if not connection.is_open:
            raise httpx.ConnectError("the server closed the connection before the request was sent")

    async def _connected(self, route: _Route, patience: float | None) -> Connection:
        connection = Connection()
        try:
            with fail_after(patience):
                await self._connect(connection, route)
        except TimeoutError as error:
            connection.close()
            raise httpx.ConnectTimeout(f"cannot connect to {route.host}:{route.port}: timed out") from error
        except (OSError, UnicodeError) as error:  # ssl.SSLError is one
            connection.close()
            raise httpx.ConnectError(f"cannot connect to {route.host}:{route.port}: {_reason(error)}") from error
        except BaseException:
            connection.close()
            raise
        return connection

    async def _connect(self, connection: Connection, route: _Route) -> None:
        if route.proxy is None:
            await self._open(connection, self._resolver, route.host, route.port, tls=route.scheme == "https")
            return
        proxy = httpx.URL(route.proxy)
        host, port = proxy.raw_host.decode("ascii"), proxy.port or _port(proxy.scheme)
        await self._open(connection, self._proxy_resolver, host, port, tls=proxy.scheme == "https")
        if route.tunnelled:
            await self._tunnel(connection, route, login(route.proxy))

    async def _open(self, connection: Connection, resolver: Resolver, host: str, port: int, *, tls: bool) -> None:
        loop = asyncio.get_running_loop()
        addresses = await resolver.resolve(host, port)
        try:
            sock = await start_connection(
                addresses, happy_eyeballs_delay=_NEXT_ADDRESS, interleave=1, socket_factory=_keepalive_socket
            )
        except OSError:
            resolver.forget(host, port)
            raise
        secure = {"ssl": self._tls, "server_hostname": host} if tls else {}
        await loop.create_connection(lambda: connection, sock=sock, **secure)  # type: ignore[call-overload]

    async def _tunnel(self, connection: Connection, route: _Route, proxy_login: Mapping[str, str]) -> None:
        """Have the proxy connect *connection* to the server, and begin TLS with the server."""
        target = _address(route).encode("ascii")
        connection.begin()
        await connection.write(_lines(b"CONNECT %s HTTP/1.1" % target, [(b"Host", target), *_encoded(proxy_login)]))
        try:
            answer = await connection.head()
        except httpx.TransportError as error:
            raise ConnectionError(f"the proxy refused the connection: {error}") from error
        if not 200 <= answer.status < 300:
            raise ProxyRefusedError(answer.status)
        await connection.start_tls(self._tls, route.host)


def _port(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def _address(route: _Route) -> str:
    return f"[{route.host}]:{route.port}" if ":" in route.host else f"{route.host}:{route.port}"


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionResetError) and not error.args:  # of asyncio
        return "the connection was closed during the TLS handshake"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _keepalive_socket(address: AddressInfo) -> socket.socket:
    family, kind, protocol, *_ = address
    result = socket.socket(family, kind, protocol)
    result.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        option = getattr(socket, name, None)
        if option is not None:
            result.setsockopt(socket.IPPROTO_TCP, option, value)
    return result


def _head(request: httpx.Request, route: _Route) -> bytes:
    """Return the head of *request*; raise httpx.LocalProtocolError for a header that would be two."""
    url = request.url
    target, fields = url.raw_path, request.headers.raw
    if route.proxy is not None and not route.tunnelled:
        target = b"%s://%s%s" % (url.raw_scheme, url.netloc, target)
        fields = [*fields, *_encoded(login(route.proxy))]
    if "host" not in request.headers:
        fields = [(b"Host", url.netloc), *fields]
    # The server hangs up first then, so that its side and not this machine keeps the port for a minute (TIME_WAIT).
    fields = [*fields, (b"Connection", b"close")]
    return _lines(b"%s %s HTTP/1.1" % (request.method.encode("ascii"), target), fields)


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


def _lines(first: bytes, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    lines = [first, *(b"%s: %s" % field for field in fields)]
    if any(sign in line for line in lines for sign in _FORBIDDEN):
        raise httpx.LocalProtocolError("a header contains a line break")
    return b"\r\n".join([*lines, b"\r\n"])


async def _write(connection: Connection, head: bytes, body: httpx.AsyncByteStream) -> None:
    """Send a request, until its end or until the server refuses it."""
    waiting, begun = head, False
    async for chunk in body:
        fits = len(waiting) + len(chunk) <= _TOGETHER
        if fits:
            waiting += chunk
        # The first piece goes at once: the limits count the request as written, and the next one may be read from disk.
        if fits and begun:
            continue
        if not await connection.write(waiting) or not (fits or await connection.write(chunk)):
            return
        waiting, begun = b"", True
    if waiting:
        await connection.write(waiting)
