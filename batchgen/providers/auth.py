"""Authentication: the header in which a provider wants its key."""

from __future__ import annotations

import re
from typing import Self

from pydantic import Field, model_validator

from .model import Frozen

#: The place of the key in the value of a header.
PLACE = "{key}"

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_VALUE = re.compile(r"[ -~]{1,200}")
#: Headers that describe the body or the connection, and cannot hold a key besides.
_TAKEN = frozenset(
    [
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    ]
)


class Auth(Frozen):
    """How a provider wants its key: the name of a header, and its value with the key in place of ``{key}``."""

    header: str = Field("Authorization", description="Name of the header with the key")
    value: str = Field("Bearer {key}", description="Value of the header; {key} is the place of the key")

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        if not _NAME.fullmatch(self.header) or self.header.lower() in _TAKEN:
            raise ValueError(
                f"header {self.header!r} cannot hold a key; the usual ones are Authorization and x-api-key"
            )
        if not _VALUE.fullmatch(self.value) or self.value.count(PLACE) != 1:
            raise ValueError(
                f"value {self.value!r} must contain {PLACE} once and no line break, such as 'Bearer {{key}}'"
            )
        return self

    def headers(self, key: str) -> dict[str, str]:
        """Return the header that carries *key*; nothing if there is no key."""
        return {self.header: self.value.replace(PLACE, key)} if key else {}
