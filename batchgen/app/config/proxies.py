"""Proxies and certificates that the environment configures for the connection to each provider."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from ...providers.presets import is_loopback
from ...providers.profile import Profile
from ...transport.proxies import proxy_problem, without_login

#: Variables that name certificates.
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True, kw_only=True, slots=True)
class Proxy:
    """A proxy of the environment."""

    variable: str
    address: str  #: without its login
    providers: tuple[str, ...]  #: whose calls go through it
    problem: str | None  #: why batchgen does not use it

    def __str__(self) -> str:
        whose = f"for {', '.join(self.providers)}" if self.providers else "for no provider"
        return f"{self.variable}={self.address} {whose}" + (f": {self.problem}" if self.problem else "")


def proxies(profiles: Iterable[Profile]) -> Iterator[Proxy]:
    """Yield the proxies in force, each with the providers whose calls it carries."""
    remote = [profile for profile in profiles if _host(profile) and not is_loopback(_host(profile))]
    for scheme, address in urllib.request.getproxies_environment().items():
        name = f"{scheme}_proxy"
        variable = next((key for key in (name, name.upper()) if os.environ.get(key)), name)
        if scheme == "all":
            unused = "batchgen does not use it; HTTPS_PROXY is the one it uses"
            yield Proxy(variable=variable, address=without_login(address), providers=(), problem=unused)
        if scheme not in ("http", "https"):
            continue
        matching = [profile for profile in remote if profile.base_url.startswith(f"{scheme}://")]
        names = tuple(profile.name for profile in matching if not urllib.request.proxy_bypass(_host(profile)))
        reason = proxy_problem(address)
        unusable = None if reason is None else f"it cannot be used: {reason}"
        yield Proxy(variable=variable, address=without_login(address), providers=names, problem=unusable)


def bypassing_providers(profiles: Iterable[Profile]) -> list[str]:
    """Return the providers that NO_PROXY keeps from every proxy."""
    return [profile.name for profile in profiles if _host(profile) and urllib.request.proxy_bypass(_host(profile))]


def tls_providers(profiles: Iterable[Profile]) -> list[str]:
    """Return the providers whose certificates are checked."""
    return [profile.name for profile in profiles if profile.base_url.startswith("https://")]


def _host(profile: Profile) -> str:
    return urlsplit(profile.base_url).hostname or ""
