"""Which addresses are on the open internet: results and source images are fetched from nowhere else.

A doer: name lookups.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult

#: Address ranges that wrap IPv4 addresses, private ones too, and old private ones; ``is_global`` (by version of Python)
#: calls them global all the same.
_CLOSED_V6 = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "::/96", "fec0::/10")))
_CLOSED_V4 = IPv4Network("192.0.0.0/24")


def is_public(address: str) -> bool:
    """Return whether *address* (an IP literal) is one on the open internet; raise ValueError where it is not one."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif any(found in network for network in _CLOSED_V6):
            return False
    if isinstance(found, IPv4Address) and found in _CLOSED_V4:
        return False
    return found.is_global and not found.is_multicast


def private_literal(url: str) -> bool:
    """Return whether *url* names an address outright, past any resolver, and not a public one.

    The host is looked at as the client will see it: "127\u30020.0.1" is 127.0.0.1 to it, and all digits are an address.
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
    """A name leads to an address that is not on the open internet."""


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses only.  What it returns is connected to: a name cannot change its mind."""

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of *host*; raise NotPublicError where one of them is not public."""
        found = await self._inner.resolve(host, port, family)
        for entry in found:
            if not is_public(entry["host"]):
                raise NotPublicError(f"{host} leads to {entry['host']}, which is not a public address")
        return found

    async def close(self) -> None:
        """Release nothing: its threads belong to the loop."""
