"""The facts about a request that answers and log lines repeat."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable

from aiohttp import web

from .keys import sent_key
from .values import Trace

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def trace_of(request: web.Request, serial: int, now: float) -> Trace:
    """Return the facts about a request that answers and log lines repeat."""
    return Trace(
        serial=serial,
        now=now,
        path=request.path,
        request_id=uuid.uuid5(uuid.NAMESPACE_URL, f"{serial}:{now}").hex,
        client_id=request.headers.get("X-Client-Request-Id"),
        key_tail=sent_key(request.headers)[-4:],
        source=request.remote or "",
    )
