"""Endpoints of batches, as all providers have them: the check of the key, errors, the log, and the start of work."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from ..dialects.dialect import Dialect
from ..keys import authorise
from ..state import Entry, State
from ..trace import trace_of
from ..values import Json, Refusal, Reply, invalid
from .batch import Batch
from .work import BatchFormat, BatchWork, lines_of

Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BatchEndpoints:
    """The endpoints of one provider."""

    form: BatchFormat

    def __init__(self, state: State, dialect: Dialect) -> None:
        self.state, self.dialect, self.store = state, dialect, state.batches

    def guarded(self, endpoint: Endpoint) -> Endpoint:
        """Return the endpoint with the check of the key, and with the errors of the provider."""

        async def handler(request: web.Request) -> web.StreamResponse:
            trace = trace_of(request, self.state.next_serial(), time.time())
            try:
                authorise(request.headers, self.dialect.key_header)
                return await endpoint(request)
            except Refusal as refusal:
                return json_response(self.dialect.refuse(refusal, trace, "batch"))

        return handler

    async def log(self, event: str, request: web.Request, more: Json) -> None:
        """Write a line to the log, and wait until it is durable."""
        trace = trace_of(request, self.state.next_serial(), time.time())
        entry = Entry(provider=self.dialect.name, kind="batch", trace=trace)
        await self.state.log.write(entry.line(event) | more)

    def restore(self, batches: Iterable[Batch]) -> None:
        """Carry on with those of an earlier server's *batches* that have not ended."""
        for batch in batches:
            if batch.provider == self.dialect.name and not batch.phase.is_final:
                batch.lines = lines_of(batch, self.form)
                self.begin(batch)

    def begin(self, batch: Batch) -> None:
        """Begin the work on a batch whose lines are checked."""
        task = asyncio.create_task(BatchWork(self.state, self.dialect, batch, self.form).run())
        self.store.tasks.add(task)
        task.add_done_callback(self.store.tasks.discard)


async def json_object(request: web.Request) -> Json:
    """Return the JSON object in the body of a request."""
    try:
        fields = json.loads(await request.read())
    except ValueError as error:
        raise invalid("We could not parse the JSON body of your request.", "invalid_json") from error
    if not isinstance(fields, dict):
        raise invalid("The JSON body of a request must be an object.", "invalid_json")
    return fields


def json_response(reply: Reply) -> web.Response:
    """Return an answer as JSON."""
    return web.json_response(reply.payload, status=reply.status, headers=dict(reply.headers))
