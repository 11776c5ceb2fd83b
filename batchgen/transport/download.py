"""Downloads: results on a provider's CDN, source images that the user names.  Free, so retried.  A doer: sockets."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from anyio import CancelScope, current_time, fail_after
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from ..fault import ProviderError
from .mishaps import TROUBLE, FlakyError, words
from .reading import Head, Sink, hang_up, receive

#: Seconds for one download.
TIMEOUT = 120.0
TRIES = 4

_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "batchgen"}

#: Address ranges that wrap IPv4 addresses, private ones too, and old private ones; ``is_global`` (by version of Python)
#: calls them global all the same.
_CLOSED_V6 = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "::/96", "fec0::/10")))
_CLOSED_V4 = IPv4Network("192.0.0.0/24")


async def download(client: httpx.AsyncClient, url: str, sink: Sink) -> Head:
    """Fetch *url* into *sink*, trying again where that may help; raise FlakyError when it did not."""
    again = AsyncRetrying(
        retry=retry_if_exception_type(FlakyError),
        stop=stop_after_attempt(TRIES),
        wait=wait_random_exponential(multiplier=0.3, max=10),
        reraise=True,
    )
    head: Head = await again(_once, client, url, sink)
    return head


async def _once(client: httpx.AsyncClient, url: str, sink: Sink) -> Head:
    try:
        with fail_after(TIMEOUT):
            response = await client.send(client.build_request("GET", url, headers=_HEADERS), stream=True)
    except TROUBLE as error:  # TimeoutError is an OSError
        raise FlakyError(words(error)) from error
    try:
        if response.status_code in (408, 425, 429) or response.status_code >= 500:
            raise FlakyError(f"HTTP {response.status_code}")
        return await receive(response, sink, current_time() + TIMEOUT)
    except ProviderError as error:
        raise FlakyError(error.fault.message) from error
    finally:
        with CancelScope(shield=True):
            await hang_up(response)


def is_public(address: str) -> bool:
    """Return whether *address* (an IP literal) is one on the open internet; raise ValueError where it is no literal."""
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


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses only.  What it returns is connected to: a name cannot change its mind."""

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of *host*; raise OSError where one of them is not public."""
        found = await self._inner.resolve(host, port, family)
        for entry in found:
            if not is_public(entry["host"]):
                raise OSError(f"{host} leads to {entry['host']}, which is not a public address")
        return found

    async def close(self) -> None:
        """Release nothing: its threads belong to the loop."""
