"""A server of raw bytes on loopback, for what no proper HTTP server would do: it counts all that reaches it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

#: What a caller may do to a server that is not done with it.
_GONE = (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError)


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    head: bytes
    body: bytes
    at: float  #: on the loop's clock, when the head was there


@dataclass(slots=True)
class Connection:
    """One connection, in the hands of a behaviour."""

    server: RawServer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self, *, body: bool = True) -> Received:
        """Read a request and count it; with body=False leave the body in the socket."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        at = asyncio.get_running_loop().time()
        length = int(headers.get("content-length", "0")) if body else 0
        received = Received(method, target, headers, head, await self.reader.readexactly(length), at)
        self.server.requests.append(received)
        return received

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Let the far side see a reset, not an end."""
        found = self.writer.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def drain_input(self) -> int:
        """Read until the far side hangs up; return how many bytes came."""
        count = 0
        with suppress(*_GONE):
            while chunk := await self.reader.read(65_536):
                count += len(chunk)
        return count


Behaviour = Callable[[Connection], Awaitable[None]]


@dataclass(slots=True)
class RawServer:
    """A running server and what it saw."""

    behaviour: Behaviour
    scheme: str = "http"
    port: int = 0
    connections: int = 0
    requests: list[Received] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)  #: a behaviour has ended, whichever way
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(*_GONE):
                await self.behaviour(Connection(self, reader, writer))
        finally:
            self._tasks.discard(task)
            self.hung_up.set()
            writer.close()
            # A handshake that was cancelled never reports its end.
            with suppress(*_GONE, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()
            writer.transport.abort()


@asynccontextmanager
async def serve(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Run a server that treats every connection to *behaviour*."""
    server = RawServer(behaviour, scheme="https" if tls else "http")
    listener = await asyncio.start_server(server._serve, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        tasks = tuple(server._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


def closed_port() -> int:
    """Return a port where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
    return port


# --- behaviours ---------------------------------------------------------------------------------------------------


def head(status: str = "200 OK", headers: Mapping[str, str] | None = None, *, version: str = "HTTP/1.1") -> bytes:
    lines = [f"{version} {status}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def answer(body: bytes = b"{}", status: str = "200 OK", headers: Mapping[str, str] | None = None) -> Behaviour:
    """A proper answer."""
    return says(head(status, {"Content-Length": str(len(body)), **(headers or {})}) + body)


def says(*pieces: bytes, pause: float = 0.0, then: Behaviour | None = None) -> Behaviour:
    """Exactly these bytes, a pause after each, after the whole request was read; then close, or what *then* does."""

    async def behave(connection: Connection) -> None:
        await connection.request()
        for piece in pieces:
            await connection.send(piece)
            if pause:
                await asyncio.sleep(pause)
        if then is not None:
            await then(connection)

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """The first connection meets the first behaviour, and so on; the last one stays."""
    count = 0

    async def behave(connection: Connection) -> None:
        nonlocal count
        chosen = behaviours[min(count, len(behaviours) - 1)]
        count += 1
        await chosen(connection)

    return behave


async def hold(connection: Connection) -> None:
    """Say nothing more until the far side hangs up."""
    await connection.drain_input()


async def reset(connection: Connection) -> None:
    connection.reset()


async def refuse_to_speak(connection: Connection) -> None:
    """Accept and say nothing; read nothing either."""
    await asyncio.sleep(3600)


async def drop(connection: Connection) -> None:
    """Accept and hang up at once, with whatever was sent unread."""


def early(status: str, body: bytes) -> Behaviour:
    """Answer as soon as the head is there, while the body is still coming; then take the rest of it in."""

    async def behave(connection: Connection) -> None:
        await connection.request(body=False)
        await connection.send(head(status, {"Content-Length": str(len(body)), "Connection": "close"}) + body)
        await connection.drain_input()

    return behave
