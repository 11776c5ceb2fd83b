"""Downloads: free, so tried again; only where they may go; never with the key."""

from __future__ import annotations

import errno
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import httpx
import pytest
from tenacity import wait_none

from batchgen.errors import StoreError
from batchgen.fault import Cause, Charged, Fault, ProviderError
from batchgen.providers.presets import profile
from batchgen.spool import Scratch, Spool
from batchgen.transport import Transport, reading
from batchgen.transport import download as downloads
from batchgen.transport.download import TRIES, PublicResolver, is_public, private_literal
from tests.rawserver import answer, head, hold, in_turn, reset, says, serve

KEY = "sk-canary-4711-never-shown"
IMAGE = b"\x89PNG and so on"


TLS = httpx.create_ssl_context()


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """No pauses between tries, no proxies, and the list of authorities read once."""
    monkeypatch.setattr(httpx, "create_ssl_context", lambda **_: TLS)
    monkeypatch.setattr(downloads, "wait_random_exponential", lambda **_: wait_none())
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def scratch(tmp_path) -> Iterator[Scratch]:
    with Spool(tmp_path / "spool").scratch() as opened:
        yield opened


@asynccontextmanager
async def transport_to(url: str, hosts: tuple[str, ...] = ()) -> AsyncIterator[Transport]:
    studio = profile("studio", {"preset": "gateway", "base_url": url, "url_hosts": list(hosts)})
    async with Transport({"studio": studio}, {"studio": KEY}) as transport:
        yield transport


async def lost(transport: Transport, url: str, scratch: Scratch) -> Fault:
    with pytest.raises(ProviderError) as caught:
        await transport.line("studio").fetch(url, scratch)
    assert KEY not in f"{caught.value!r} {caught.value}"
    fault = caught.value.fault
    assert (fault.cause, fault.charged) == (Cause.SPOILED, Charged.YES)
    return fault


# --- the way there and back ---------------------------------------------------------------------------------------


async def test_a_result_at_the_providers_own_origin_comes_without_key_cookie_or_referer(scratch):
    async with serve(answer(IMAGE, headers={"Set-Cookie": "a=1"})) as server, transport_to(server.url) as transport:
        for _ in range(2):
            found = await transport.line("studio").fetch(f"{server.url}/files/a.png?sig=1", scratch)
    assert (found.status, scratch.body()) == (200, IMAGE)
    for request in server.requests:
        assert (request.method, request.target) == ("GET", "/files/a.png?sig=1")
        assert not {"authorization", "cookie", "referer", "x-api-key"} & set(request.headers)
        assert KEY.encode() not in request.head
        assert request.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", ["503 Busy", "500 Oops", "502 Bad", "429 Slow", "408 Timeout", "425 Early"])
async def test_a_passing_trouble_is_tried_again_until_it_works(scratch, status):
    behaviour = in_turn(answer(b"busy", status), answer(b"busy", status), answer(IMAGE))
    async with serve(behaviour) as server, transport_to(server.url) as transport:
        await transport.line("studio").fetch(f"{server.url}/a", scratch)
    assert scratch.body() == IMAGE
    assert len(server.requests) == 3


BROKEN = {
    "reset": says(then=reset),
    "closed": says(),
    "short": says(head("200 OK", {"Content-Length": "500"}) + b"torn piece that is longer than the image"),
    "chunk": says(head("200 OK", {"Transfer-Encoding": "chunked"}) + b"20\r\ntorn"),
    "no http": says(b"hello\r\n\r\n"),
}


@pytest.mark.parametrize("behaviour", BROKEN.values(), ids=BROKEN)
async def test_a_broken_download_starts_over_from_nothing(scratch, behaviour):
    async with serve(in_turn(behaviour, behaviour, answer(IMAGE))) as server, transport_to(server.url) as transport:
        await transport.line("studio").fetch(f"{server.url}/a", scratch)
    assert scratch.body() == IMAGE
    assert len(server.requests) == 3


