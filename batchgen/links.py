"""Whether a URL that a provider hands out may be followed.  A decision: nothing here resolves or connects."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

#: Address ranges that wrap IPv4 addresses, private ones too; ``is_global`` calls them global all the same.
_WRAPPING = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("2002::/16"), IPv6Network("::/96"))


def is_public(address: str) -> bool:
    """Return whether *address* (an IP literal) is one on the open internet."""
    found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif any(found in network for network in _WRAPPING):
            return False
    return found.is_global and not found.is_multicast


def origin_of(url: str) -> str:
    """Return scheme, host and port of *url*, the port always spelled out; "" where it is no http(s) URL."""
    try:
        return _origin(urlsplit(url))
    except ValueError:
        return ""


def refusal(url: str, hosts: Iterable[str], own_origin: str) -> str | None:
    """Return why *url* may not be followed, or None where it may.

    Allowed is the provider's own origin, and https on port 443 of a host in *hosts* ("*.x.com" covers subdomains).
    """
    try:
        parts = urlsplit(url)
        origin = _origin(parts)
        port = parts.port
    except ValueError:
        return "it is no URL"
    if own_origin and origin == origin_of(own_origin):
        return None
    if parts.username or parts.password:
        return "it holds credentials"
    if parts.scheme != "https":
        return f"{parts.scheme or 'no scheme'} is not https"
    if port not in (None, 443):
        return f"port {port} is not 443"
    host = (parts.hostname or "").rstrip(".").lower()
    if not any(_matches(host, pattern.lower()) for pattern in hosts):
        return f"{host} is not on this provider's list of result hosts (setting: url_hosts)"
    return None


def _origin(parts: SplitResult) -> str:
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    return f"{parts.scheme}://{parts.hostname.lower()}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _matches(host: str, pattern: str) -> bool:
    return host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:]))
