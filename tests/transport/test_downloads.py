"""Downloads: free, so tried again; only where they may go; never with the key."""

from __future__ import annotations

import errno
import itertools
import resource
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import anyio
import httpx
import pytest

from batchgen.errors import StoreError
from batchgen.fault import Cause, Charged, Fault, ProviderError
from batchgen.files.spool import Scratch, Spool
from batchgen.providers.presets import profile
from batchgen.transport import Transport, response
from batchgen.transport import download as downloads
from batchgen.transport.addresses import Resolver, is_public, private_literal
from tests.rawserver import Behaviour, Connection, answer, head, hold, in_turn, reset, says, serve

KEY = "sk-canary-4711-never-shown"
IMAGE = b"\x89PNG and so on"


TLS = httpx.create_ssl_context()


@pytest.fixture(autouse=True)
def at_once(monkeypatch, no_proxies):
    """Short pauses between tries, and the list of authorities read once."""
    monkeypatch.setattr(httpx, "create_ssl_context", lambda **_: TLS)
    monkeypatch.setattr(downloads, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(downloads, "LONGEST_WAIT", 0.05)


@pytest.fixture
def scratch(tmp_path) -> Iterator[Scratch]:
    with Spool(tmp_path / "spool").scratch() as opened:
        yield opened


@asynccontextmanager
async def transport_to(url: str, hosts: tuple[str, ...] = (), patience: float = 0.5) -> AsyncIterator[Transport]:
    settings = {"preset": "gateway", "base_url": url, "url_hosts": list(hosts), "timeout": {"download": patience}}
    studio = profile("studio", settings)
    async with Transport({"studio": studio}, {"studio": KEY}) as transport:
        yield transport


async def lost(transport: Transport, url: str, scratch: Scratch) -> Fault:
    with pytest.raises(ProviderError) as caught:
        await transport.client("studio").fetch(url, scratch)
    assert KEY not in f"{caught.value!r} {caught.value}"
    fault = caught.value.fault
    assert (fault.cause, fault.charged) == (Cause.SPOILED, Charged.YES)
    return fault


# --- the way there and back ---------------------------------------------------------------------------------------


async def test_result_is_fetched_without_key_cookie_or_referer(scratch):
    async with serve(answer(IMAGE, headers={"Set-Cookie": "a=1"})) as server, transport_to(server.url) as transport:
        for _ in range(2):
            found = await transport.client("studio").fetch(f"{server.url}/files/a.png?sig=1", scratch)
    assert (found.status, scratch.body()) == (200, IMAGE)
    for request in server.requests:
        assert (request.method, request.target) == ("GET", "/files/a.png?sig=1")
        assert not {"authorization", "cookie", "referer", "x-api-key"} & set(request.headers)
        assert KEY.encode() not in request.head
        assert request.headers["accept-encoding"] == "identity"


PASSING = ["503 Busy", "500 Oops", "502 Bad", "429 Slow", "408 Timeout", "425 Early", "403 Forbidden",
           "404 Not Found", "401 Unauthorized", "400 Bad Request", "409 Conflict", "418 Teapot"]  # fmt: skip


@pytest.mark.parametrize("status", PASSING)
async def test_a_passing_trouble_is_tried_again_until_it_works(scratch, status):
    behaviour = in_turn(answer(b"busy", status), answer(b"busy", status), answer(IMAGE))
    async with serve(behaviour) as server, transport_to(server.url, patience=30) as transport:
        await transport.client("studio").fetch(f"{server.url}/a", scratch)
    assert scratch.body() == IMAGE
    assert len(server.requests) == 3
    assert not status.startswith("5") or not any("authorization" in request.headers for request in server.requests)


NO_IMAGES = {
    "nothing": answer(b""),
    "nothing, 204": answer(b"", "204 No Content"),
    "a page": answer(b"\n<!DOCTYPE html><title>Just a moment</title>", headers={"Content-Type": "text/html"}),
    "a page called an image": answer(b"<HTML><body>busy</body></HTML>", headers={"Content-Type": "image/png"}),
    "JSON": answer(b' {"error": "not ready"}', headers={"Content-Type": "application/json"}),
    "XML": answer(b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'),
}


@pytest.mark.parametrize("behaviour", NO_IMAGES.values(), ids=NO_IMAGES)
async def test_what_is_plainly_no_image_is_asked_for_again(scratch, behaviour):
    turns = in_turn(behaviour, behaviour, answer(IMAGE))
    async with serve(turns) as server, transport_to(server.url, patience=30) as transport:
        await transport.client("studio").fetch(f"{server.url}/a", scratch)
    assert scratch.body() == IMAGE
    assert len(server.requests) == 3


@pytest.mark.parametrize("behaviour", NO_IMAGES.values(), ids=NO_IMAGES)
async def test_result_without_an_image_is_lost_but_not_finally(scratch, behaviour):
    async with serve(behaviour) as server, transport_to(server.url) as transport:
        fault = await lost(transport, f"{server.url}/a", scratch)
    assert not fault.final
    assert len(server.requests) > 3


ENDINGS = {"PNG": b"\x89PNG..IEND\xaeB`\x82", "JPEG": b"\xff\xd8..\xff\xd9", "padded JPEG": b"\xff\xd8..\xff\xd9\0\0\0",
           "GIF": b"GIF89a..\x00;", "WebP": b"RIFF\x06\0\0\0WEBPab"}  # fmt: skip


@pytest.mark.parametrize("image", ENDINGS.values(), ids=ENDINGS)
async def test_complete_image_is_whole_though_more_was_announced(scratch, image):
    too_long = says(head("200 OK", {"Content-Length": "500"}) + image)
    async with serve(too_long) as server, transport_to(server.url) as transport:
        await transport.client("studio").fetch(f"{server.url}/a", scratch)
    assert scratch.body() == image
    assert len(server.requests) == 1


async def test_truncated_image_is_left_to_the_image_reader(scratch):
    cut = says(head("200 OK", {"Content-Length": "500"}) + IMAGE)
    async with serve(cut) as server, transport_to(server.url) as transport:
        found = await transport.client("studio").fetch(f"{server.url}/a", scratch)
    assert "broke off" in (found.broken or "")
    assert scratch.body() == IMAGE
    assert len(server.requests) > 3


async def test_a_result_is_tried_for_two_minutes_and_more_quickly_at_first(scratch, monkeypatch):
    monkeypatch.undo()
    clock, begun = 0.0, []

    async def sleep(seconds: float) -> None:
        nonlocal clock
        clock += seconds

    monkeypatch.setattr(downloads, "sleep", sleep)
    monkeypatch.setattr(downloads, "current_time", lambda: clock)

    async def behave(connection: Connection) -> None:
        begun.append(clock)
        await answer(b"", "404 Not Found")(connection)

    defaults = profile("studio", {"preset": "gateway", "base_url": "http://127.0.0.1:9"})
    assert defaults.timeout.download == 150
    async with serve(behave) as server, transport_to(server.url, patience=150) as transport:
        fault = await lost(transport, f"{server.url}/a", scratch)
    assert not fault.final
    assert "HTTP 404, in all of 150 s" in fault.message
    assert 10 <= len(begun) <= 14
    assert begun[1] < 0.5
    assert begun[4] < 6
    assert 120 < begun[-1] <= 151
    assert max(after - before for before, after in itertools.pairwise(begun)) <= 37


@pytest.mark.parametrize(("stated", "pause"), [("7", 7), ("0", 0.3), ("3600", 60), ("soon", 0.3), ("9" * 400, 0.3)])
async def test_a_stated_wait_is_kept_within_reason(scratch, monkeypatch, stated, pause):
    monkeypatch.undo()
    pauses = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(downloads, "sleep", sleep)
    busy = answer(b"", "503 Busy", {"Retry-After": stated})
    async with serve(in_turn(busy, answer(IMAGE))) as server, transport_to(server.url, patience=100) as transport:
        await transport.client("studio").fetch(f"{server.url}/a", scratch)
    (slept,) = pauses
    assert pause * 0.79 < slept < pause * 1.21


BROKEN = {
    "reset": says(then=reset),
    "closed": says(),
    "short": says(head("200 OK", {"Content-Length": "500"}) + b"torn piece that is longer than the image"),
    "chunk": says(head("200 OK", {"Transfer-Encoding": "chunked"}) + b"20\r\ntorn"),
    "no http": says(b"hello\r\n\r\n"),
}


@pytest.mark.parametrize("behaviour", BROKEN.values(), ids=BROKEN)
async def test_a_broken_download_starts_over_from_nothing(scratch, behaviour):
    turns = in_turn(behaviour, behaviour, answer(IMAGE))
    async with serve(turns) as server, transport_to(server.url, patience=30) as transport:
        await transport.client("studio").fetch(f"{server.url}/a", scratch)
    assert scratch.body() == IMAGE
    assert len(server.requests) == 3


@pytest.mark.parametrize("behaviour", [answer(b"", "503 Busy"), *BROKEN.values()], ids=["503", *BROKEN])
async def test_a_result_that_never_comes_is_spoiled_and_charged(scratch, behaviour):
    async with serve(behaviour) as server, transport_to(server.url) as transport:
        fault = await lost(transport, f"{server.url}/a", scratch)
    assert len(server.requests) > 3
    assert not fault.final
    assert "the image was made" in fault.message
    assert f"{server.url}/a" in fault.message


async def test_a_result_that_is_gone_is_not_asked_for_again(scratch):
    async with serve(answer(b"no", "410 Gone")) as server, transport_to(server.url) as transport:
        fault = await lost(transport, f"{server.url}/a", scratch)
    assert "HTTP 410" in fault.message
    assert not fault.final
    assert len(server.requests) == 1


@pytest.mark.parametrize("raw", [b"", head("200 OK", {"Content-Length": "500"}) + b"x"], ids=["no head", "no end"])
async def test_a_stalled_download_ends_and_is_tried_again(scratch, monkeypatch, raw):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.1)
    async with serve(says(raw, then=hold)) as server, transport_to(server.url) as transport:
        with anyio.fail_after(5):
            await lost(transport, f"{server.url}/a", scratch)
    assert len(server.requests) > 1


# --- redirects ----------------------------------------------------------------------------------------------------


def moved(location: str, status: str = "302 Found") -> Behaviour:
    return answer(b"", status, {"Location": location})


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 Other", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize(
    "location", ["{url}/b/c.png?x=1", "/b/c.png?x=1", "c.png?x=1", "//127.0.0.1:{port}/b/c.png?x=1"]
)
async def test_a_redirect_within_the_origin_is_followed(scratch, status, location):
    async def behave(connection: Connection) -> None:
        url = f"http://127.0.0.1:{server.port}"
        await in_order(moved(location.format(url=url, port=server.port), status), answer(IMAGE))(connection)

    in_order = in_turn_of_one()
    async with serve(behave) as server, transport_to(server.url) as transport:
        await transport.client("studio").fetch(f"{server.url}/b/a.png", scratch)
    assert scratch.body() == IMAGE
    assert [request.target for request in server.requests] == ["/b/a.png", "/b/c.png?x=1"]
    assert not any("authorization" in request.headers for request in server.requests)


