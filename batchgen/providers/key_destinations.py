"""Key destinations: keys that are sent to another host than the preset's, or that come from another variable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from .presets import home_address
from .profile import Profile


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """A variable whose key is sent to a host."""

    variable: str
    host: str  #: with its port unless that is the default
    provider: str

    def __str__(self) -> str:
        return f"the key in {self.variable} is sent to {self.host} (provider {self.provider})"


def unusual_destinations(profiles: Iterable[Profile]) -> Iterator[Destination]:
    """Yield each key that is not sent from a preset's own variable to that preset's own host."""
    for profile in profiles:
        home, variables, hosts = home_address(profile.preset)
        host = _host(profile.base_url)
        for variable in profile.api_key_env:
            if variable not in variables or host != _host(home):
                yield Destination(variable=variable, host=host, provider=profile.name)
            for other in profile.key_hosts:
                if variable not in variables or other not in hosts:
                    yield Destination(variable=variable, host=other, provider=profile.name)


def destinations_of(profiles: Mapping[str, Profile], names: Iterable[str]) -> list[Destination]:
    """Return the unusual destinations of the providers *names*, in the order of *profiles*."""
    wanted = set(names)
    return list(unusual_destinations(profile for name, profile in profiles.items() if name in wanted))


def _host(base_url: str) -> str:
    """Return the host of a URL in ASCII, because letters of another script may imitate a known name."""
    if not base_url:
        return ""
    parts = urlsplit(base_url)
    host, default_port = (parts.hostname or "").rstrip("."), {"http": 80, "https": 443}.get(parts.scheme)
    try:
        plain = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        plain = ascii(host)[1:-1]
    plain = f"[{plain}]" if ":" in plain else plain
    return plain if parts.port in (None, default_port) else f"{plain}:{parts.port}"
