"""What costs nothing: balances and catalogues, as each provider's documents show them, or not at all."""

from __future__ import annotations

import time
from decimal import Decimal

from aiohttp import web

from .dialects.dialect import Dialect, Purse, Question
from .request import Handler, authorise, trace_of
from .state import Entry, State
from .values import Refusal, Reply, Trace

#: USD that every simulated account starts with, and that a key whose name begins with "capped" may spend.
ACCOUNT, CAP = Decimal(100), Decimal(5)


def question_for(state: State, dialect: Dialect, question: Question) -> Handler:
    """Return the handler of one free endpoint; the log has a line about each question, and no charge."""

    async def handler(request: web.Request) -> web.StreamResponse:
        trace = trace_of(request, state.next_serial(), time.time())
        reply = _told(state, dialect, question, request, trace)
        await state.log.write(Entry(provider=dialect.name, kind="free", trace=trace).line("free", status=reply.status))
        return web.json_response(reply.payload, status=reply.status, headers=dict(reply.headers))

    return handler


def _told(state: State, dialect: Dialect, question: Question, request: web.Request, trace: Trace) -> Reply:
    used = state.spent.get(dialect.name, Decimal(0))
    key = request.headers.get("Authorization", "").partition(" ")[2].strip()
    try:
        if question.keyed:
            authorise(request)
        if question.scoped and key.startswith("restricted"):
            raise Refusal("scope")
    except Refusal as refusal:
        if refusal.cause != "money":
            return dialect.refuse(refusal, trace, "")
        used = ACCOUNT  # a poor account may still look at its balance
    return question.tell(Purse(total=ACCOUNT, used=used, cap=CAP if key.startswith("capped") else None), trace)