def in_turn_of_one() -> Callable[..., Behaviour]:
    """Return what gives each connection the next of the behaviours that are named anew each time."""
    count = itertools.count()
    return lambda *behaviours: behaviours[min(next(count), len(behaviours) - 1)]


async def test_a_redirect_without_end_is_given_up(scratch):
    async with serve(moved("/again")) as server, transport_to(server.url, patience=0.01) as transport:
        fault = await lost(transport, f"{server.url}/a", scratch)
    assert "redirected more than 10 times" in fault.message
    assert len(server.requests) <= 3 * 12


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("https://evil.com/a", "url_hosts"),
        ("https://127.0.0.1:{port}/a", "url_hosts"),
        ("https://[::1]/a", "url_hosts"),
        ("http://169.254.169.254/latest", "url_hosts"),
        ("http://localhost:{port}/a", "url_hosts"),
        ("http://127.0.0.1:{other}/a", "url_hosts"),
        ("https://user:pw@cdn.example.com/a", "url_hosts"),
        ("file:///etc/passwd", "url_hosts"),
        ("https://cdn.example.com:8443/a", "url_hosts"),
    ],
)
async def test_a_redirect_goes_only_where_a_result_may_be(scratch, location, why):
    async with serve(answer(IMAGE)) as other:

        async def behave(connection: Connection) -> None:
            await moved(location.format(port=server.port, other=other.port))(connection)

        async with serve(behave) as server, transport_to(server.url, ("cdn.example.com",)) as transport:
            fault = await lost(transport, f"{server.url}/a", scratch)
    assert why in fault.message
    assert "redirected to" in fault.message
    assert fault.final
    assert (len(server.requests), other.connections) == (1, 0)


