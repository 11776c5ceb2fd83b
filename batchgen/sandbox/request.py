"""The way of one paid request: arrival, checks, fault, work, charge, answer."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace

from aiohttp import web

from .body import fetch_source, raw_prompt, read_form, take_directives
from .compose import billed, carried_out, package_of, pictures_for, shape_of, sources_of, write_answer
from .corrupt import CLOUDFLARE_524, HTML_200, WORDS_INSTEAD
from .deliver import deliver, reset
from .dialects.dialect import Dialect
from .faults import EARLY, REFUSALS, Fault
from .shapes import Draft, Shape
from .state import Entry, State
from .values import Form, Order, Package, Refusal, Reply, Trace, waived

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def handler_for(state: State, dialect: Dialect, kind: str) -> Handler:
    """Return the handler of one endpoint."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return await Visit(state, dialect, kind, request).run()

    return handler


def trace_of(request: web.Request, serial: int, now: float) -> Trace:
    """Return what answers and log lines say about a request."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return Trace(
        serial=serial,
        now=now,
        path=request.path,
        request_id=uuid.uuid5(uuid.NAMESPACE_URL, f"{serial}:{now}").hex,
        client_id=request.headers.get("X-Client-Request-Id"),
        key_tail=key.strip()[-4:] if scheme.lower() == "bearer" else "",
    )


def authorise(request: web.Request) -> None:
    """Refuse a missing key, and keys whose names say what is wrong with them."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key or key.startswith(("bad", "revoked")):
        raise Refusal("denied")
    if key.startswith("poor"):
        raise Refusal("money")


