"""Which keys go to an unexpected place: to another host than the preset's, or from another variable.  Pure."""

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
    host: str  #: with its port where that is not the usual one
    provider: str

    def __str__(self) -> str:
        return f"the key in {self.variable} is sent to {self.host} (provider {self.provider})"


def unusual_destinations(profiles: Iterable[Profile]) -> Iterator[Destination]:
    """Yield each key that does not go from a preset's own variable to that preset's own host."""
    for profile in profiles:
        home, variables = home_address(profile.preset)
        host = _host(profile.base_url)
        for variable in profile.api_key_env:
            if variable not in variables or host != _host(home):
                yield Destination(variable=variable, host=host, provider=profile.name)


def destinations_of(profiles: Mapping[str, Profile], names: Iterable[str]) -> list[Destination]:
    """Return the unusual destinations of the providers *names*, in the order of *profiles*."""
    wanted = set(names)
    return list(unusual_destinations(profile for name, profile in profiles.items() if name in wanted))


def _host(base_url: str) -> str:
    """Return the host of an address, in ASCII: letters of another script may look like those of a known name."""
    if not base_url:
        return ""
    parts = urlsplit(base_url)
    host, usual = (parts.hostname or "").rstrip("."), {"http": 80, "https": 443}.get(parts.scheme)
    try:
        plain = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        plain = ascii(host)[1:-1]
    plain = f"[{plain}]" if ":" in plain else plain
    return plain if parts.port in (None, usual) else f"{plain}:{parts.port}"