async def test_a_listed_name_that_leads_to_this_machine_is_final(scratch):
    async with transport_to("https://gw.example.com", ("localhost",)) as transport:
        fault = await lost(transport, "https://localhost/a", scratch)
    assert "not a public address" in fault.message
    assert fault.final


@pytest.mark.parametrize(
    ("url", "before", "kept"),
    [("https://a/", None, True), ("http://a/", None, True), ("https://a/", "http://a/", True),
     ("http://a/", "http://a/", True), ("http://a/", "https://a/", False), ("https://a/", "https://b/", True)],
)  # fmt: skip
def test_no_redirect_leaves_tls(url, before, kept):
    assert downloads.keeps_tls(url, before) is kept


# --- the key ------------------------------------------------------------------------------------------------------


def asks_for_a_login(status: str) -> Behaviour:
    async def behave(connection: Connection) -> None:
        request = await connection.request()
        if request.headers.get("authorization") == f"Bearer {KEY}":
            await connection.send(head("200 OK", {"Content-Length": str(len(IMAGE))}) + IMAGE)
        else:
            await connection.send(head(status, {"Content-Length": "0"}))

    return behave


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_key_is_sent_to_the_providers_origin_on_request(scratch, status):
    async with serve(asks_for_a_login(status)) as server, transport_to(server.url, patience=30) as transport:
        await transport.client("studio").fetch(f"{server.url}/a", scratch)
    assert scratch.body() == IMAGE
    assert ["authorization" in request.headers for request in server.requests] == [False, True]


