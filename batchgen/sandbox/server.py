"""The HTTP server: routes, a small control interface, and its life from the ready-file to SIGTERM."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from . import cdn
from .batches.service import BatchService
from .body import fetch_source
from .dialects import DIALECTS, TASK_DIALECTS
from .dialects.described import from_description
from .dialects.dialect import Dialect
from .dialects.task import TaskDialect
from .faults import parse_rule
from .log import totals
from .request import free_endpoint_handler, handler_for
from .state import Entry, Settings, State, plain_totals
from .task_requests import add_task_routes
from .tasks import TaskStore
from .trace import Handler, trace_of
from .values import Link, Refusal

_MOST_BODY = 400_000_000  # sixteen data URLs of 20 MB, and more
_ABOUT = """batchgen sandbox: simulated image providers on this machine. Nothing here costs money.

Base URLs: {bases}
Faults: put [sandbox: KIND ...] into a prompt, or POST a list to /_sandbox/faults.
Charges: GET /_sandbox/totals, GET /_sandbox/log
"""


def make_app(
    state: State, tasks: TaskStore, batches: BatchService, task_dialects: Mapping[str, TaskDialect]
) -> web.Application:
    """Return the application with the endpoints of every provider."""
    dialects: dict[str, Dialect | TaskDialect] = {**DIALECTS, **task_dialects}
    app = web.Application(client_max_size=_MOST_BODY, middlewares=[_activity(state)])
    router = app.router
    for name, dialect in DIALECTS.items():
        for path, kind in dialect.routes.items():
            router.add_post(f"/{name}{path}", handler_for(state, dialect, kind))
        for path, endpoint in dialect.free_endpoints.items():
            router.add_get(f"/{name}{path}", free_endpoint_handler(state, dialect, endpoint))
    for name in dialects:
        router.add_get(f"/{name}/cdn/{{file}}", _cdn(state, name))
    batches.add_to(router)
    for task_dialect in task_dialects.values():
        add_task_routes(router, state, tasks, task_dialect)
    for name, each in dialects.items():
        router.add_route("*", f"/{name}/{{rest:.*}}", _no_such_path(name, each))
    _add_control(router, state, tuple(dialects))
    if state.settings.clock:
        app.on_response_prepare.append(_dated(state.settings.clock))
    return app


def _dated(wrong_by: float) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    async def dated(_: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatdate(time.time() + wrong_by, usegmt=True)

    return dated


def _add_control(router: web.UrlDispatcher, state: State, names: tuple[str, ...]) -> None:
    async def about(_: web.Request) -> web.Response:
        return web.Response(text=_ABOUT.format(bases=" ".join(f"{state.url}/{name}" for name in names)))

    async def faults(request: web.Request) -> web.Response:
        try:
            rules = await request.json()
            if not isinstance(rules, list):
                raise ValueError("expected a JSON list of faults")  # noqa: TRY004 - reported like any invalid list
            standing = [parse_rule(rule) for rule in rules]
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        state.book.replace(standing)
        return web.json_response({"standing": len(standing)})

    async def log(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(state.settings.log, headers={"Content-Type": "application/x-ndjson"})

    async def charges(_: web.Request) -> web.Response:
        sums = await asyncio.get_running_loop().run_in_executor(state.pool, totals, state.settings.log)
        return web.json_response(plain_totals(sums.items()))

    async def picture(request: web.Request) -> web.Response:
        """Serve the drawing for an address on the internet: sandbox runs fetch source images here."""
        try:
            data = await asyncio.get_running_loop().run_in_executor(
                state.pool, fetch_source, request.query.get("url", ""), state.url, state.results
            )
        except Refusal as refusal:
            return web.Response(status=404, text=str(refusal))
        return web.Response(body=data, content_type="image/png")

    async def elsewhere(request: web.Request) -> web.Response:
        """Log what a client that follows redirects sends along, such as its key."""
        entry = Entry(provider="elsewhere", kind="redirect", trace=trace_of(request, state.next_serial(), time.time()))
        await state.log.write(entry.line("arrival"))
        return web.json_response({})

    router.add_get("/", about)
    router.add_post("/_sandbox/faults", faults)
    router.add_get("/_sandbox/log", log)
    router.add_get("/_sandbox/totals", charges)
    router.add_get("/_sandbox/picture", picture)
    router.add_route("*", "/_sandbox/elsewhere", elsewhere)


def _cdn(state: State, name: str) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        port = state.url.rpartition(":")[2]
        response = cdn.serve(state.results, request, f"http://localhost:{port}/_sandbox/elsewhere")
        stored = state.results.get(request.path)
        if stored is not None and stored.link != Link():  # odd addresses: the log shows requests and keys
            entry = Entry(provider=name, kind="download", trace=trace_of(request, state.next_serial(), time.time()))
            state.log.note(entry.line("download", status=response.status))
        return response

    return handler


def _no_such_path(name: str, dialect: Dialect | TaskDialect) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix(f"/{name}")
        exists = path in {*(dialect.routes if isinstance(dialect, Dialect) else ()), *dialect.free_endpoints}
        trace = trace_of(request, 0, time.time())
        reply = dialect.refuse(Refusal("method" if exists else "path"), trace, "")
        return web.json_response(reply.payload, status=reply.status, headers=dict(reply.headers))

    return handler


def _activity(state: State) -> Middleware:
    @web.middleware
    async def activity(request: web.Request, handler: Handler) -> web.StreamResponse:
        state.busy += 1
        try:
            return await handler(request)
        finally:
            state.busy -= 1
            state.last_active = time.monotonic()

    return activity


def require_loopback(host: str) -> None:
    """Raise ValueError for a host that other machines could reach."""
    if not ipaddress.ip_address(host).is_loopback:
        raise ValueError(f"{host}: the sandbox listens on loopback only, such as 127.0.0.1")


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM, SIGINT or idleness; the charge log is complete when this returns."""
    require_loopback(settings.host)
    state = State(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tasks, batches = TaskStore(state), BatchService(state)
    dialects = {**TASK_DIALECTS, **_described(settings.providers)}
    runner = web.AppRunner(make_app(state, tasks, batches, dialects), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await _listen(runner, settings)
        host, port = runner.addresses[0][:2]
        state.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        tasks.restore(dialects)
        batches.restore()
        _announce(settings, state.url)
        await _until_over(state, stop)
    finally:
        await runner.cleanup()
        state.pool.shutdown(cancel_futures=True)
        tasks.memory.close()
        state.log.close()
        state.batches.close()


def _described(file: Path | None) -> dict[str, TaskDialect]:
    """Return the dialects of the providers that *file* describes."""
    described = {} if file is None else json.loads(file.read_text(encoding="utf-8"))
    return {name: from_description(name, description) for name, description in described.items()}


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    try:
        await web.TCPSite(runner, settings.host, settings.port, backlog=2048).start()
    except OSError:
        if not settings.any_port or not settings.port:
            raise
        await web.TCPSite(runner, settings.host, 0, backlog=2048).start()


async def _until_over(state: State, stop: asyncio.Event) -> None:
    limit = state.settings.idle_exit
    while not stop.is_set():
        idle = 0.0 if state.busy else time.monotonic() - state.last_active
        if limit is not None and idle >= limit:
            return
        wait = None if limit is None else max(0.05, limit - idle)
        try:
            await asyncio.wait_for(stop.wait(), wait)
        except TimeoutError:
            continue


def _announce(settings: Settings, url: str) -> None:
    """Report the address: in the ready-file, as a line on stderr, and as a URL on stdout."""
    if settings.ready_file is not None:
        ready = {"url": url, "pid": os.getpid(), "log": str(settings.log.resolve())}
        write_whole(settings.ready_file, json.dumps(ready))
    sys.stderr.write(f"batchgen sandbox: simulated providers at {url}, charges in {settings.log}\n")
    sys.stderr.flush()
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()


def write_whole(path: Path, text: str) -> None:
    """Write a file so that readers see all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
