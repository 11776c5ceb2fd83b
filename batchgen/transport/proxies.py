"""Proxies of the environment: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, which no other module reads.

The HTTP client would also read a netrc file, whose logins are not meant for providers.
"""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from ..providers.presets import is_loopback


class ProxyError(Exception):
    """A proxy that cannot be used. The text holds no password."""


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment sets for *url*, or None; this machine is never reached through one.

    Raises ProxyError if that proxy cannot be used.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxy = "" if is_loopback(host) else getproxies().get(parts.scheme, "")
    if not proxy or proxy_bypass(host):
        return None
    problem = proxy_problem(proxy)
    if problem is not None:
        variable = f"{parts.scheme.upper()}_PROXY"
        raise ProxyError(f"the proxy in {variable} ({without_login(proxy)}) cannot be used: {problem}")
    return proxy


def without_login(proxy: str) -> str:
    """Return the URL of a proxy without user and password (the user may be a token), so that it may be shown."""
    before, _, host = proxy.rpartition("@")
    scheme, mark, _ = before.partition("://")
    return f"{scheme}{mark}{host}" if mark else host


def login(proxy: str) -> dict[str, str]:
    """Return the header with a proxy's login, which only the proxy gets."""
    pair, at, _ = urlsplit(proxy).netloc.rpartition("@")
    user, _, password = pair.partition(":")
    encoded = b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode("ascii")
    return {"Proxy-Authorization": f"Basic {encoded}"} if at else {}


def proxy_problem(proxy: str) -> str | None:
    """Return why *proxy* cannot be used, or None."""
    if "://" not in proxy:
        return f"it has no scheme; write http://{without_login(proxy)}"
    try:
        parts = urlsplit(proxy)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # its message may repeat the URL with the password
        return "it is not a valid URL"
    if parts.scheme not in ("http", "https"):
        return f"{parts.scheme} proxies are not supported, only http:// and https:// ones"
    return None if has_host else "it has no host"
