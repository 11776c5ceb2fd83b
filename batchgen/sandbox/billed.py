"""Requests that may cost money, of images and of tasks: their limits, faults and answers."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from aiohttp import web

from .compose import CLOUDFLARE_524, HTML_200, package_of
from .deliver import deliver, reset
from .dialects.dialect import Dialect
from .dialects.task import TaskDialect
from .faults import Fault
from .state import Entry, State
from .trace import trace_of
from .values import Package, Refusal


class BilledRequest:
    """The handling of one request; in any case the log gets its arrival and its answer."""

    def __init__(self, state: State, dialect: Dialect | TaskDialect, kind: str, request: web.Request) -> None:
        self.state, self.kind, self.request = state, kind, request
        self._dialect = dialect
        trace = trace_of(request, state.next_serial(), time.time())
        self.key = request.headers.get("Idempotency-Key")
        self.entry = Entry(provider=dialect.name, kind=kind, trace=trace, idempotency_key=self.key)
        self.arrived: asyncio.Future[None] | None = None

    def throttle(self) -> None:
        """Raise a refusal if the limits of the provider have no room for the request."""
        throttle = self.state.throttles.get(self._dialect.name)
        if throttle is None:
            return
        wait = throttle.admit()
        retry_after = round(wait + 0.001, 3) if wait and self._dialect.states_wait else None
        self.entry.trace = replace(self.entry.trace, quota=throttle.quota(wait), retry_after=retry_after)
        if wait:
            self.entry.fault = "throttle"
            raise Refusal("throttle")

    def refusal(self, refusal: Refusal) -> Package:
        """Return the answer that refuses the request."""
        return package_of(self._dialect.refuse(refusal, self.entry.trace, self.kind))

    def early(self, kind: str) -> Package | None:
        """Return the answer of a fault before any work; None cuts the connection."""
        if kind == "drop-before":
            return None
        if kind == "redirect":
            headers = {"Location": f"{self.state.url}/_sandbox/elsewhere"}
            return Package(status=307, headers=headers, body=b"", mime="text/plain")
        return replace(self.refusal(Refusal("error500")), status=200)

    def other_answer(self, kind: str) -> Package | None:
        """Return what a proxy puts in the place of the answer; None if it lets the answer pass."""
        match kind:
            case "gateway-timeout":
                return self.refusal(Refusal(kind))
            case "cloudflare524":
                return Package(status=524, headers={}, body=CLOUDFLARE_524.encode(), mime="text/html")
            case "html200":
                return Package(status=200, headers={}, body=HTML_200.encode(), mime="text/html")
        return None

    async def send(self, package: Package | None, fault: Fault | None) -> web.StreamResponse:
        """Send the answer, and log its status."""
        status: int | None = None
        try:
            if self.arrived is not None:
                # The arrival is on disk before the answer goes out, also if the request is refused.
                await self.arrived
            if package is None:
                return reset(self.request)
            response, status = await deliver(self.request, package, fault)
            return response
        finally:
            self.state.log.note(self.entry.line("answer", status=status))
