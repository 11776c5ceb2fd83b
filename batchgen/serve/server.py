"""The server: listens, prints its address, and ends at once on Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import uvicorn

from ..app.clock import utc_now
from ..app.project import Project, open_reader
from ..errors import UsageError
from ..store.changes import Changes
from . import address
from .access import Guard, is_loopback, known_hosts
from .application import Application
from .feed import Feed
from .live_page import LivePage
from .orders import Orders

#: Seconds that requests in progress have to end.
_GRACE = 1
_SETTINGS = {
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "http": "h11",
    "ws": "none",
    "lifespan": "on",
    "timeout_graceful_shutdown": _GRACE,
    "h11_max_incomplete_event_size": 64_000,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeOptions:
    """The options of a server."""

    host: str = "127.0.0.1"
    port: int = 0  #: 0: that of the last server if it is free, or else any
    allow_hosts: tuple[str, ...] = ()  #: further host names that it answers to
    read_only: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Serving:
    """A server that listens."""

    url: str
    batch: str
    is_private: bool  #: only this machine can reach it


def serve(project: Project, batch_name: str | None, options: ServeOptions, on_start: Callable[[Serving], None]) -> None:
    """Serve the page of a batch until Ctrl-C; raise NotFound, UsageError."""
    with open_reader(project) as reader, Changes(project.db) as changes:
        batch = reader.batch(batch_name)
        place = address.load(project.state)
        try:
            listener = address.bind(options.host, options.port, place.port)
        except OSError as error:  # the name of the host cannot be looked up
            raise UsageError(f"--host {options.host}: {error.strerror or error}") from error
        port = listener.getsockname()[1]
        address.save(project.state, replace(place, port=port))
        with LivePage(project=project, reader=reader, batch=batch, read_only=options.read_only) as page:
            feed = Feed(changes, batch.id, page, utc_now)
            loop = asyncio.new_event_loop()

            def announce(run: Mapping[str, Any]) -> None:
                with suppress(RuntimeError):  # the server has ended
                    loop.call_soon_threadsafe(partial(feed.publish, "run", run))

            orders = Orders(project=project, reader=reader, batch=batch, announce=announce)
            app = Guard(
                Application(page, feed, orders).build(),
                place.token,
                known_hosts(options.host, options.allow_hosts),
                options.read_only,
            )
            shown = f"[{options.host}]" if ":" in options.host else options.host
            url = f"http://{shown}:{port}/{place.token}/"
            serving = Serving(url=url, batch=batch.name, is_private=is_loopback(options.host))
            server = _Server(uvicorn.Config(app, **_SETTINGS))  # type: ignore[arg-type]
            server.on_start, server.before_exit = partial(on_start, serving), feed.close
            try:
                loop.run_until_complete(server.serve([listener]))
            finally:
                loop.close()
                listener.close()


class _Server(uvicorn.Server):
    """A server that ends its event streams with itself."""

    on_start: Callable[[], None] = staticmethod(lambda: None)
    before_exit: Callable[[], None] = staticmethod(lambda: None)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on the usual signals; the program itself then ends as after any other command."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, then announce it: who has read the address may send requests and signals at once."""
        await super().startup(sockets)
        # A browser in this terminal would hold the event loop up.
        await asyncio.to_thread(self.on_start)

    def _end(self) -> None:
        self.before_exit()
        self.should_exit = True
