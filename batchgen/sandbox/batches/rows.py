"""One request of a batch: read, drawn, charged at half the price, and answered as a call would be."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, replace
from decimal import Decimal

from ..body import fetch_source, raw_prompt, take_directives
from ..compose import actual_order, pictures_for, price_order, shape_of, sources_of
from ..dialects.dialect import Dialect
from ..faults import BATCH, CONTENT, REFUSALS, ROW, Fault
from ..shapes import Draft
from ..sources import FILE_ID
from ..state import Entry, State
from ..values import Bill, Form, Json, Order, Refusal, Reply, Trace
from .batch import Batch, Line

HALF = Decimal("0.5")


@dataclass(frozen=True, kw_only=True, slots=True)
class RowResult:
    """The answer to one request."""

    reply: Reply
    fault: str  #: the kind of its fault, or empty
    request_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """A request that is to be carried out."""

    order: Order
    fault: Fault | None
    sources: tuple[str, ...]


async def carry_out(state: State, dialect: Dialect, batch: Batch, line: Line, body: Json) -> RowResult:
    """Carry out one request; the charge is in the log before this returns."""
    serial, now = state.next_serial(), time.time()
    trace = Trace(
        serial=serial,
        now=now,
        path=f"/{dialect.name}/batches/{batch.id}",
        request_id=uuid.uuid5(uuid.NAMESPACE_URL, f"{serial}:{now}").hex,
        client_id=line.key,
    )
    model = body.get("model", batch.model)
    entry = Entry(provider=dialect.name, kind=batch.kind, trace=trace, model=str(model), prompt=raw_prompt(body))
    try:
        job = await _read(state, dialect, batch, entry, body)
        reply = await _answer(state, dialect, entry, job, charged=line.key in batch.charged)
    except Refusal as refusal:
        reply = dialect.refuse(refusal, trace, batch.kind)
    await state.log.write(entry.line("batch-row", status=reply.status) | {"batch": batch.id})
    return RowResult(reply=reply, fault=entry.fault or "", request_id=trace.request_id)


async def _read(state: State, dialect: Dialect, batch: Batch, entry: Entry, body: Json) -> _Job:
    form, directives = take_directives(Form(fields=body, path={"model": batch.model}))

    def fetch(url: str) -> bytes:
        file = state.batches.file(dialect.name, url.removeprefix(FILE_ID)) if url.startswith(FILE_ID) else None
        return file.path.read_bytes() if file else fetch_source(url, state.url, state.results)

    order = await asyncio.get_running_loop().run_in_executor(state.pool, dialect.read, form, batch.kind, fetch)
    entry.n = order.n
    fault = state.book.pick(
        serial=entry.trace.serial,
        provider=dialect.name,
        prompt=entry.prompt or "",
        directives=tuple(fault for fault in directives if fault.kind not in BATCH),
    )
    # What goes wrong on the way of a call cannot happen to a row.
    fault = fault if fault is not None and fault.kind in {*REFUSALS, *CONTENT, *ROW} else None
    if fault is not None:
        entry.fault = fault.kind
        if fault.kind in REFUSALS:
            raise Refusal(fault.kind)
    return _Job(order=order, fault=fault, sources=sources_of(form))


async def _answer(state: State, dialect: Dialect, entry: Entry, job: _Job, *, charged: bool) -> Reply:
    """Draw and charge, unless an earlier server *charged* it and ended before its row was written."""
    order, fault = job.order, job.fault
    kind = fault.kind if fault else ""
    shape = shape_of(fault, order)
    amount = fault.amount if fault else 0.0
    draft = Draft(order=order, trace=entry.trace, kind=kind, amount=amount, sources=job.sources)
    order = actual_order(order, kind, shape)
    bill = _halved(price_order(dialect, order, draft, shape))
    draft = replace(draft, order=order, bill=bill)
    if kind not in ("empty", "text") and not (kind == "short" and entry.n == 1):
        draft = replace(draft, pictures=await pictures_for(state, dialect, entry, draft, shape))
    if not charged:
        await state.log.write(entry.line("charge", bill=bill))
        state.spend(dialect.name, bill)
    return dialect.answer(order, bill, draft.pictures, entry.trace, None)


def _halved(bill: Bill) -> Bill:
    return replace(bill, usd=None if bill.usd is None else bill.usd * HALF)
