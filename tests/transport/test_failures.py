"""What was arriving survives a stumble on this side, and no login goes where it does not belong."""

from __future__ import annotations

import gzip
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from batchgen import redaction
from batchgen.files.slot import Slot
from batchgen.files.spool import Spool
from batchgen.providers.base import Call
from batchgen.providers.presets import profile
from batchgen.transport import ProviderClient, Transport, decompressed, response
from batchgen.transport.webhook import post
from tests.rawserver import Connection, answer, head, hold, says, serve
from tests.timing import patience

KEY = "sk-canary/4711+never-shown"
IMAGE = b'{"data": [{"b64_json": "AAAA"}]}'

pytestmark = pytest.mark.usefixtures("no_proxies")


@asynccontextmanager
async def line_to(url: str, key: str = KEY) -> AsyncIterator[ProviderClient]:
    studio = profile("studio", {"preset": "gateway", "base_url": url})
    async with Transport({"studio": studio}, {"studio": key}) as transport:
        yield transport.client("studio")


def order(line: ProviderClient) -> Call:
    return Call(method="POST", url=line.profile.url("generate"), json={"prompt": "a cat"})


def kept(slot: Slot):
    found = Spool(slot.path.parent).find(slot.path.stem)
    assert found is not None
    return found


# --- a process that stood still -----------------------------------------------------------------------------------

CHILD = """
import pathlib, sys, anyio
from batchgen.providers.base import Call
from batchgen.providers.presets import profile
from batchgen.files.spool import Spool
from batchgen.transport import Transport

async def main(url, folder, deadline):
    studio = profile("studio", {"preset": "gateway", "base_url": url})
    async with Transport({"studio": studio}, {"studio": "sk-canary-4711"}) as transport:
        line = transport.client("studio")
        with Spool(folder).open("ab" * 16, {}, 100) as slot:
            call = Call(method="POST", url=line.profile.url("generate"), json={"prompt": "a cat"})
            head = await line.send(call, slot, deadline)
            print(head.status, head.broken, len(slot.body()), flush=True)

anyio.run(main, sys.argv[1], pathlib.Path(sys.argv[2]), float(sys.argv[3]))
"""
#: More than one read, more than the client's own buffers, and less than the kernel keeps.
BODY = b"z" * 1_500_000


@pytest.mark.parametrize("first", [b"", head("200 OK", {"Content-Length": str(len(BODY))})], ids=["no head", "head"])
def test_answer_in_the_socket_wins_over_a_passed_deadline(tmp_path, first):
    deadline = 1.5
    whole = head("200 OK", {"Content-Length": str(len(BODY))}) + BODY
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, url, str(tmp_path), str(deadline)], stdout=subprocess.PIPE, text=True
        )
        try:
            found, _ = server.accept()
            with found:
                read_request(found)
                found.sendall(first)
                time.sleep(0.2)
                os.kill(child.pid, signal.SIGSTOP)
                time.sleep(deadline)
                sender = threading.Thread(target=found.sendall, args=(whole[len(first) :],), daemon=True)
                sender.start()
                sender.join(0.5)  # what the kernel does not take follows when the process goes on
                os.kill(child.pid, signal.SIGCONT)
                told, _ = child.communicate(timeout=30)
        finally:
            child.kill()
            child.communicate()
    assert told == f"200 None {len(BODY)}\n"


def read_request(found: socket.socket) -> None:
    data = b""
    while b"a cat" not in data and select.select([found], [], [], 10)[0]:
        data += found.recv(65_536)
    assert b"a cat" in data


async def test_a_deadline_that_passes_on_time_is_not_stretched(slot):
    async with serve(says(head("200 OK", {"Content-Length": "9"}), then=hold)) as server, line_to(server.url) as line:
        start = anyio.current_time()
        found = await line.send(order(line), slot, 0.3)
        assert 0.25 < anyio.current_time() - start < patience(0.8)
    assert found.broken


# --- silence ------------------------------------------------------------------------------------------------------


