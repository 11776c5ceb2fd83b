"""Readiness of a paid request: what is awaited between its connection and its first byte. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

#: Awaited before each time that a paid request is written: returns when the limits have room for it, and has counted
#: it then. Raises ProviderError if it must not be sent any more.
Ready = Callable[[], Awaitable[None]]