class Visit:
    """Carry one request through."""

    def __init__(self, state: State, dialect: Dialect, kind: str, request: web.Request) -> None:
        self.state, self.dialect, self.kind, self.request = state, dialect, kind, request
        trace = trace_of(request, state.next_serial(), time.time())
        self.key = request.headers.get("Idempotency-Key")
        self.promised = False
        self.sources: tuple[str, ...] = ()
        self.arrived: asyncio.Future[None] | None = None
        self.entry = Entry(provider=dialect.name, kind=kind, trace=trace, idempotency_key=self.key)

    async def run(self) -> web.StreamResponse:
        """Answer the request; whatever happens, the log has its arrival and its answer."""
        fault: Fault | None = None
        try:
            order, fault, earlier = await self._admit()
            if earlier is not None:
                self.entry.fault = "replay"
                return await self._send(await earlier, None)
            package = await self._work(order, fault)
        except Refusal as refusal:
            fault, package = None, self._refusal_package(refusal)
            self._keep_promise(package, remember=False)
        finally:
            self._keep_promise(None, remember=False)
        return await self._send(package, fault)

    async def _admit(self) -> tuple[Order, Fault | None, asyncio.Future[Package | None] | None]:
        """Read and judge the request; return the order, the fault that strikes it, and an earlier answer to its key."""
        form: Form | None = None
        try:
            form = await read_form(self.request)
            self._note_form(form)
        finally:
            self.arrived = self.state.log.write(self.entry.line("arrival"))
        authorise(self.request)
        self._throttle()
        form, directives = take_directives(form)
        self.sources = sources_of(form)
        order = await self._read(form)
        self.entry.n = order.n
        earlier = self.state.promise(self.dialect.name, self.key)
        if earlier is not None:
            return order, None, earlier
        self.promised = True
        fault = self.state.book.pick(
            serial=self.entry.trace.serial,
            provider=self.dialect.name,
            prompt=self.entry.prompt or "",
            directives=directives,
        )
        if fault is not None:
            self.entry.fault = fault.kind
            self.entry.trace = replace(self.entry.trace, retry_after=fault.retry_after)
            if fault.kind in REFUSALS:
                raise Refusal(fault.kind)
        return order, fault, None

    def _note_form(self, form: Form) -> None:
        model = form.fields.get("model")
        self.entry.model = model if isinstance(model, str) else None
        self.entry.prompt = raw_prompt(form.fields)
        n = str(form.fields.get("n"))
        self.entry.n = int(n) if n.isdecimal() and len(n) < 9 else None

    def _throttle(self) -> None:
        throttle = self.state.throttles.get(self.dialect.name)
        if throttle is None:
            return
        wait = throttle.admit()
        told = round(wait + 0.001, 3) if wait and self.dialect.says_wait else None
        self.entry.trace = replace(self.entry.trace, quota=throttle.quota(wait), retry_after=told)
        if wait:
            self.entry.fault = "throttle"
            raise Refusal("throttle")

    async def _read(self, form: Form) -> Order:
        """Check the request; source images are decoded away from the event loop."""

        def read() -> Order:
            return self.dialect.read(form, self.kind, lambda url: fetch_source(url, self.state.url, self.state.shelf))

        if self.kind == "generation":
            return read()
        return await asyncio.get_running_loop().run_in_executor(self.state.pool, read)

    async def _work(self, order: Order, fault: Fault | None) -> Package | None:
        """Draw and charge; return the answer, or None where the connection goes first."""
        trace, kind = self.entry.trace, fault.kind if fault else ""
        if kind in EARLY:
            return self._early(kind)
        shape = shape_of(fault, order)
        draft = Draft(order=order, trace=trace, kind=kind, amount=fault.amount if fault else 0.0, sources=self.sources)
        if shape.refusal:
            return shape.refusal(draft)
        await asyncio.sleep(self.state.settings.latency.seconds_for(order, self.state.chance(trace, "latency")))
        if fault is not None and kind == "slow":
            await asyncio.sleep(fault.amount)
        order = carried_out(order, kind, shape)
        draft = replace(draft, order=order, bill=billed(self.dialect, order, draft, shape))
        if not self._has_no_image(order, fault):
            pictures = await pictures_for(self.state, self.dialect, self.entry, draft, shape)
            draft = replace(draft, pictures=pictures)
        reply = await self._charge(draft)
        good = package_of(reply)
        self._keep_promise(good, remember=True)
        return self._spoilt(reply, draft, shape) if kind else good

    async def _charge(self, draft: Draft) -> Reply:
        """Book the charge, and answer as the provider's documents show it."""
        bill = draft.bill or self.dialect.price(draft.order, draft.order.n)
        if draft.kind not in self.dialect.free:
            # Durable before the first byte of the answer: a client can never hold an image this log does not know.
            await self.state.log.write(self.entry.line("charge", bill=bill))
            self.state.spend(self.dialect.name, bill)
        else:
            bill = waived(bill)
        words = WORDS_INSTEAD if draft.kind == "text" and draft.order.kind == "chat" else None
        return self.dialect.answer(draft.order, bill, draft.pictures, self.entry.trace, words)

    def _keep_promise(self, package: Package | None, *, remember: bool) -> None:
        if self.promised and self.key:
            self.promised = False
            self.state.keep_promise(self.dialect.name, self.key, package, remember=remember)

    def _has_no_image(self, order: Order, fault: Fault | None) -> bool:
        kind = fault.kind if fault else ""
        asked = self.entry.n or order.n
        return kind in {"empty", "text"} or (kind == "short" and asked < 2)

    def _early(self, kind: str) -> Package | None:
        if kind == "drop-before":
            return None
        if kind == "redirect":
            headers = {"Location": f"{self.state.url}/_sandbox/elsewhere"}
            return Package(status=307, headers=headers, body=b"", mime="text/plain")
        package = self._refusal_package(Refusal("error500"))
        return replace(package, status=200)

    def _spoilt(self, reply: Reply, draft: Draft, shape: Shape) -> Package:
        kind = draft.kind
        if kind == "gateway-timeout":
            return self._refusal_package(Refusal(kind))
        if kind == "cloudflare524":
            return Package(status=524, headers={}, body=CLOUDFLARE_524.encode(), mime="text/html")
        if kind == "html200":
            return Package(status=200, headers={}, body=HTML_200.encode(), mime="text/html")
        return write_answer(reply, draft, shape)

    def _refusal_package(self, refusal: Refusal) -> Package:
        reply = self.dialect.refuse(refusal, self.entry.trace, self.kind)
        return package_of(reply)

    async def _send(self, package: Package | None, fault: Fault | None) -> web.StreamResponse:
        """Send the answer; the log's line about it says what went out."""
        status: int | None = None
        try:
            if self.arrived is not None:
                await self.arrived  # durable too: who holds a refusal finds its arrival in the log
            if package is None:
                return reset(self.request)
            response, status = await deliver(self.request, package, fault)
            return response
        finally:
            self.state.log.note(self.entry.line("answer", status=status))