async def test_the_kernel_keeps_every_paid_connection_alive(slot):
    options = []

    async def behave(connection: Connection) -> None:
        await connection.request()
        far_side = own_socket(connection.writer.get_extra_info("peername"))
        options.append(far_side.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        times = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        options.extend(far_side.getsockopt(socket.IPPROTO_TCP, option) for option in times)
        far_side.close()
        await connection.send(head("200 OK", {"Content-Length": "2"}) + b"{}")

    async with serve(behave) as server, line_to(server.url) as line:
        await line.send(order(line), slot, 5)
    assert options == [1, 45, 15, 8]


def own_socket(address: tuple[str, int]) -> socket.socket:
    """Return a second handle of this process's socket that is bound to *address*."""
    for number in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        with suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            found = socket.socket(fileno=os.dup(number))
            if found.family == socket.AF_INET and found.getsockname() == address:
                return found
            found.close()
    raise AssertionError(f"no socket at {address}")


OPEN_ENDS = {
    "no last chunk": head("200 OK", {"Transfer-Encoding": "chunked"}) + b"%x\r\n%s\r\n" % (len(IMAGE), IMAGE),
    "length too long": head("200 OK", {"Content-Length": "99"}) + IMAGE,
    "no length": head("200 OK") + IMAGE,
}


@pytest.mark.parametrize("raw", OPEN_ENDS.values(), ids=OPEN_ENDS)
async def test_complete_document_on_an_open_connection_ends_the_wait(slot, monkeypatch, raw):
    monkeypatch.setattr(response, "IDLE", 0.1)
    async with serve(says(raw, then=hold)) as server, line_to(server.url) as line:
        start = anyio.current_time()
        found = await line.send(order(line), slot, 30)
        assert anyio.current_time() - start < 3
    assert found.broken is None
    assert (kept(slot).body, kept(slot).sealed) == (IMAGE, True)


async def test_nor_is_a_long_one_that_answers_a_free_question(monkeypatch):
    monkeypatch.setattr(response, "IDLE", 0.1)
    long = json.dumps(["m" * 100] * 3000).encode()
    async with serve(says(head("200 OK") + long, then=hold)) as server, line_to(server.url) as line:
        with anyio.fail_after(5):
            found = await line.ask(Call(method="GET", url=line.profile.url("generate"), billed=False), 30)
    assert found.body == long


async def test_a_document_that_goes_on_after_a_pause_is_waited_for(slot, monkeypatch):
    monkeypatch.setattr(response, "IDLE", 0.05)
    pieces = (b'{"a": {"b": 1}', b', "c": [2]', b"}")
    slow = says(head("200 OK", {"Transfer-Encoding": "chunked"}),
                *(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n", pause=0.25)  # fmt: skip
    async with serve(slow) as server, line_to(server.url) as line:
        found = await line.send(order(line), slot, 30)
    assert kept(slot).body.startswith(b"".join(pieces))
    assert found.status == 200


async def test_a_document_longer_than_announced_comes_whole(slot):
    short = says(head("200 OK", {"Content-Length": "9"}) + IMAGE[:9], IMAGE[9:], pause=0.1)
    async with serve(short) as server, line_to(server.url) as line:
        found = await line.send(order(line), slot, 5)
    assert found.broken is None
    assert kept(slot).body == IMAGE


async def test_a_document_cut_where_it_was_announced_to_end_does_not_hang(slot, monkeypatch):
    monkeypatch.setattr("batchgen.transport.connection.SURPLUS", 0.1)
    short = says(head("200 OK", {"Content-Length": "9"}) + IMAGE[:9], then=hold)
    async with serve(short) as server, line_to(server.url) as line:
        with anyio.fail_after(3):
            await line.send(order(line), slot, 30)
    assert kept(slot).body == IMAGE[:9]


# --- no thread, no memory -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [RuntimeError("can't start new thread"), MemoryError()], ids=["thread", "memory"])
async def test_an_answer_is_sealed_where_no_thread_can_be_started(slot, monkeypatch, trouble):
    async def no_thread(*_args, **_kwargs):
        raise trouble

    async with serve(answer(IMAGE)) as server, line_to(server.url) as line:
        monkeypatch.setattr(anyio.to_thread, "run_sync", no_thread)
        found = await line.send(order(line), slot, 5)
        monkeypatch.undo()
    assert (found.status, found.broken) == (200, None)
    assert (kept(slot).body, kept(slot).sealed) == (IMAGE, True)


async def test_body_before_out_of_memory_is_sealed_as_broken(slot, monkeypatch):
    real, count = response._Pieces.add, 0

    def add(self, chunk):
        nonlocal count
        count += 1
        if count == 2:
            raise MemoryError
        real(self, chunk)

    monkeypatch.setattr(response._Pieces, "add", add)
    in_two = says(head("200 OK", {"Content-Length": "6"}), b"abc", b"def", pause=0.1)
    async with serve(in_two) as server, line_to(server.url) as line:
        found = await line.send(order(line), slot, 5)
    assert "MemoryError" in (found.broken or "")
    assert (kept(slot).body, kept(slot).sealed) == (b"abc", False)


# --- netrc --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["HOME", "NETRC"])
def netrc(request, tmp_path, monkeypatch) -> str:
    file = tmp_path / ".netrc"
    file.write_text("default login canary-user password canary-password\n")
    file.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    if request.param == "NETRC":
        monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
        monkeypatch.setenv("NETRC", str(file))
    return request.param


@pytest.mark.parametrize("key", [KEY, ""])
async def test_a_login_of_netrc_goes_nowhere(slot, tmp_path, netrc, key):
    async with serve(answer(IMAGE)) as server, line_to(server.url, key) as line:
        await line.send(order(line), slot, 5)
        await line.ask(Call(method="GET", url=f"{server.url}/models", billed=False), 5)
        with Spool(tmp_path / "spool").scratch() as scratch, pytest.MonkeyPatch.context() as patch:
            patch.setattr("batchgen.transport.download._Inspector.not_an_image", lambda *_: None)
            await line.fetch(f"{server.url}/a.png", scratch)
        assert await post(f"{server.url}/hook", b"{}", {}) is None
    paid, asked, fetched, posted = (request.headers.get("authorization") for request in server.requests)
    assert paid == asked == (f"Bearer {key}" if key else None)
    assert fetched is posted is None


async def test_a_login_of_netrc_does_not_go_to_a_proxy(slot, tmp_path, netrc, monkeypatch):
    async with serve(answer(b"no", "502 Bad Gateway")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with line_to("https://api.batchgen-test.invalid") as line:
            with pytest.raises(Exception, match="the proxy refused"):
                await line.send(order(line), slot, 20)
    assert proxy.requests
    for request in proxy.requests:
        assert not {"authorization", "proxy-authorization"} & set(request.headers)


@pytest.mark.parametrize("proxy", ["socks5://user:s3cret@127.0.0.1:9", "127.0.0.1:9"])
async def test_a_message_does_not_go_out_past_a_proxy_that_cannot_be_used(monkeypatch, proxy):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    why = await post("https://hook.batchgen-test.invalid/x", b"{}", {})
    assert "cannot be used" in (why or "")
    assert "s3cret" not in (why or "")


# --- a key that comes back ----------------------------------------------------------------------------------------

ECHOES = {
    "plain": KEY,
    "escaped slash": KEY.replace("/", "\\/"),
    "an escape": KEY.replace("/", "\\u002F").replace("s", "\\u0073", 1),
    "percent": KEY.replace("/", "%2F").replace("+", "%2b"),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize("before", [10, response.PIECE - 12])
async def test_echoed_key_is_nowhere_in_the_spool(slot, echo, before):
    body = ('{"x": "' + "y" * before + '", "error": "bad key ' + echo + '"}').encode()
    middle = body.index(echo.encode()) + 7
    split = says(head("200 OK", {"Content-Length": str(len(body)), "X-Echo": echo}), body[:middle], body[middle:],
                 pause=0.05)  # fmt: skip
    async with serve(split) as server, line_to(server.url) as line:
        found = await line.send(order(line), slot, 5)
    file = slot.path.read_bytes()
    assert b"never-shown" not in file
    assert b"4711" not in file
    assert "never-shown" not in repr(found)
    assert len(kept(slot).body) == len(body)
    assert set(json.loads(kept(slot).body)["error"].removeprefix("bad key ")) == {"*"}


def test_key_in_a_compressed_body_is_hidden_after_decoding(monkeypatch):
    monkeypatch.setattr(redaction, "_KNOWN", {KEY})
    body = b'{"error": "bad key ' + KEY.encode() + b'"}'
    assert decompressed(gzip.compress(body), {}) == body.replace(KEY.encode(), b"*" * len(KEY))


async def test_an_image_with_a_short_key_by_chance_is_left_alone(slot):
    body = b'{"data": [{"b64_json": "AAAAabcdefghAAAA"}]}'
    async with serve(answer(body)) as server, line_to(server.url, "abcdefgh") as line:
        await line.send(order(line), slot, 5)
    assert kept(slot).body == body
