"""Addresses: origins of URLs, their paths, and lists of hosts."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import SplitResult, urlencode, urlsplit

#: Ports that a URL need not contain.
_PORTS = {"http": 80, "https": 443}
#: The host in the settings that ``providers new`` writes.
_EXAMPLE = "api.example.com"


def origin_of(parts: SplitResult) -> str:
    """Return scheme://host[:port] in lower case, without a default port; raise ValueError for an invalid port."""
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, _PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def join(base_url: str, path: str) -> str:
    """Join *base_url* and *path*, dropping a tail of the base that the path repeats.

    Both ``https://x`` and ``https://x/v1`` give ``https://x/v1/images``; ``https://x/v1`` and
    ``/api/v1/images`` give ``https://x/api/v1/images``.
    """
    base = base_url.rstrip("/")
    scheme, _, rest = base.partition("://")
    host, *tail = rest.split("/")
    steps = path.strip("/").split("/")
    shared = next((size for size in range(min(len(tail), len(steps)), 0, -1) if tail[-size:] == steps[:size]), 0)
    if not shared and tail and tail[-1] == "v1" and "v1" in steps:
        shared = 1
    return f"{scheme}://{'/'.join([host, *tail[: len(tail) - shared], *steps])}"


def with_query(url: str, query: Mapping[str, str]) -> str:
    """Return *url* with the parameters of *query* added."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}" if query else url


def is_placeholder(base_url: str) -> bool:
    """Return whether an address is the one of the example that ``providers new`` writes."""
    return (urlsplit(base_url).hostname or "").rstrip(".") == _EXAMPLE


def is_listed(host: str, patterns: tuple[str, ...]) -> bool:
    """Match *host* (lower case); "*" matches any name that contains a dot, but no IP address."""
    named = "." in host and ":" not in host and not host.rpartition(".")[2].isdigit()
    for pattern in map(str.lower, patterns):
        if pattern == host or (pattern == "*" and named):
            return True
        if pattern.startswith("*.") and host.endswith(pattern[1:]):
            return True
    return False
