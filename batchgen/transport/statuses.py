"""HTTP statuses after which a free request is worth repeating."""

from __future__ import annotations

_TEMPORARY = frozenset({408, 425, 429})


def is_temporary(status: int) -> bool:
    """Return whether a later request may be answered otherwise."""
    return status in _TEMPORARY or status >= 500