@pytest.mark.parametrize("behaviour", [answer(b"", "503 Busy"), *BROKEN.values()], ids=["503", *BROKEN])
async def test_a_result_that_never_comes_is_spoiled_and_charged(scratch, behaviour):
    async with serve(behaviour) as server, transport_to(server.url) as transport:
        fault = await lost(transport, f"{server.url}/a", scratch)
    # the client itself asks once more where a GET met a closed connection
    assert TRIES <= len(server.requests) <= 2 * TRIES
    assert "the image was made" in fault.message
    assert f"{server.url}/a" in fault.message


@pytest.mark.parametrize("status", ["404 Not Found", "403 Expired", "410 Gone", "302 Found"])
async def test_a_final_answer_is_not_asked_for_again(scratch, status):
    async with serve(answer()) as other:
        behaviour = answer(b"no", status, {"Location": f"{other.url}/a"})
        async with serve(behaviour) as server, transport_to(server.url) as transport:
            found = await transport.line("studio").fetch(f"{server.url}/a", scratch)
    assert found.status == int(status[:3])
    assert (len(server.requests), other.connections) == (1, 0)


@pytest.mark.parametrize("raw", [b"", head("200 OK", {"Content-Length": "500"}) + b"x"], ids=["no head", "no end"])
async def test_a_stalled_download_ends(scratch, monkeypatch, raw):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.1)
    async with serve(says(raw, then=hold)) as server, transport_to(server.url) as transport:
        with anyio.fail_after(5):
            await lost(transport, f"{server.url}/a", scratch)
    assert len(server.requests) == TRIES


async def test_a_download_over_the_cap_is_given_up(scratch, monkeypatch):
    monkeypatch.setattr(reading, "MAX_BODY", 1000)
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
            await transport.line("studio").fetch(f"{server.url}/a", scratch)
    assert len(server.requests) == 1


async def test_a_download_can_be_cancelled(scratch):
    async with serve(says(then=hold)) as server, transport_to(server.url) as transport:
        with anyio.move_on_after(0.1) as scope:
            await transport.line("studio").fetch(f"{server.url}/a", scratch)
        assert scope.cancelled_caught
        with anyio.fail_after(2):
            await server.hung_up.wait()


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


@pytest.mark.parametrize("host", DISGUISES)
async def test_no_disguise_of_this_machine_is_ever_connected_to(scratch, host):
    async with serve(answer(IMAGE)) as server, transport_to("https://gw.example.com", ("*",)) as transport:
        with pytest.raises(ProviderError) as caught:
            await transport.fetch_source(f"https://{host}:{server.port}/a.png", scratch)
        assert caught.value.fault.cause is Cause.INVALID
        assert caught.value.fault.hint
    assert server.connections == 0


@pytest.mark.parametrize("host", DISGUISES)
async def test_no_disguise_gets_past_a_list_that_takes_any_name(scratch, host, monkeypatch):
    connected = []

    async def no_connect(_self, sock, address):
        connected.append(address)
        raise OSError(errno.ECONNREFUSED, "not in this test")

    monkeypatch.setattr("asyncio.selector_events.BaseSelectorEventLoop.sock_connect", no_connect)
    async with transport_to("https://gw.example.com", ("*",)) as transport:
        await lost(transport, f"https://{host}/a.png", scratch)
    assert connected == []


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


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_on_the_open_internet_is_refused(address):
    assert not is_public(address)
    bracketed = f"[{address.partition('%')[0]}]" if ":" in address else address
    assert private_literal(f"https://{bracketed}/a")


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


class Answers:
    """A name server of our own making: what PublicResolver asks."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(self, host, port, family):
        return [
            {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}
            for address in self.addresses
        ]


async def test_the_resolver_hands_on_public_addresses_as_they_are():
    resolver = PublicResolver()
    resolver._inner = Answers("8.8.8.8", "2606:4700:4700::1111")
    found = await resolver.resolve("cdn.example.com", 443)
    assert [entry["host"] for entry in found] == ["8.8.8.8", "2606:4700:4700::1111"]
    await resolver.close()


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_leads_to_one_private_address_is_refused_altogether(address):
    resolver = PublicResolver()
    resolver._inner = Answers("8.8.8.8", address)
    with pytest.raises(OSError, match="not a public address"):
        await resolver.resolve("cdn.example.com", 443)


async def test_the_name_of_this_machine_is_refused_by_the_real_resolver():
    with pytest.raises(OSError, match="localhost leads to"):
        await PublicResolver().resolve("localhost", 443)
