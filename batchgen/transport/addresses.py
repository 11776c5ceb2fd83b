"""Public addresses: results and source images are fetched only from addresses on the open internet."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult

#: Address ranges that wrap IPv4 addresses, including private ones, and old private ranges; some versions of Python
#: report them as ``is_global``.
_CLOSED_V6 = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "::/96", "fec0::/10")))
_CLOSED_V4 = IPv4Network("192.0.0.0/24")


def is_public(address: str) -> bool:
    """Return whether *address* is on the open internet; raise ValueError if it is not an IP address."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif any(ip in network for network in _CLOSED_V6):
            return False
    if isinstance(ip, IPv4Address) and ip in _CLOSED_V4:
        return False
    return ip.is_global and not ip.is_multicast


def private_literal(url: str) -> bool:
    """Return whether the host of *url* is an IP address, so that no resolver checks it, and not a public one.

    The host is read as the client reads it: "127\u30020.0.1" is 127.0.0.1 to it, and all digits are an address.
    """
    try:
        host = httpx.URL(url).raw_host.decode("ascii")
    except httpx.InvalidURL:
        return False
    if ":" not in host and not host.replace(".", "").isdigit():
        return False
    try:
        return not is_public(host)
    except ValueError:
        return True


class NotPublicError(OSError):
    """A name resolves to an address that is not on the open internet."""


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses only. The client connects to the address that was checked."""

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of *host*; raise NotPublicError if one of them is not public."""
        addresses = await self._inner.resolve(host, port, family)
        for address in addresses:
            if not is_public(address["host"]):
                raise NotPublicError(f"{host} resolves to {address['host']}, which is not a public address")
        return addresses

    async def close(self) -> None:
        """Do nothing: the threads belong to the event loop."""
