"""The proxies and certificates between this machine and each provider, as the environment names them."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..providers.presets import is_loopback
from ..providers.profile import Profile

#: Variables that name certificates.
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True, kw_only=True, slots=True)
class Proxy:
    """A proxy of the environment."""

    variable: str
    address: str  #: without its password
    providers: tuple[str, ...]  #: whose calls go through it
    flaw: str | None  #: why no call can

    def __str__(self) -> str:
        whose = f"for {', '.join(self.providers)}" if self.providers else "for no provider"
        return f"{self.variable}={self.address} {whose}" + (f": {self.flaw}" if self.flaw else "")


def proxies(profiles: Iterable[Profile], environment: Mapping[str, str]) -> Iterator[Proxy]:
    """Yield the proxies in force, each with the providers whose calls it carries."""
    far = [one for one in profiles if _host(one) and not is_loopback(_host(one))]
    for scheme, address in urllib.request.getproxies_environment().items():
        name = f"{scheme}_proxy"
        variable = next((one for one in (name, name.upper()) if environment.get(one)), name)
        if scheme == "all":
            unused = "batchgen does not use it; HTTPS_PROXY is the one it uses"
            yield Proxy(variable=variable, address=without_password(address), providers=(), flaw=unused)
        if scheme not in ("http", "https"):
            continue
        through = [one for one in far if one.base_url.startswith(f"{scheme}://")]
        names = tuple(one.name for one in through if not urllib.request.proxy_bypass(_host(one)))
        yield Proxy(variable=variable, address=without_password(address), providers=names, flaw=flaw(address))


def flaw(address: str) -> str | None:
    """Return why a proxy at *address* cannot be used, or None."""
    try:
        parts = urlsplit(address)
        scheme, host, _ = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError as error:
        return f"it is no address ({error})"
    if "://" not in address or not scheme:
        return "it cannot be used: it needs a scheme, such as http://"
    if scheme != "http":
        return f"it cannot be used: {scheme} proxies are not supported, only http:// ones"
    return None if host else "it cannot be used: it names no host"


def without_password(address: str) -> str:
    """Return *address* with what stands between : and @ left out."""
    head, at, host = address.rpartition("@")
    if not at:
        return address
    scheme, slashes, user = head.rpartition("://")
    name, colon, _ = user.partition(":")
    return f"{scheme}{slashes}{name}{':[hidden]' if colon else ''}@{host}"


def bypassing(profiles: Iterable[Profile]) -> list[str]:
    """Return the providers that NO_PROXY keeps from every proxy."""
    return [one.name for one in profiles if _host(one) and urllib.request.proxy_bypass(_host(one))]


def trusting(profiles: Iterable[Profile]) -> list[str]:
    """Return the providers whose certificates are checked."""
    return [one.name for one in profiles if one.base_url.startswith("https://")]


def _host(profile: Profile) -> str:
    return urlsplit(profile.base_url).hostname or ""