async def test_the_key_goes_nowhere_after_a_redirect(scratch):
    targets: list[tuple[str, bool]] = []

    async def behave(connection: Connection) -> None:
        request = await connection.request()
        targets.append((request.target, "authorization" in request.headers))
        if request.target == "/a" and "authorization" not in request.headers:
            await connection.send(head("401 Unauthorized", {"Content-Length": "0"}))
        elif request.target == "/a":
            await connection.send(head("302 Found", {"Location": "/b", "Content-Length": "0"}))
        else:
            await connection.send(head("401 Unauthorized", {"Content-Length": "0"}))

    async with serve(behave) as server, transport_to(server.url, patience=0.01) as transport:
        await lost(transport, f"{server.url}/a", scratch)
    assert targets[:3] == [("/a", False), ("/a", True), ("/b", False)]
    assert ("/b", True) not in targets


async def test_a_stranger_that_asks_for_a_login_gets_none(scratch):
    async with (
        serve(asks_for_a_login("401 Unauthorized")) as server,
        transport_to("https://gw.example.com") as transport,
    ):
        transport._clients["studio"] = replace(transport.client("studio"), public_http=transport.client("studio").http)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(transport.client("studio").profile), "may_fetch", lambda *_: True)
            patch.setattr("batchgen.transport.client.private_literal", lambda _: False)
            await lost(transport, f"{server.url}/a", scratch)
    assert server.requests
    assert not any("authorization" in request.headers for request in server.requests)


# --- the end of it ------------------------------------------------------------------------------------------------


async def test_a_download_over_the_cap_is_given_up(scratch, monkeypatch):
    monkeypatch.setattr(response, "MAX_BODY", 1000)
    async with serve(answer(b"x" * 5000)) as server, transport_to(server.url) as transport:
        fault = await lost(transport, f"{server.url}/a", scratch)
    assert "larger than 1000" in fault.message


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_is_this_machines_fault_and_not_the_results(scratch):
    async with serve(answer(b"x" * 500_000)) as server, transport_to(server.url) as transport:
        with file_limit(50_000), pytest.raises(StoreError, match="File too large"):
            await transport.client("studio").fetch(f"{server.url}/a", scratch)
    assert len(server.requests) == 1


