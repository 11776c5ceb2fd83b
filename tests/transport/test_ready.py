"""The last gate of a paid call: awaited on a connection that is made, before the first byte of the request."""

from __future__ import annotations

import anyio
import pytest

from batchgen.errors import StoreError
from batchgen.fault import Cause, Charged, ProviderError
from tests.rawserver import Connection, answer, closed_port, head, serve
from tests.transport.test_client import IMAGE, kept, line_to, order

pytestmark = pytest.mark.usefixtures("no_proxies")


async def test_ready_is_awaited_on_the_connection_before_the_first_byte(slot):
    seen, received = [], []

    async def behave(connection: Connection) -> None:
        received.append(await connection.reader.readexactly(1))
        await connection.reader.readuntil(b"a cat")
        await connection.send(head("200 OK", {"Content-Length": str(len(IMAGE))}) + IMAGE)

    async with serve(behave) as server, line_to(server.url) as line:

        async def ready() -> None:
            await anyio.sleep(0.2)
            seen.append((server.connections, list(received)))

        await line.send(order(line), slot, 5, ready)
    assert seen == [(1, [])]
    assert kept(slot).body == IMAGE


async def test_ready_does_not_count_against_the_deadline(slot):
    async with serve(answer(IMAGE)) as server, line_to(server.url) as line:
        found = await line.send(order(line), slot, 0.5, lambda: anyio.sleep(1))
    assert (found.status, found.broken) == (200, None)


async def test_ready_is_not_awaited_without_a_connection(slot):
    calls = []

    async def ready() -> None:
        calls.append(1)

    async with line_to(f"http://127.0.0.1:{closed_port()}") as line:
        with pytest.raises(ProviderError) as caught:
            await line.send(order(line), slot, 5, ready)
    assert caught.value.fault.cause is Cause.UNREACHED
    assert not calls


@pytest.mark.parametrize("error", [StoreError("the disk is full"), OSError("no"), RuntimeError("a bug")])
async def test_ready_that_fails_means_that_nothing_was_sent(slot, error):
    async def ready() -> None:
        raise error

    received = []

    async def count(connection: Connection) -> None:
        received.append(await connection.drain_input())

    async with serve(count) as server, line_to(server.url) as line:
        with pytest.raises(ProviderError) as caught:
            await line.send(order(line), slot, 5, ready)
        await server.hung_up.wait()
    fault = caught.value.fault
    assert (fault.cause, fault.charged) == (Cause.UNREACHED, Charged.NO)
    assert str(error) in fault.message
    assert received == [0]


async def test_ready_that_is_cancelled_means_that_nothing_was_sent(slot):
    faults = []

    async def send() -> None:
        try:
            await line.send(order(line), slot, 5, anyio.sleep_forever)
        except ProviderError as error:
            faults.append(error.fault)

    received = []

    async def count(connection: Connection) -> None:
        received.append(await connection.drain_input())

    async with serve(count) as server, line_to(server.url) as line:
        with anyio.move_on_after(0.3):
            await send()
        await server.hung_up.wait()
    (fault,) = faults
    assert (fault.cause, fault.charged) == (Cause.UNREACHED, Charged.NO)
    assert received == [0]


async def test_ready_is_awaited_again_if_the_server_hangs_up_meanwhile(slot):
    waits = []

    async def behave(connection: Connection) -> None:
        if len(waits) < 1:
            connection.reset()
        else:
            await answer(IMAGE)(connection)

    async with serve(behave) as server, line_to(server.url) as line:

        async def ready() -> None:
            await anyio.sleep(0.2)
            waits.append(1)

        found = await line.send(order(line), slot, 5, ready)
    assert found.status == 200
    assert (len(waits), len(server.requests)) == (2, 1)
