"""The header of a key at the wire: each provider gets its own form, and no other host gets one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from batchgen.files.spool import Scratch, Spool
from batchgen.providers.base import Call
from batchgen.providers.presets import profile
from batchgen.transport import ProviderClient, Transport
from tests.rawserver import Behaviour, Connection, answer, head, serve

KEY = "canary-id-4711:canary-secret-never-shown"
IMAGE = b"\x89PNG and so on"
FORMS = {
    "bearer": ({}, "authorization", f"Bearer {KEY}"),
    "scheme": ({"value": "Key {key}"}, "authorization", f"Key {KEY}"),
    "header": ({"header": "x-key", "value": "{key}"}, "x-key", KEY),
}

pytestmark = pytest.mark.usefixtures("no_proxies")


@pytest.fixture
def scratch(tmp_path) -> Iterator[Scratch]:
    with Spool(tmp_path / "spool").scratch() as opened:
        yield opened


@asynccontextmanager
async def client_of(url: str, auth: dict[str, str]) -> AsyncIterator[ProviderClient]:
    settings = {"preset": "gateway", "base_url": url, "auth": auth, "query": {"api-version": "preview"}}
    async with Transport({"studio": profile("studio", settings)}, {"studio": KEY}) as transport:
        yield transport.client("studio")


@pytest.mark.parametrize("form", FORMS)
async def test_signed_call_carries_the_key_once_in_its_header(slot, form):
    auth, name, value = FORMS[form]
    async with serve(answer()) as server, client_of(server.url, auth) as client:
        await client.send(Call(method="POST", url=client.profile.url("generate"), json={}), slot, 5)
    (request,) = server.requests
    assert request.headers[name] == value
    assert request.target == "/api/v1/images/generations?api-version=preview"
    assert (request.head + request.body).count(KEY.encode()) == 1


@pytest.mark.parametrize("form", FORMS)
async def test_unsigned_call_carries_no_key(slot, form):
    async with serve(answer()) as server, client_of(server.url, FORMS[form][0]) as client:
        await client.send(Call(method="POST", url=client.profile.url("generate"), json={}, signed=False), slot, 5)
    assert KEY.encode() not in server.requests[0].head


@pytest.mark.parametrize("form", FORMS)
async def test_download_from_the_own_origin_gets_the_key_on_request(scratch, form):
    auth, name, value = FORMS[form]

    async def wants_the_key(connection: Connection) -> None:
        request = await connection.request()
        ok = request.headers.get(name) == value
        status, body = ("200 OK", IMAGE) if ok else ("401 Unauthorized", b"")
        await connection.send(head(status, {"Content-Length": str(len(body))}) + body)

    async with serve(wants_the_key) as server, client_of(server.url, auth) as client:
        await client.fetch(f"{server.url}/a.png", scratch, patience=30)
    assert [KEY.encode() in request.head for request in server.requests] == [False, True]


@pytest.mark.parametrize("form", FORMS)
async def test_key_that_is_sent_back_is_blacked_out(slot, form):
    async with serve(repeats()) as server, client_of(server.url, FORMS[form][0]) as client:
        found = await client.send(Call(method="POST", url=client.profile.url("generate"), json={}), slot, 5)
    assert KEY not in str(found.headers)
    assert KEY.encode() not in slot.path.read_bytes()


def repeats() -> Behaviour:
    async def behave(connection: Connection) -> None:
        request = await connection.request()
        await connection.send(head("200 OK", {"Content-Length": str(len(request.head)), "x-got": KEY}) + request.head)

    return behave
