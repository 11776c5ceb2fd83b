"""Free endpoints: balances and model lists, as each provider documents them, if it does."""

from __future__ import annotations

import time
from decimal import Decimal

from aiohttp import web

from .dialects.dialect import Account, Dialect, FreeEndpoint
from .request import Handler, authorise, trace_of
from .state import Entry, State
from .values import Refusal, Reply, Trace

#: USD that every simulated account starts with, and that a key whose name begins with "capped" may spend.
ACCOUNT, CAP = Decimal(100), Decimal(5)


def free_endpoint_handler(state: State, dialect: Dialect, endpoint: FreeEndpoint) -> Handler:
    """Return the handler of one free endpoint; the log gets a line for each request, and no charge."""

    async def handler(request: web.Request) -> web.StreamResponse:
        trace = trace_of(request, state.next_serial(), time.time())
        reply = _answer(state, dialect, endpoint, request, trace)
        await state.log.write(Entry(provider=dialect.name, kind="free", trace=trace).line("free", status=reply.status))
        return web.json_response(reply.payload, status=reply.status, headers=dict(reply.headers))

    return handler


def _answer(state: State, dialect: Dialect, endpoint: FreeEndpoint, request: web.Request, trace: Trace) -> Reply:
    used = state.spent.get(dialect.name, Decimal(0))
    key = request.headers.get("Authorization", "").partition(" ")[2].strip()
    try:
        if endpoint.needs_key:
            authorise(request)
        if endpoint.needs_scope and key.startswith("restricted"):
            raise Refusal("scope")
    except Refusal as refusal:
        if refusal.cause != "money":
            return dialect.refuse(refusal, trace, "")
        used = ACCOUNT  # an account without money may still read its balance
    return endpoint.answer(Account(total=ACCOUNT, used=used, cap=CAP if key.startswith("capped") else None), trace)
