"""The web application: which address gives what. Everything that blocks runs in a thread of its own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import orjson
from pydantic import BaseModel, ValidationError
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ..errors import BatchgenError, ExitCode
from .access import PAGE_POLICY, READING
from .feed import Feed
from .live_page import LivePage
from .orders import Orders, Refusal
from .requests import MarkChange, Order

Model = TypeVar("Model", bound=BaseModel)

#: Bytes of a request: the marks of 50,000 pictures.
_MOST_BYTES = 32_000_000
#: Seconds between two comments that keep a stream open, and until a page that reads nothing is given up.
_PING, _STALLED = 15, 60
_HASH = re.compile(r"[0-9a-f]{16,64}")
#: What a hash names never changes.
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_GONE = "This picture is not in the job database, or its file is gone."


@dataclass(frozen=True, slots=True)
class Application:
    """The requests of the page."""

    page: LivePage
    feed: Feed
    orders: Orders

    def build(self) -> Starlette:
        """Return the application; the feed follows the job database as long as it runs."""
        get: list[tuple[str, Callable[[Request], Awaitable[Response]]]] = [
            ("/", self._page),
            ("/events", self._events),
            ("/files/{sha}", self._file),
            ("/thumbs/{sha}.webp", self._thumbnail),
            ("/details/{key:path}", self._detail),
        ]
        return Starlette(
            routes=[
                *(Route(path, answer, methods=["GET"]) for path, answer in get),
                Route("/marks", self._change_marks, methods=["PUT"]),
                Route("/plans", self._plan, methods=["POST"]),
                Route("/plans/{token}/run", self._start, methods=["POST"]),
            ],
            exception_handlers={BatchgenError: _error, HTTPException: _http_error},
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.feed.run)
            yield
            self.feed.close()
            tasks.cancel_scope.cancel()

    async def _page(self, _request: Request) -> Response:
        html = await anyio.to_thread.run_sync(self.page.html)
        return HTMLResponse(html, headers={"Content-Security-Policy": PAGE_POLICY})

    async def _events(self, request: Request) -> Response:
        since: int | None = None
        with suppress(ValueError):
            since = int(request.headers.get("last-event-id") or request.query_params.get("since", ""))

        async def events() -> AsyncIterator[ServerSentEvent]:
            async for event in self.feed.follow(since):
                yield ServerSentEvent(event.data, event=event.name, id=str(event.cursor), retry=1_000)

        return EventSourceResponse(events(), ping=_PING, send_timeout=_STALLED)

    async def _file(self, request: Request) -> Response:
        picture = await anyio.to_thread.run_sync(self.page.picture, _hash(request))
        if picture is None:
            raise HTTPException(404, _GONE)
        return Response(picture.data, media_type=picture.mime, headers=_FOREVER)

    async def _thumbnail(self, request: Request) -> Response:
        data = await self.page.thumbnail(_hash(request))
        if data is None:
            raise HTTPException(404, _GONE)
        return Response(data, media_type="image/webp", headers=_FOREVER)

    async def _detail(self, request: Request) -> Response:
        return _json(await anyio.to_thread.run_sync(self.page.detail, request.path_params["key"]))

    async def _change_marks(self, request: Request) -> Response:
        change = _validate(MarkChange, await _body(request))
        return _json(await anyio.to_thread.run_sync(self.page.change_marks, change.marks))

    async def _plan(self, request: Request) -> Response:
        order = _validate(Order, await _body(request))
        return _json(await anyio.to_thread.run_sync(self.orders.plan, order))

    async def _start(self, request: Request) -> Response:
        run = await anyio.to_thread.run_sync(self.orders.start, request.path_params["token"])
        return _json(run, 409 if "changed" in run else 202)


def _hash(request: Request) -> str:
    sha: str = request.path_params["sha"]
    if _HASH.fullmatch(sha) is None:
        raise HTTPException(404, _GONE)
    return sha


async def _body(request: Request) -> Any:  # noqa: ANN401 - any JSON value; its model checks it
    """Return the JSON of a request; raise HTTPException."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise HTTPException(415, "The body of the request must be JSON.")
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > _MOST_BYTES:
            raise HTTPException(413, "The request is too large.")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        raise HTTPException(400, "The body of the request is not valid JSON.") from None


def _validate(model: type[Model], body: object) -> Model:
    """Return the body of a request as its *model*; raise HTTPException."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise HTTPException(400, f"{place}: {problem['msg'].removeprefix('Value error, ')}") from None


def _json(document: Any, status: int = 200) -> Response:  # noqa: ANN401 - any JSON value
    return Response(orjson.dumps(document), status_code=status, media_type="application/json")


async def _error(_request: Request, error: Exception) -> Response:
    """Return the message of a deliberate error, as the command line would print it."""
    not_found = isinstance(error, BatchgenError) and error.exit_code is ExitCode.NOT_FOUND
    status = error.status if isinstance(error, Refusal) else 404 if not_found else 500
    return JSONResponse({"error": str(error)}, status_code=status)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    if request.method in READING:
        return PlainTextResponse(f"{error.detail}\n", status_code=error.status_code)
    return JSONResponse({"error": error.detail}, status_code=error.status_code)
