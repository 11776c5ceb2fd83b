"""Access control of the server: an ASGI middleware that checks host, token and origin of every request.

The token is the first part of every path. A cookie would be sent to all servers of this host, whatever their port, and
an event stream cannot carry a header; a path needs neither, and no other page can guess it.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Methods that change nothing.
READING = ("GET", "HEAD")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
#: Browsers ask for it without the token; the answer is empty for everyone.
_ICON = "favicon.ico"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
#: Headers of every answer. A page adds its own policy; every other answer may do nothing at all in a browser.
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}
_NO_CONTENT = "default-src 'none'; frame-ancestors 'none'; sandbox"
PAGE_POLICY = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class Guard:
    """Lets a request through to *app* only with a known host, the token, and for writes its own origin."""

    app: ASGIApp
    token: str
    hosts: frozenset[str]
    read_only: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        first, _, rest = scope["path"].removeprefix("/").partition("/")
        refusal = self._refusal(scope["method"], headers, first)
        app = self.app if refusal is None else PlainTextResponse(refusal + "\n", status_code=403)
        if first == _ICON:
            app = Response(status_code=204)
        inner = {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode(), "root_path": ""}
        await app(inner, receive, _with_headers(send))

    def _refusal(self, method: str, headers: Headers, token: str) -> str | None:
        """Return why a request is refused; None if it is not."""
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or host_name(host) not in self.hosts:
            return "This server does not answer to that host name. Use the address that batchgen serve printed."
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            return "The address lacks the right token. Use the address that batchgen serve printed."
        if method in READING:
            return None
        if self.read_only:
            return "This server was started with --read-only: nothing can be changed here."
        if headers.get("origin") not in (f"http://{host}", f"https://{host}"):  # a proxy may add the encryption
            return "Only the page of this server may change anything."
        return None


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("Content-Security-Policy", _NO_CONTENT)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return wrapped


def host_name(host: str) -> str:
    """Return the name in a Host header, without its port; "" if it cannot be read."""
    match = _HOST.fullmatch(host.lower())
    return match[1].strip("[]") if match else ""


def is_loopback(address: str) -> bool:
    """Return whether only this machine can reach a server at *address*."""
    if address == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(address).is_loopback
    return False


def known_hosts(address: str, others: Iterable[str] = ()) -> frozenset[str]:
    """Return the host names under which a server bound to *address* answers; *others* are the user's own."""
    names = {*_LOOPBACK, address.lower(), *(name.lower() for name in others)}
    if not is_loopback(address):
        names |= {socket.gethostname().lower(), *_own_addresses()}
    return frozenset(names - {"0.0.0.0", "::", ""})  # noqa: S104 - a request never names these


def _own_addresses() -> set[str]:
    addresses = set()
    with suppress(OSError):
        addresses |= {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None)}
    # The address that packets to other machines come from; connecting a datagram socket sends nothing.
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        addresses.add(probe.getsockname()[0])
    return addresses
