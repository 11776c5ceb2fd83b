"""Requests: paid ones (arrival, checks, fault, work, charge, answer), balances and model lists."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from decimal import Decimal

from aiohttp import web

from .billed import BilledRequest
from .body import fetch_source, raw_prompt, read_form, take_directives
from .compose import (
    TEXT_INSTEAD,
    actual_order,
    package_of,
    pictures_for,
    price_order,
    shape_of,
    sources_of,
    write_answer,
)
from .dialects.dialect import Account, Dialect, FreeEndpoint
from .dialects.task import TaskDialect
from .faults import EARLY, REFUSALS, Fault
from .keys import authorise
from .shapes import Draft, Shape
from .state import Entry, State
from .trace import Handler, trace_of
from .values import Form, Order, Package, Refusal, Reply, Trace, waived

#: USD that every simulated account starts with, and that a key whose name begins with "capped" may spend.
ACCOUNT, CAP = Decimal(100), Decimal(5)


def handler_for(state: State, dialect: Dialect, kind: str) -> Handler:
    """Return the handler of one endpoint."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return await PaidRequest(state, dialect, kind, request).run()

    return handler


def free_endpoint_handler(state: State, dialect: Dialect | TaskDialect, endpoint: FreeEndpoint) -> Handler:
    """Return the handler of one free endpoint; the log gets a line for each request, and no charge."""

    async def handler(request: web.Request) -> web.StreamResponse:
        trace = trace_of(request, state.next_serial(), time.time())
        reply = _answer(state, dialect, endpoint, request, trace)
        await state.log.write(Entry(provider=dialect.name, kind="free", trace=trace).line("free", status=reply.status))
        return web.json_response(reply.payload, status=reply.status, headers=dict(reply.headers))

    return handler


def _answer(
    state: State, dialect: Dialect | TaskDialect, endpoint: FreeEndpoint, request: web.Request, trace: Trace
) -> Reply:
    used = state.spent.get(dialect.name, Decimal(0))
    key = dialect.key_header.key(request.headers)
    try:
        if endpoint.needs_key:
            authorise(request.headers, dialect.key_header)
        if endpoint.needs_scope and key.startswith("restricted"):
            raise Refusal("scope")
    except Refusal as refusal:
        if refusal.cause != "money":
            return dialect.refuse(refusal, trace, "")
        used = ACCOUNT  # an account without money may still read its balance
    return endpoint.answer(Account(total=ACCOUNT, used=used, cap=CAP if key.startswith("capped") else None), trace)


class PaidRequest(BilledRequest):
    """The handling of one request for images."""

    def __init__(self, state: State, dialect: Dialect, kind: str, request: web.Request) -> None:
        super().__init__(state, dialect, kind, request)
        self.dialect = dialect
        self.owns_key = False
        self.sources: tuple[str, ...] = ()

    async def run(self) -> web.StreamResponse:
        """Answer the request; in any case the log gets its arrival and its answer."""
        fault: Fault | None = None
        try:
            order, fault, earlier = await self._admit()
            if earlier is not None:
                self.entry.fault = "replay"
                return await self.send(await earlier, None)
            package = await self._work(order, fault)
        except Refusal as refusal:
            fault, package = None, self.refusal(refusal)
            self._finish_key(package, remember=False)
        finally:
            self._finish_key(None, remember=False)
        return await self.send(package, fault)

    async def _admit(self) -> tuple[Order, Fault | None, asyncio.Future[Package | None] | None]:
        """Check the request; return the order, its fault, and the earlier answer to its idempotency key."""
        form: Form | None = None
        try:
            form = replace(await read_form(self.request), path=dict(self.request.match_info))
            self._note_form(form)
        finally:
            self.arrived = self.state.log.write(self.entry.line("arrival"))
        authorise(self.request.headers, self.dialect.key_header)
        self.throttle()
        form, directives = take_directives(form)
        self.sources = sources_of(form)
        order = await self._read(form)
        self.entry.n = order.n
        earlier = self.state.earlier_answer(self.dialect.name, self.key)
        if earlier is not None:
            return order, None, earlier
        self.owns_key = True
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
            if fault.kind == "flex-shed" and order.tier == "flex":
                raise Refusal("overloaded", "The system is currently at capacity.")
        return order, fault, None

    def _note_form(self, form: Form) -> None:
        model = form.fields.get("model") or form.path.get("model")
        self.entry.model = model if isinstance(model, str) else None
        self.entry.prompt = raw_prompt(form.fields)
        n = str(form.fields.get("n"))
        self.entry.n = int(n) if n.isdecimal() and len(n) < 9 else None

    async def _read(self, form: Form) -> Order:
        """Read the order; source images are decoded outside the event loop."""

        def read() -> Order:
            return self.dialect.read(form, self.kind, lambda url: fetch_source(url, self.state.url, self.state.results))

        if self.kind == "generation":
            return read()
        return await asyncio.get_running_loop().run_in_executor(self.state.pool, read)

    async def _work(self, order: Order, fault: Fault | None) -> Package | None:
        """Draw and charge; return the answer, or None if the connection is cut instead."""
        trace, kind = self.entry.trace, fault.kind if fault else ""
        if kind in EARLY:
            return self.early(kind)
        shape = shape_of(fault, order)
        draft = Draft(order=order, trace=trace, kind=kind, amount=fault.amount if fault else 0.0, sources=self.sources)
        if shape.refusal:
            return shape.refusal(draft)
        await asyncio.sleep(self.state.settings.latency.seconds_for(order, self.state.chance(trace, "latency")))
        if fault is not None and kind == "slow":
            await asyncio.sleep(fault.amount)
        order = actual_order(order, kind, shape)
        bill = price_order(self.dialect, order, draft, shape)
        draft = replace(draft, order=order, bill=waived(bill) if kind in self.dialect.uncharged else bill)
        if not self._has_no_image(order, fault):
            pictures = await pictures_for(self.state, self.dialect, self.entry, draft, shape)
            draft = replace(draft, pictures=pictures)
        reply = await self._charge(draft)
        good = package_of(reply)
        self._finish_key(good, remember=True)
        return self._corrupted(reply, draft, shape) if kind else good

    async def _charge(self, draft: Draft) -> Reply:
        """Log the charge, and answer as the provider documents it."""
        bill = draft.bill or self.dialect.price(draft.order, draft.order.n)
        if draft.kind not in self.dialect.uncharged:
            # Durable before the first byte of the answer, so that no client has an image that the log lacks.
            await self.state.log.write(self.entry.line("charge", bill=bill))
            self.state.spend(self.dialect.name, bill)
        words = TEXT_INSTEAD if draft.kind == "text" and draft.order.kind in ("chat", "content") else None
        return self.dialect.answer(draft.order, bill, draft.pictures, self.entry.trace, words)

    def _finish_key(self, package: Package | None, *, remember: bool) -> None:
        if self.owns_key and self.key:
            self.owns_key = False
            self.state.remember_answer(self.dialect.name, self.key, package, remember=remember)

    def _has_no_image(self, order: Order, fault: Fault | None) -> bool:
        kind = fault.kind if fault else ""
        asked = self.entry.n or order.n
        return kind in {"empty", "text"} or (kind == "short" and asked < 2)

    def _corrupted(self, reply: Reply, draft: Draft, shape: Shape) -> Package:
        return self.other_answer(draft.kind) or write_answer(reply, draft, shape)