async def test_a_download_can_be_cancelled(scratch):
    async with serve(says(then=hold)) as server, transport_to(server.url) as transport:
        with anyio.move_on_after(0.1) as scope:
            await transport.client("studio").fetch(f"{server.url}/a", scratch)
        assert scope.cancelled_caught
        with anyio.fail_after(2):
            await server.hung_up.wait()


async def test_a_download_is_cancelled_at_once_while_it_waits_to_try_again(scratch, monkeypatch):
    monkeypatch.setattr(downloads, "FIRST_WAIT", 20)
    async with serve(answer(b"", "503 Busy")) as server, transport_to(server.url, patience=60) as transport:
        start = anyio.current_time()
        with anyio.move_on_after(0.3) as scope:
            await transport.client("studio").fetch(f"{server.url}/a", scratch)
        assert scope.cancelled_caught
        assert anyio.current_time() - start < 1
    assert len(server.requests) == 1


# --- where a result may not be ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://cdn.example.com/a",
        "https://evil.com/a",
        "https://cdn.example.com.evil.com/a",
        "https://evilcdn.example.com/a",
        "https://cdn.example.com:8443/a",
        "https://cdn.example.com:80/a",
        "https://user@cdn.example.com/a",
        "https://user:pw@cdn.example.com/a",
        "https://@cdn.example.com/a",
        "https://evil.com#@cdn.example.com/a",
        "https://evil.com\\@cdn.example.com/a",
        "https:///a",
        "https://cdn.example.com:99999/a",
        "https://127.0.0.1/a",
        "https://[::1]/a",
        "https://169.254.169.254/latest/meta-data",
        "https://2130706433/a",
        "file:///etc/passwd",
        "ftp://cdn.example.com/a",
        "data:image/png;base64,AAAA",
        "//cdn.example.com/a",
        "cdn.example.com/a",
        "javascript:alert(1)",
        "",
    ],
)
async def test_a_result_elsewhere_is_refused_before_any_name_is_looked_up(scratch, monkeypatch, url):
    def no_lookup(*_args, **_kwargs):
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", no_lookup)
    async with transport_to("https://gw.example.com", ("cdn.example.com",)) as transport:
        fault = await lost(transport, url, scratch)
    assert "url_hosts" in fault.message
    assert fault.final


@pytest.mark.parametrize(
    "other", ["http://127.0.0.1:{port}/a", "http://localhost:{own}/a", "https://127.0.0.1:{own}/a"]
)
async def test_only_the_very_origin_of_the_provider_may_be_on_this_machine(scratch, other):
    async with serve(answer()) as stranger, serve(answer()) as server, transport_to(server.url, ("*",)) as transport:
        await lost(transport, other.format(port=stranger.port, own=server.port), scratch)
    assert (stranger.connections, server.connections) == (0, 0)


#: Ways to write 127.0.0.1 (or this machine) that one library or another understands.
DISGUISES = (
    "127.0.0.1",
    "localhost",
    "localhost.",
    "127.1",
    "127.0.1",
    "2130706433",
    "0177.0.0.1",
    "017700000001",
    "0x7f.1",
    "0x7f000001",
    "0",
    "0.0.0.0",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:0001]",
    "127\u30020\u30020\u30021",
    "127.0\uff0e0.1",
    "127.0.0\u30021",
    "127.0\uff610.1",
    "\uff11\uff12\uff17.0.0.1",
    "\u2460\u2461\u2466.0.0.1",
    "user@127.0.0.1",
    "127.0.0.1%2f",
)


async def test_no_disguise_of_this_machine_is_ever_connected_to(scratch, monkeypatch):
    monkeypatch.setattr("batchgen.transport.client.SOURCE_PATIENCE", 0.1)
    async with serve(answer(IMAGE)) as server, transport_to("https://gw.example.com", ("*",)) as transport:
        for host in DISGUISES:
            with pytest.raises(ProviderError) as caught:
                await transport.fetch_source(f"https://{host}:{server.port}/a.png", scratch)
            assert caught.value.fault.cause is Cause.INVALID, host
            assert caught.value.fault.hint
            assert server.connections == 0, host


async def test_no_disguise_gets_past_a_list_that_takes_any_name(scratch, monkeypatch):
    connected = []

    async def no_connect(_self, sock, address):
        connected.append(address)
        raise OSError(errno.ECONNREFUSED, "not in this test")

    monkeypatch.setattr("asyncio.selector_events.BaseSelectorEventLoop.sock_connect", no_connect)
    async with transport_to("https://gw.example.com", ("*",)) as transport:
        for host in DISGUISES:
            await lost(transport, f"https://{host}/a.png", scratch)
            assert connected == [], host


