"""The proxies of the environment: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, read here and nowhere else.

The client would read a netrc file with them, whose logins are not meant for providers.  A doer: environment.
"""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
from aiohttp import ClientSession
from httpx_aiohttp import AiohttpTransport

from ..providers.presets import is_loopback


class ProxyError(Exception):
    """A proxy that cannot be used.  The text holds no password."""


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for *url*, or None; this machine is never reached through one.

    Raises ProxyError where that proxy cannot be used.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxy = "" if is_loopback(host) else getproxies().get(parts.scheme, "")
    if not proxy or proxy_bypass(host):
        return None
    why = proxy_problem(proxy)
    if why is not None:
        raise ProxyError(f"the proxy in {parts.scheme.upper()}_PROXY ({without_login(proxy)}) cannot be used: {why}")
    return proxy


def without_login(proxy: str) -> str:
    """Return the address of a proxy as it may be shown: without user and password (a user may be a token)."""
    login, _, host = proxy.rpartition("@")
    scheme, mark, _ = login.partition("://")
    return f"{scheme}{mark}{host}" if mark else host


def _bare(proxy: str) -> str:
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _login(proxy: str) -> dict[str, str]:
    """Return the header that a proxy's login goes in; it is for the proxy alone."""
    login, at, _ = urlsplit(proxy).netloc.rpartition("@")
    user, _, password = login.partition(":")
    pair = f"{unquote(user)}:{unquote(password)}".encode()
    return {"Proxy-Authorization": f"Basic {b64encode(pair).decode('ascii')}"} if at else {}


def proxy_problem(proxy: str) -> str | None:
    """Return why *proxy* cannot be used, or None."""
    if "://" not in proxy:
        return f"it has no scheme; write http://{without_login(proxy)}"
    try:
        parts = urlsplit(proxy)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:  # its words may repeat the address, password and all
        return "it is not a valid address"
    if parts.scheme not in ("http", "https"):
        return f"{parts.scheme} proxies are not supported, only http:// and https:// ones"
    return None if named else "it names no host"


class Proxied(httpx.AsyncBaseTransport):
    """The way of each request: straight, or through the proxy that the environment names for its address."""

    def __init__(self, tls: object, direct: ClientSession, through: ClientSession) -> None:
        self._tls = tls
        self._sessions = (direct, through)
        self._direct = AiohttpTransport(verify=tls, client=direct)  # type: ignore[arg-type]
        self._through: dict[str, AiohttpTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request*."""
        return await self._way(proxy_for(str(request.url))).handle_async_request(request)

    async def aclose(self) -> None:
        """Close every connection."""
        for session in self._sessions:
            await session.close()

    def _way(self, proxy: str | None) -> AiohttpTransport:
        if proxy is None:
            return self._direct
        if proxy not in self._through:
            self._through[proxy] = AiohttpTransport(
                verify=self._tls,  # type: ignore[arg-type]
                client=self._sessions[1],
                proxy=httpx.Proxy(_bare(proxy), headers=_login(proxy)),
            )
        return self._through[proxy]
