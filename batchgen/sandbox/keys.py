"""API keys in requests: the header in which each provider wants its key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .values import Refusal

#: Every header that some provider uses.
HEADERS = ("Authorization", "api-key", "x-key", "x-goog-api-key")


@dataclass(frozen=True, slots=True)
class KeyHeader:
    """The header of a provider's key, and the scheme before it, if it has one."""

    name: str = "Authorization"
    scheme: str = "Bearer"
    needed: bool = True  #: requests without a key are refused

    def key(self, headers: Mapping[str, str]) -> str:
        """Return the key that a request carries in this form, or ""."""
        value = headers.get(self.name, "").strip()
        if not self.scheme:
            return value
        scheme, _, key = value.partition(" ")
        return key.strip() if scheme.lower() == self.scheme.lower() else ""


def authorise(headers: Mapping[str, str], header: KeyHeader) -> None:
    """Refuse a missing key, one in the wrong form, and keys that begin with ``bad``, ``revoked`` or ``poor``."""
    key = header.key(headers)
    if (not key and header.needed) or key.startswith(("bad", "revoked")):
        raise Refusal("denied")
    if key.startswith("poor"):
        raise Refusal("money")


def sent_key(headers: Mapping[str, str]) -> str:
    """Return the key of a request, in whichever header it is."""
    value = next((headers[name].strip() for name in HEADERS if headers.get(name)), "")
    return value.rpartition(" ")[2]
