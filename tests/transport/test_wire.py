"""Requests on the wire: how one ends that its server does not read, and what every head states."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from batchgen.fault import Cause, ProviderError
from batchgen.providers.base import Call
from batchgen.transport import payload
from tests.rawserver import Connection, answer, drop, head, serve
from tests.timing import patience
from tests.transport.test_client import fault_of, kept, line_to, order, picture
from tests.transport.test_failures import own_socket

pytestmark = pytest.mark.usefixtures("no_proxies")

REFUSAL = b"not with this key"
#: More than the kernel takes for a server that does not read.
LARGE = 30_000_000


async def test_request_without_keep_alive_states_so(slot):
    async with serve(answer()) as server, line_to(server.url) as line:
        await line.send(order(line), slot, 5)
        await line.ask(Call(method="GET", url=line.profile.url("generate"), billed=False), 5)
    assert [request.headers["connection"] for request in server.requests] == ["close", "close"]


async def test_head_of_a_request_does_not_wait_for_its_files(slot, tmp_path, monkeypatch):
    """The limits count it as written when ``ready`` returns."""
    begun, run_sync = asyncio.Event(), payload.to_thread.run_sync

    async def behave(connection: Connection) -> None:
        first = await connection.reader.readuntil(b"\r\n\r\n")
        begun.set()
        length = int(first.lower().partition(b"content-length: ")[2].split()[0])
        await connection.reader.readexactly(length)
        await connection.send(head("200 OK", {"Content-Length": "2"}) + b"{}")

    async def run(*arguments: object) -> object:
        await begun.wait()
        return await run_sync(*arguments)

    async with serve(behave) as server, line_to(server.url) as line:
        monkeypatch.setattr(payload.to_thread, "run_sync", run)
        found = await line.send(order(line, json={"image": picture(tmp_path, 1000)}), slot, patience(5))
    assert (found.status, found.broken) == (200, None)


@pytest.mark.parametrize("refusal", [b"", head("413 Too Large", {"Content-Length": "17"}) + REFUSAL])
async def test_connection_of_a_request_that_was_given_up_is_closed(slot, tmp_path, refusal):
    """A close that waits until the request is sent would never end: the server does not read."""
    addresses = []

    async def behave(connection: Connection) -> None:
        addresses.append(connection.writer.get_extra_info("peername"))
        await connection.request(body=False)
        connection.writer.transport.pause_reading()
        await asyncio.sleep(0.2)
        await connection.send(refusal)
        await asyncio.sleep(3600)

    async with serve(behave) as server, line_to(server.url) as line:
        call = order(line, json={"image": picture(tmp_path, LARGE)})
        if refusal:
            assert (await line.send(call, slot, 5)).status == 413
        else:
            with pytest.raises(ProviderError, match="before the request was sent in full"):
                await line.send(call, slot, 1)
        await anyio.sleep(0.05)
        with pytest.raises(AssertionError, match="no socket"):
            own_socket(addresses[0])


CLOSED_SIDES = {"length": {"Content-Length": "17"}, "no length": {}}


@pytest.mark.parametrize("headers", CLOSED_SIDES.values(), ids=CLOSED_SIDES)
async def test_refusal_ends_where_the_server_closes_its_side(slot, tmp_path, headers):
    """The rest of the request stays unread meanwhile."""
    async with serve(closing_its_side(head("401 No", headers) + REFUSAL)) as server, line_to(server.url) as line:
        with anyio.fail_after(patience(5)):
            found = await line.send(order(line, json={"image": picture(tmp_path, LARGE)}), slot, 60)
    assert (found.status, found.broken) == (401, None)
    assert kept(slot).body == REFUSAL


async def test_request_ends_where_the_server_closes_its_side(slot, tmp_path):
    async with serve(closing_its_side(b"")) as server, line_to(server.url) as line:
        with anyio.fail_after(patience(5)):
            fault = await fault_of(line, slot, 60, json={"image": picture(tmp_path, LARGE)})
    assert fault.cause is Cause.UNREACHED
    assert "the connection was closed without an answer" in fault.message


def closing_its_side(data: bytes):
    async def behave(connection: Connection) -> None:
        await connection.request(body=False)
        connection.writer.transport.pause_reading()
        await asyncio.sleep(0.2)
        await connection.send(data)
        connection.writer.write_eof()
        await asyncio.sleep(3600)

    return behave


async def test_handshake_that_is_cut_off_has_a_reason(slot):
    async with serve(drop) as server, line_to(server.url.replace("http", "https")) as line:
        fault = await fault_of(line, slot, 20)
    assert fault.cause is Cause.UNREACHED
    assert "during the TLS handshake" in fault.message or "reset" in fault.message
