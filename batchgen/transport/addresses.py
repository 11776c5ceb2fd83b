"""Public addresses: results and source images are fetched only from addresses on the open internet."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import httpx

#: An address as ``getaddrinfo`` returns it: family, type, protocol, name, and what ``connect`` takes.
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]

#: Seconds for which the addresses of a host are reused.
_REMEMBERED = 10.0

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


class Resolver:
    """Looks up the addresses of hosts, once for all calls of ten seconds; *public*: only those on the open internet."""

    def __init__(self, *, public: bool = False) -> None:
        """Know no address yet."""
        self._public = public
        self._lookups: dict[tuple[str, int], tuple[float, asyncio.Task[list[AddressInfo]]]] = {}

    async def resolve(self, host: str, port: int) -> list[AddressInfo]:
        """Return the addresses of *host*; raise OSError, or NotPublicError if one of them is not public."""
        now = asyncio.get_running_loop().time()
        expires, lookup = self._lookups.get((host, port), (0.0, None))
        if lookup is None or now >= expires:
            lookup = asyncio.ensure_future(self._look_up(host, port))
            self._lookups[host, port] = now + _REMEMBERED, lookup
        try:
            # Other calls may wait for the same lookup, so it outlives the cancellation of this one.
            return await asyncio.shield(lookup)
        except OSError:
            self.forget(host, port)
            raise

    def forget(self, host: str, port: int) -> None:
        """Look *host* up again next time: its address does not answer."""
        self._lookups.pop((host, port), None)

    async def _look_up(self, host: str, port: int) -> list[AddressInfo]:
        try:
            addresses = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError(f"{host!r} is not the name of a host") from error
        for *_, address in addresses:
            if self._public and not is_public(str(address[0])):
                raise NotPublicError(f"{host} resolves to {address[0]}, which is not a public address")
        return list(addresses)