@pytest.mark.parametrize("url", ["http://example.com/a.png", "file:///etc/passwd", "ftp://example.com/a", "a.png", ""])
async def test_a_source_image_is_taken_over_https_only(scratch, url):
    async with transport_to("https://gw.example.com") as transport:
        with pytest.raises(ProviderError, match="it is not https") as caught:
            await transport.fetch_source(url, scratch)
    assert (caught.value.fault.cause, caught.value.fault.charged) == (Cause.INVALID, Charged.NO)


# --- addresses ----------------------------------------------------------------------------------------------------

PRIVATE = (
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.168.1.1", "198.18.0.1",
    "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::8.8.8.8",
    "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "2002:7f00:1::", "2002:808:808::1", "2001::1",
    "2001:db8::1", "fc00::1", "fd00::8", "fd00:ec2::254", "fe80::1", "fe80::1%lo", "fec0::1", "ff02::1",
    "ff0e::1",
)  # fmt: skip
PUBLIC = ("1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.32.0.1", "2606:4700:4700::1111",
          "2a00:1450:4001:80b::200e", "::ffff:8.8.8.8")  # fmt: skip


def test_an_address_that_is_not_on_the_open_internet_is_refused():
    for address in PRIVATE:
        assert not is_public(address), address
        bracketed = f"[{address.partition('%')[0]}]" if ":" in address else address
        assert private_literal(f"https://{bracketed}/a"), address


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_on_the_open_internet_is_taken(address):
    assert is_public(address)
    assert not private_literal(f"https://{f'[{address}]' if ':' in address else address}/a")


@pytest.mark.parametrize("name", ["localhost", "example.com", "", "256.1.1.1", "1.2.3"])
def test_a_name_is_no_address(name):
    with pytest.raises(ValueError):
        is_public(name)


@pytest.mark.parametrize(
    "url", ["https://example.com/a", "https://cdn.example.com:8443/a", "https://b\u00fccher.example/a"]
)
def test_a_name_is_no_private_literal(url):
    assert not private_literal(url)


def answer_lookups(monkeypatch, *addresses: str) -> list[str]:
    """Let every name have *addresses*; return the list to which each lookup is added."""
    lookups = []

    def getaddrinfo(host, port, *_args, **_options):
        lookups.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return lookups


async def test_the_resolver_hands_on_public_addresses_as_they_are(monkeypatch):
    answer_lookups(monkeypatch, "8.8.8.8", "2606:4700:4700::1111")
    found = await Resolver(public=True).resolve("cdn.example.com", 443)
    assert [address for *_, (address, _) in found] == ["8.8.8.8", "2606:4700:4700::1111"]


async def test_resolver_looks_a_name_up_once_for_many_calls(monkeypatch):
    lookups = answer_lookups(monkeypatch, "8.8.8.8")
    resolver = Resolver()
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(resolver.resolve, "cdn.example.com", 443)
    assert lookups == ["cdn.example.com"]
    resolver.forget("cdn.example.com", 443)
    await resolver.resolve("cdn.example.com", 443)
    assert len(lookups) == 2


async def test_resolver_does_not_remember_a_failure(monkeypatch):
    resolver = Resolver(public=True)
    answer_lookups(monkeypatch, "127.0.0.1")
    with pytest.raises(OSError, match="not a public address"):
        await resolver.resolve("cdn.example.com", 443)
    answer_lookups(monkeypatch, "8.8.8.8")
    assert await resolver.resolve("cdn.example.com", 443)


async def test_name_with_one_private_address_is_refused(monkeypatch):
    for address in PRIVATE:
        answer_lookups(monkeypatch, "8.8.8.8", address)
        with pytest.raises(OSError, match="not a public address"):
            await Resolver(public=True).resolve("cdn.example.com", 443)


async def test_the_name_of_this_machine_is_refused_by_the_real_resolver():
    with pytest.raises(OSError, match="localhost resolves to"):
        await Resolver(public=True).resolve("localhost", 443)
