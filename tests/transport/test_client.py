"""A paid call over real sockets: sent once, told truly, kept whole; the key goes one way only."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import resource
import socket
import ssl
import subprocess
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

import anyio
import httpx
import pytest

from batchgen.fault import Cause, Charged, Fault, ProviderError
from batchgen.files.slot import Slot
from batchgen.files.spool import Spool
from batchgen.providers.base import Call, DataUrl
from batchgen.providers.presets import profile
from batchgen.task import Source
from batchgen.transport import ProviderClient, Transport, decompressed, response
from batchgen.transport.client import CONNECT_TRIES
from tests.rawserver import (
    Behaviour,
    Connection,
    RawServer,
    answer,
    closed_port,
    drop,
    early,
    head,
    hold,
    refuse_to_speak,
    reset,
    says,
    serve,
)
from tests.timing import patience

KEY = "sk-canary-4711-never-shown"
IMAGE = b'{"data": [{"b64_json": "AAAA"}]}'
ZIPPED = gzip.compress(IMAGE, mtime=0)  # without the time of day: it stands in the names of tests

pytestmark = pytest.mark.usefixtures("no_proxies")


@asynccontextmanager
async def line_to(url: str, connect: float = 5, key: str = KEY) -> AsyncIterator[ProviderClient]:
    studio = profile("studio", {"preset": "gateway", "base_url": url, "timeout": {"connect": connect}})
    async with Transport({"studio": studio}, {"studio": key}) as transport:
        yield transport.client("studio")


def order(line: ProviderClient, **changes: object) -> Call:
    known: dict = {"method": "POST", "url": line.profile.url("generate"), "json": {"prompt": "a cat"}}
    if "path" in changes:
        known["url"] = line.profile.origin + str(changes.pop("path"))
    return Call(**{**known, **changes})


async def test_each_account_has_its_own_key_and_uses_no_other():
    studio = profile("studio", {"preset": "gateway", "base_url": "http://127.0.0.1:9"})
    async with Transport({"studio": studio}, {"studio": "one"}, {"studio": {"A": "one", "B": "two"}}) as transport:
        assert [transport.client("studio", account).key for account in (None, "A", "B")] == ["one", "one", "two"]
        with pytest.raises(KeyError):
            transport.client("studio", "C")


async def fault_of(line: ProviderClient, slot: Slot, deadline: float = 5, **changes: object) -> Fault:
    with pytest.raises(ProviderError) as caught:
        await line.send(order(line, **changes), slot, deadline)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert KEY not in f"{chain} {chain!r}"
        chain = chain.__cause__ or chain.__context__
    assert KEY not in repr(caught.value.fault)
    return caught.value.fault


def kept(slot: Slot):
    found = Spool(slot.path.parent).find(slot.path.stem)
    assert found is not None
    return found


def assert_unreached(fault: Fault) -> None:
    assert (fault.cause, fault.charged) == (Cause.UNREACHED, Charged.NO), fault


def assert_in_doubt(fault: Fault, server: RawServer) -> None:
    assert (fault.cause, fault.charged) == (Cause.UNKNOWN, Charged.MAYBE), fault
    assert (server.connections, len(server.requests)) == (1, 1)


# --- what arrives -------------------------------------------------------------------------------------------------


async def test_a_whole_answer_lies_sealed_in_the_slot(slot):
    async with serve(answer(IMAGE, headers={"X-Request-Id": "r-1"})) as server, line_to(server.url) as line:
        found = await line.send(order(line), slot, 5)
    assert (found.status, found.headers["x-request-id"]) == (200, "r-1")
    assert slot.body() == IMAGE
    assert kept(slot).sealed
    (request,) = server.requests
    assert (request.method, json.loads(request.body)) == ("POST", {"prompt": "a cat"})
    assert request.headers["content-length"] == str(len(request.body))
    assert "transfer-encoding" not in request.headers


async def test_no_compression_is_asked_for(slot):
    async with serve(answer()) as server, line_to(server.url) as line:
        await line.send(order(line), slot, 5)
    assert server.requests[0].headers["accept-encoding"] == "identity"


async def test_a_waiting_call_keeps_no_request_in_memory(slot):
    arrived, seen = asyncio.Event(), asyncio.Event()

    async def late(connection: Connection) -> None:
        await connection.request()
        arrived.set()
        await seen.wait()
        await connection.send(head("200 OK", {"Content-Length": str(len(IMAGE))}) + IMAGE)

    async with serve(late) as server, line_to(server.url) as line, anyio.create_task_group() as calls:
        calls.start_soon(line.send, order(line), slot, 10.0)
        await arrived.wait()
        gc.collect()  # what earlier tests left; other clients may keep requests of their own
        requests = [one for one in gc.get_objects() if isinstance(one, httpx.Request)]
        assert not [one for one in requests if str(one.url).startswith(server.url)]
        seen.set()
    assert kept(slot).sealed


async def test_every_paid_call_has_a_connection_of_its_own(tmp_path):
    spool = Spool(tmp_path)
    async with serve(answer()) as server, line_to(server.url) as line:
        for number in range(3):
            with spool.open(str(number), {}, 100) as slot:
                await line.send(order(line), slot, 5)
    assert server.connections == 3


WHOLE = {
    "chunked": head("200 OK", {"Transfer-Encoding": "chunked"}) + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
    "closed at the end": head("200 OK", {"Connection": "close"}, version="HTTP/1.0") + b"abcde",
    "an interim answer first": head("103 Early Hints") + head("200 OK", {"Content-Length": "5"}) + b"abcde",
}  # fmt: skip


@pytest.mark.parametrize("raw", WHOLE.values(), ids=WHOLE)
async def test_a_body_ends_where_http_says_it_ends(slot, raw):
    async with serve(says(raw)) as server, line_to(server.url) as line:
        found = await line.send(order(line), slot, 5)
    assert found.status == 200
    assert kept(slot).body == b"abcde"
    assert kept(slot).sealed
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "status", ["201 Created", "204 No Content", "206 Partial", "304 Not Modified", "400 Bad", "429 Slow", "500 Oops",
               "503 Busy", "529 Overloaded"]
)  # fmt: skip
async def test_every_status_is_an_answer(slot, status):
    async with (
        serve(says(head(status, {"Content-Length": "0", "Retry-After": "7"}))) as server,
        line_to(server.url) as line,
    ):
        found = await line.send(order(line), slot, 5)
    assert (found.status, found.headers["retry-after"]) == (int(status[:3]), "7")
    assert kept(slot).sealed
    assert len(server.requests) == 1


@pytest.mark.parametrize("location", ["http://127.0.0.1:{port}/elsewhere", "//127.0.0.1:{port}/", "/same-host"])
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_never_followed(slot, status, location):
    async with serve(answer()) as other:
        moved = answer(b"", status, {"Location": location.format(port=other.port)})
        async with serve(moved) as server, line_to(server.url) as line:
            found = await line.send(order(line), slot, 5)
    assert found.status == int(status[:3])
    assert (len(server.requests), other.connections) == (1, 0)


async def test_what_follows_an_answer_is_no_part_of_it(slot):
    raw = (head("200 OK", {"Content-Length": "5"}) + b"abcde", b"EXTRA")
    async with serve(says(*raw, pause=0.1)) as server, line_to(server.url) as line:
        await line.send(order(line), slot, 5)
    assert kept(slot).body == b"abcde"
    assert kept(slot).sealed


BROKEN_ERRORS = {
    "short": says(head("429 Slow", {"Content-Length": "500", "Retry-After": "9"}) + b'{"error":'),
    "reset": says(
        head("429 Slow", {"Content-Length": "500", "Retry-After": "9"}) + b'{"error":', pause=0.1, then=reset
    ),
    "chunk": says(head("429 Slow", {"Transfer-Encoding": "chunked", "Retry-After": "9"}) + b"9\r\n{" + b'"error":\r\n'),
    "bad chunk": says(
        head("429 Slow", {"Transfer-Encoding": "chunked", "Retry-After": "9"}), b"zz\r\nx\r\n", pause=0.1
    ),
}


@pytest.mark.parametrize("behaviour", BROKEN_ERRORS.values(), ids=BROKEN_ERRORS)
async def test_error_answer_is_read_though_its_body_breaks_off(slot, behaviour):
    async with serve(behaviour) as server, line_to(server.url) as line:
        found = await line.send(order(line), slot, 1)
    assert (found.status, found.headers["retry-after"]) == (429, "9")
    assert kept(slot).status == 429
    assert len(server.requests) == 1


async def test_an_error_answer_that_stalls_is_reported_at_the_deadline(slot):
    behaviour = says(head("503 Busy", {"Content-Length": "500"}) + b"{", then=hold)
    async with serve(behaviour) as server, line_to(server.url) as line:
        found = await line.send(order(line), slot, 0.3)
    assert found.status == 503


async def test_an_early_refusal_is_heard_while_the_body_is_still_going_out(slot, tmp_path):
    body = b'{"error": "too large"}'
    async with serve(early("413 Too Large", body)) as server, line_to(server.url) as line:
        found = await line.send(order(line, json={"image": picture(tmp_path, 20_000_000)}), slot, 10)
    assert found.status == 413
    assert kept(slot).body == body
    assert server.connections == 1


# --- what never left ----------------------------------------------------------------------------------------------


async def test_a_refused_connection_is_unreached(slot):
    async with line_to(f"http://127.0.0.1:{closed_port()}") as line:
        fault = await fault_of(line, slot)
    assert_unreached(fault)
    assert "nothing was sent" in fault.hint
    assert kept(slot).status is None


async def test_a_name_that_does_not_exist_is_unreached(slot):
    async with line_to("https://batchgen-test.invalid") as line:
        assert_unreached(await fault_of(line, slot, 20))


async def test_a_connection_that_is_never_accepted_is_unreached(slot):
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        async with line_to(f"http://127.0.0.1:{full.getsockname()[1]}", connect=0.2) as line:
            assert_unreached(await fault_of(line, slot, 20))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A certificate that nobody signed."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:api.batchgen-test.invalid",
         "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


def behind_tls(certificate: Path, behaviour: Behaviour) -> Behaviour:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")

    async def behave(connection: Connection) -> None:
        await connection.writer.start_tls(context)
        await behaviour(connection)

    return behave


async def test_unverified_certificate_is_final_after_one_connection(slot, certificate):
    guarded = behind_tls(certificate, answer())
    async with serve(guarded) as server, line_to(server.url.replace("http", "https")) as line:
        fault = await fault_of(line, slot, 20)
    assert_unreached(fault)
    assert fault.final
    assert fault.message == "the certificate of 127.0.0.1 cannot be verified: self-signed certificate"
    assert "SSL_CERT_FILE" in fault.hint
    assert (server.connections, server.requests) == (1, [])


async def test_a_certificate_of_another_host_is_final_after_one_connection(slot, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    guarded = behind_tls(certificate, answer())
    async with serve(guarded) as server, line_to(server.url.replace("http://127.0.0.1", "https://localhost")) as line:
        fault = await fault_of(line, slot, 20)
    assert_unreached(fault)
    assert fault.final
    assert "the certificate of localhost cannot be verified: Hostname mismatch" in fault.message
    assert (server.connections, server.requests) == (1, [])


async def test_a_certificate_is_believed_that_the_system_knows(slot, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    guarded = behind_tls(certificate, answer(IMAGE))
    async with serve(guarded) as server, line_to(server.url.replace("http", "https")) as line:
        await line.send(order(line), slot, 5)
    assert slot.body() == IMAGE


async def nonsense(connection: Connection) -> None:
    await connection.send(b"SSH-2.0-OpenSSH_9.6\r\n")
    await connection.drain_input()


async def test_no_tls_where_tls_belongs_is_unreached(slot):
    async with serve(nonsense) as server, line_to(server.url.replace("http", "https")) as line:
        assert_unreached(await fault_of(line, slot, 20))
    assert server.connections == CONNECT_TRIES


async def test_a_tls_handshake_that_stalls_ends_with_the_connect_timeout(slot):
    async with serve(refuse_to_speak) as server, line_to(server.url.replace("http", "https"), connect=0.2) as line:
        assert_unreached(await fault_of(line, slot, 20))
    assert server.connections == CONNECT_TRIES


async def test_a_connection_that_comes_at_the_second_try_sends_once(slot, certificate):
    count = 0

    async def behave(connection: Connection) -> None:
        nonlocal count
        count += 1
        if count == 1:
            await nonsense(connection)
        else:
            await behind_tls(certificate, answer(IMAGE))(connection)

    async with serve(behave) as server:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
            async with line_to(server.url.replace("http", "https")) as line:
                await line.send(order(line), slot, 10)
    assert (server.connections, len(server.requests)) == (2, 1)
    assert slot.body() == IMAGE


@pytest.mark.parametrize(
    ("refusal", "final"),
    [("403 Forbidden", True), ("407 Proxy Authentication Required", True), ("502 Bad Gateway", False)],
)
async def test_a_proxy_that_refuses_leaves_the_call_unsent(slot, monkeypatch, refusal, final):
    async with serve(answer(b"no", refusal)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http://", "http://user:s3cret-pw@"))
        async with line_to("https://api.batchgen-test.invalid") as line:
            fault = await fault_of(line, slot, 20)
    assert_unreached(fault)
    assert fault.final is final
    assert f"HTTP {refusal[:3]}" in fault.message
    assert "s3cret-pw" not in repr(fault)
    assert proxy.connections == (1 if final else CONNECT_TRIES)
    assert {(request.method, request.target) for request in proxy.requests} == {
        ("CONNECT", "api.batchgen-test.invalid:443")
    }
    assert proxy.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpzM2NyZXQtcHc="
    assert not any(KEY.encode() in request.head for request in proxy.requests)


UNUSABLE = {
    "socks5://user:s3cret-pw@127.0.0.1:9": "socks5 proxies are not supported",
    "socks5h://127.0.0.1:9": "socks5h proxies are not supported",
    "127.0.0.1:9": "it has no scheme; write http://127.0.0.1:9",
    "user:s3cret-pw@proxy.example:3128": "it has no scheme; write http://proxy.example:3128",
    "http://user:s3cret-pw@proxy.example:port": "it is not a valid URL",
    "http://": "it has no host",
}


@pytest.mark.parametrize(("proxy", "why"), UNUSABLE.items(), ids=UNUSABLE)
async def test_unusable_proxy_is_final_and_hides_its_password(slot, monkeypatch, proxy, why):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    async with line_to("https://api.batchgen-test.invalid") as line:
        start = anyio.current_time()
        fault = await fault_of(line, slot, 20)
        assert anyio.current_time() - start < 1
    assert_unreached(fault)
    assert fault.final
    assert "HTTPS_PROXY" in fault.message
    assert why in fault.message
    assert "s3cret" not in repr(fault)


TUNNELS = {
    "bare": head(),
    "empty body": head(headers={"Content-Length": "0"}),
    "body": head(headers={"Content-Length": "5"}) + b"hello",
}


@pytest.mark.parametrize("opened", TUNNELS.values(), ids=TUNNELS)
async def test_a_call_goes_through_a_proxy_that_is_itself_reached_over_tls(slot, certificate, monkeypatch, opened):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))

    async def tunnel(connection: Connection) -> None:
        assert (await connection.request()).method == "CONNECT"
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with closing(writer):
            await connection.send(opened)
            back = asyncio.create_task(copied(reader, connection.writer))
            await copied(connection.reader, writer)
            await back

    async with serve(behind_tls(certificate, answer(IMAGE))) as server, serve(behind_tls(certificate, tunnel)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http", "https"))
        async with line_to("https://api.batchgen-test.invalid") as line:
            await line.send(order(line), slot, 5)
    assert slot.body() == IMAGE
    assert (len(server.requests), [request.method for request in proxy.requests]) == (1, ["CONNECT"])


async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()


async def test_no_proxy_names_hosts_that_are_reached_without_one(slot, monkeypatch):
    async with serve(answer()) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", ".batchgen-test.invalid")
        async with line_to("https://api.batchgen-test.invalid") as line:
            assert not (await fault_of(line, slot, 20)).final
    assert proxy.connections == 0


async def test_a_body_that_did_not_go_out_whole_is_unreached(slot, tmp_path):
    async with serve(refuse_to_speak) as server, line_to(server.url) as line:
        fault = await fault_of(line, slot, 0.6, json={"image": picture(tmp_path, 30_000_000)})
    assert_unreached(fault)
    assert "before the request was sent in full" in fault.message
    assert server.connections == 1


# --- what nobody can know -----------------------------------------------------------------------------------------


ENDS = {
    "reset before the answer": says(then=reset),
    "closed without an answer": says(),
    "half a head": says(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "no http": says(b"220 mail.example.com ESMTP\r\n\r\n"),
    "200 kB in one header": says(head("200 OK", {"X-Long": "x" * 200_000, "Content-Length": "2"}) + b"{}"),
}


@pytest.mark.parametrize("behaviour", ENDS.values(), ids=ENDS)
async def test_call_without_a_readable_head_is_unknown_and_sent_once(slot, behaviour):
    async with serve(behaviour) as server, line_to(server.url) as line:
        assert_in_doubt(await fault_of(line, slot, 1), server)
    assert not kept(slot).sealed


CHUNKED = head("200 OK", {"Transfer-Encoding": "chunked"})
#: What breaks off, and what came of it.
BROKEN = {
    "body short": (says(head("200 OK", {"Content-Length": "500"}) + IMAGE), IMAGE),
    "reset in the body": (says(head("200 OK", {"Content-Length": "500"}) + IMAGE, pause=0.1, then=reset), IMAGE),
    "chunked and cut": (says(CHUNKED + b"200\r\n" + IMAGE), IMAGE),
    "no last chunk": (says(CHUNKED + b"%x\r\n%s\r\n" % (len(IMAGE), IMAGE)), IMAGE),
    "illegal chunk size": (says(CHUNKED + b"3\r\nabc\r\nxyz\r\n"), b"abcxyz\r\n"),
    "illegal chunk later": (says(CHUNKED, b"3\r\nabc\r\n", b"xyz\r\n", pause=0.1), b"abcxyz\r\n"),
    "nothing but a head": (says(head("200 OK", {"Content-Length": "500"})), b""),
}


@pytest.mark.parametrize(("behaviour", "came"), BROKEN.values(), ids=BROKEN)
async def test_broken_answer_is_kept_without_a_seal(slot, behaviour, came):
    async with serve(behaviour) as server, line_to(server.url) as line:
        found = await line.send(order(line), slot, 5)
    assert found.status == 200
    assert found.broken is not None
    assert f"broke off after {len(came)} bytes: the connection was" in found.broken
    assert (kept(slot).status, kept(slot).body, kept(slot).sealed) == (200, came, False)
    assert (server.connections, len(server.requests)) == (1, 1)


async def test_a_connection_dropped_unread_never_sends_twice(slot):
    async with serve(drop) as server, line_to(server.url) as line:
        fault = await fault_of(line, slot)
    assert fault.cause is Cause.UNKNOWN
    assert server.connections == 1


SLOW = {
    "no head": says(then=hold),
    "half a head": says(b"HTTP/1.1 200 OK\r\n", then=hold),
    "head byte by byte": says(*(bytes([b]) for b in head("200 OK", {"X": "y" * 100})), pause=0.04, then=hold),
}


@pytest.mark.parametrize("behaviour", SLOW.values(), ids=SLOW)
async def test_a_slow_answer_ends_with_the_deadline_and_is_unknown(slot, behaviour):
    async with serve(behaviour) as server, line_to(server.url) as line:
        start = anyio.current_time()
        fault = await fault_of(line, slot, 0.5)
        assert 0.45 <= anyio.current_time() - start < patience(1.5)
    assert_in_doubt(fault, server)


SLOW_BODIES = {
    "stalled": says(head("200 OK", {"Content-Length": "500"}) + b"{", then=hold),
    "byte by byte": says(head("200 OK", {"Content-Length": "500"}), *[b"x"] * 100, pause=0.04, then=hold),
}


@pytest.mark.parametrize("behaviour", SLOW_BODIES.values(), ids=SLOW_BODIES)
async def test_slow_body_ends_at_the_deadline_and_is_kept(slot, behaviour):
    async with serve(behaviour) as server, line_to(server.url) as line:
        start = anyio.current_time()
        found = await line.send(order(line), slot, 0.5)
        assert 0.45 <= anyio.current_time() - start < patience(1.5)
    assert "until the deadline" in (found.broken or "")
    assert not kept(slot).sealed
    assert kept(slot).body
    assert (server.connections, len(server.requests)) == (1, 1)


async def test_slow_body_arrives_within_its_deadline(slot):
    pieces = [b"x" * 10] * 10
    slow = says(head("200 OK", {"Content-Length": "100"}), *pieces, pause=0.03)
    async with serve(slow) as server, line_to(server.url) as line:
        await line.send(order(line), slot, 5)
    assert kept(slot).sealed


# --- a source image that changes under way ------------------------------------------------------------------------


def picture(tmp_path: Path, size: int) -> DataUrl:
    path = tmp_path / "source.png"
    with path.open("wb") as found:
        found.truncate(size)
    return DataUrl(source=Source(path=str(path), mime="image/png", size_bytes=size))


def cut(path: Path) -> None:
    with path.open("r+b") as found:
        found.truncate(100)


def lengthen(path: Path) -> None:
    with path.open("ab") as found:
        found.write(b"x" * 100_000)


@pytest.mark.parametrize("mishap", [cut, lengthen])
async def test_source_changed_while_sent_is_invalid(slot, tmp_path, mishap):
    counts = []

    async def behave(connection: Connection) -> None:
        request = await connection.request(body=False)
        mishap(tmp_path / "source.png")
        counts.append((int(request.headers["content-length"]), await connection.drain_input()))

    async with serve(behave) as server, line_to(server.url) as line:
        fault = await fault_of(line, slot, 10, json={"image": picture(tmp_path, 20_000_000)})
        with anyio.fail_after(5):
            await server.hung_up.wait()
    assert (fault.cause, fault.charged) == (Cause.INVALID, Charged.NO)
    assert "changed while it was being sent" in fault.message
    ((announced, came),) = counts
    assert came < announced


# --- the key ------------------------------------------------------------------------------------------------------


async def test_the_key_stands_once_in_the_authorization_of_a_signed_call(slot):
    async with serve(answer()) as server, line_to(server.url) as line:
        assert KEY not in repr(line)
        await line.send(order(line), slot, 5)
    (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert (request.head + request.body).count(KEY.encode()) == 1


@pytest.mark.parametrize(("signed", "key"), [(False, KEY), (True, ""), (False, "")])
async def test_an_unsigned_call_or_an_empty_key_has_no_authorization(slot, signed, key):
    async with serve(answer()) as server, line_to(server.url, key=key) as line:
        await line.send(order(line, signed=signed), slot, 5)
    assert "authorization" not in server.requests[0].headers


async def test_cookies_are_neither_kept_nor_sent(tmp_path):
    spool = Spool(tmp_path)
    async with serve(answer(headers={"Set-Cookie": "session=1; Path=/"})) as server, line_to(server.url) as line:
        for number in range(2):
            with spool.open(str(number), {}, 100) as slot:
                await line.send(order(line), slot, 5)
    assert not any("cookie" in request.headers for request in server.requests)


async def test_the_key_is_not_in_the_spool(slot):
    async with serve(answer(IMAGE)) as server, line_to(server.url) as line:
        await line.send(order(line), slot, 5)
    assert KEY.encode() not in slot.path.read_bytes()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"])
async def test_a_proxy_of_the_environment_is_not_used_for_this_machine(slot, monkeypatch, name):
    async with serve(answer(b"proxy")) as proxy, serve(answer(IMAGE)) as server:
        monkeypatch.setenv(name, proxy.url)
        async with line_to(server.url) as line:
            await line.send(order(line), slot, 5)
    assert (proxy.connections, len(server.requests)) == (0, 1)


# --- cancellation -------------------------------------------------------------------------------------------------


async def test_a_call_can_be_cancelled_while_its_head_is_awaited(slot):
    async with serve(says(then=hold)) as server, line_to(server.url) as line:
        start = anyio.current_time()
        with anyio.move_on_after(0.2) as scope:
            await line.send(order(line), slot, 30)
        assert scope.cancelled_caught
        assert anyio.current_time() - start < 1
        with anyio.fail_after(2):
            await server.hung_up.wait()
    assert kept(slot).status is None


async def test_begun_answer_is_received_whole_before_cancellation(slot):
    pieces = [b"y" * 100] * 10
    slow = says(head("200 OK", {"Content-Length": "1000"}), *pieces, pause=0.05)
    async with serve(slow) as server, line_to(server.url) as line:
        with anyio.move_on_after(0.15) as scope:
            await line.send(order(line), slot, 30)
            await anyio.lowlevel.checkpoint()
        assert scope.cancelled_caught
    assert kept(slot).sealed
    assert kept(slot).body == b"y" * 1000


async def test_begun_answer_ends_at_its_deadline_when_cancelled(slot):
    stalled = says(head("200 OK", {"Content-Length": "1000"}) + b"y", then=hold)
    async with serve(stalled) as server, line_to(server.url) as line:
        start = anyio.current_time()
        with anyio.move_on_after(0.1):
            found = await line.send(order(line), slot, 0.5)
        assert 0.45 < anyio.current_time() - start < patience(1.5)
    assert found.broken
    assert not kept(slot).sealed


# --- size ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["200 OK", "500 Oops"])
async def test_an_answer_over_the_cap_is_spoiled_and_charged(slot, monkeypatch, status):
    monkeypatch.setattr(response, "MAX_BODY", 10_000)
    async with serve(answer(b"x" * 50_000, status)) as server, line_to(server.url) as line:
        fault = await fault_of(line, slot)
    assert (fault.cause, fault.charged) == (Cause.SPOILED, Charged.YES)
    assert "10000 bytes" in fault.message
    assert len(kept(slot).body) <= 10_000


async def test_an_answer_as_large_as_the_cap_is_taken(slot, monkeypatch):
    monkeypatch.setattr(response, "MAX_BODY", 10_000)
    async with serve(answer(b"x" * 10_000)) as server, line_to(server.url) as line:
        await line.send(order(line), slot, 5)
    assert kept(slot).sealed


async def test_a_large_answer_is_taken_in_flat_memory(slot):
    piece, count = b"z" * 65_536, 600

    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.send(head("200 OK", {"Content-Length": str(len(piece) * count)}))
        for _ in range(count):
            await connection.send(piece)

    async with serve(behave) as server, line_to(server.url) as line:
        tracemalloc.start()
        try:
            await line.send(order(line), slot, 30)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert kept(slot).sealed
    assert len(kept(slot).body) == len(piece) * count
    assert peak < 8_000_000


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_an_answer_that_the_disk_does_not_take_is_still_read_whole(slot):
    body = b"x" * 500_000
    async with serve(answer(body)) as server, line_to(server.url) as line:
        with file_limit(150_000):
            await line.send(order(line), slot, 5)
    assert slot.error is not None
    assert slot.body() == body
    assert not kept(slot).sealed


# --- compression nobody asked for ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coding", "body"),
    [("gzip", ZIPPED), ("x-gzip", ZIPPED), ("GZIP ", ZIPPED),
     ("deflate", zlib.compress(IMAGE)), ("identity", IMAGE), ("", IMAGE)],
)  # fmt: skip
async def test_unrequested_compression_is_kept_raw_and_decoded_later(slot, coding, body):
    async with serve(answer(body, headers={"Content-Encoding": coding})) as server, line_to(server.url) as line:
        found = await line.send(order(line), slot, 5)
    assert slot.body() == body
    assert decompressed(slot.body(), found.headers) == IMAGE


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


PNG = b"\x89PNG\r\n\x1a\n and so on"
READABLE = {
    "several members": ("gzip", gzip.compress(IMAGE[:9], mtime=0) + gzip.compress(IMAGE[9:], mtime=0), IMAGE),
    "an end cut off": ("gzip", ZIPPED[:-8], IMAGE),
    "a wrong checksum": ("gzip", ZIPPED[:-8] + bytes(8), IMAGE),
    "padding after it": ("gzip", ZIPPED + bytes(20), IMAGE),
    "twice": ("gzip, gzip", gzip.compress(ZIPPED, mtime=0), IMAGE),
    "two kinds": ("deflate, GZIP", gzip.compress(zlib.compress(IMAGE), mtime=0), IMAGE),
    "raw deflate": ("deflate", raw_deflate(IMAGE), IMAGE),
    "upper case": ("DEFLATE", raw_deflate(IMAGE), IMAGE),
    "gzip called deflate": ("deflate", ZIPPED, IMAGE),
    "not announced": ("", ZIPPED, IMAGE),
    "zlib, not announced": ("identity", zlib.compress(IMAGE), IMAGE),
    "announced as another": ("br", ZIPPED, IMAGE),
    "gzip announced over plain text": ("gzip", IMAGE, IMAGE),
    "deflate announced over plain text": ("deflate", IMAGE, IMAGE),
    "brotli announced over plain text": ("br", IMAGE, IMAGE),
    "gzip announced over an image": ("gzip", PNG, PNG),
    "deflate announced over an image": ("deflate", PNG, PNG),
    "a coding that there is not": ("aws-chunked", IMAGE, IMAGE),
    "nothing": ("gzip", b"", b""),
    "nothing, compressed": ("gzip", gzip.compress(b"", mtime=0), b""),
}


@pytest.mark.parametrize(("coding", "body", "right"), READABLE.values(), ids=READABLE)
def test_a_body_is_read_whatever_was_announced_of_its_compression(coding, body, right):
    assert decompressed(body, {"content-encoding": coding}) == right


def test_a_large_body_with_a_wrong_checksum_is_read_to_its_end():
    body = b"".join(b"%d," % number for number in range(400_000))
    assert decompressed(gzip.compress(body)[:-8] + bytes(8), {"content-encoding": "gzip"}) == body


@pytest.mark.parametrize(
    ("coding", "body"), [("br", b"\x8b\x02\x80abc\x03"), ("zstd", b"\x28\xb5\x2f\xfd"), ("", b"\x28\xb5\x2f\xfd")]
)
def test_undecodable_compression_is_spoiled_charged_and_final(coding, body):
    with pytest.raises(ProviderError) as caught:
        decompressed(body, {"content-encoding": coding})
    fault = caught.value.fault
    assert (fault.cause, fault.charged, fault.final) == (Cause.SPOILED, Charged.YES, True)
    assert "cannot be read" in fault.message


def test_a_compression_bomb_is_refused_in_bounded_memory(monkeypatch):
    monkeypatch.setattr(response, "MAX_BODY", 1_000_000)
    bomb = gzip.compress(bytes(60_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(ProviderError) as caught:
            decompressed(bomb, {"content-encoding": "gzip"})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.fault.cause is Cause.SPOILED
    assert peak < 8_000_000


async def test_nothing_is_left_open_when_all_of_it_went_wrong(slot):
    """Whatever was not closed would be a warning, and so a failure, when it is collected."""
    for behaviour in (BROKEN["body short"][0], says(then=reset), BROKEN_ERRORS["reset"]):
        async with serve(behaviour) as server, line_to(server.url) as line:
            with anyio.move_on_after(2):
                with suppress(ProviderError):
                    await line.send(order(line), slot, 1)
    await asyncio.sleep(0)
