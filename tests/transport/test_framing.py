"""Sloppy HTTP goes in, strict HTTP comes out: the same document, however it was framed and cut."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.transport.framing import MAX_HEAD, Framing, Head, NotHttpError
from tests.timing import patience

JSON = b'{"data": [{"b64_json": "AAAA"}], "n": 12}'
N = len(JSON)
CHUNKED = b"%x\r\n%s\r\n" % (N, JSON)
OK = b"HTTP/1.1 200 OK\r\n"


def through(raw: bytes, size: int, *, closed: bool = True) -> tuple[Head | None, bytes, bool]:
    """Return head and body of what comes out, and whether the body has its end."""
    framing = Framing()
    pieces = [piece for start in range(0, len(raw), size) for piece in framing.feed(raw[start : start + size])]
    pieces += framing.close() if closed else []
    return framing.head, b"".join(pieces), framing.ended


WHOLE = {
    "plain": OK + b"Content-Length: %d\r\n\r\n" % N + JSON,
    "chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED + b"0\r\n\r\n",
    "chunked, trailers": OK + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED + b"0\r\nX: y\r\n\r\n",
    "chunked, no blank line at the end": OK + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED + b"0\r\n",
    "chunked, last size without a line end": OK + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED + b"0",
    "chunked, extensions": OK + b"Transfer-Encoding: Chunked\r\n\r\n%X ; a=b\r\n%s\r\n0\r\n\r\n" % (N, JSON),
    "chunked, sizes in another form": OK + b"Transfer-Encoding: chunked\r\n\r\n0x%x\r\n%s\r\n000\r\n\r\n" % (N, JSON),
    "chunked, bare line feeds": OK + b"Transfer-Encoding: chunked\r\n\r\n%x\n%s\n0\n\n" % (N, JSON),
    "chunked, in small chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"".join(b"1\r\n%c\r\n" % byte for byte in JSON) + b"0\r\n\r\n",
    "length beside chunks": OK + b"Content-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED + b"0\r\n\r\n",
    "chunks and a length announced over a plain body": OK
    + b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n" % N + JSON,
    "gzip and chunks": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKED + b"0\r\n\r\n",
    "until the end": OK + b"\r\n" + JSON,
    "HTTP 1.0": b"HTTP/1.0 200 OK\r\n\r\n" + JSON,
    "HTTP 2 in letters": b"HTTP/2 200\r\n\r\n" + JSON,
    "lower case": b"http/1.1 200 ok\r\ncontent-length: %d\r\n\r\n" % N + JSON,
    "no reason": b"HTTP/1.1 200\r\nContent-Length: %d\r\n\r\n" % N + JSON,
    "blank lines first": b"\r\n\r\n" + OK + b"Content-Length: %d\r\n\r\n" % N + JSON,
    "bare line feeds": OK.replace(b"\r", b"") + b"Content-Length: %d\n\n" % N + JSON,
    "two equal lengths": OK + b"Content-Length: %d\r\nContent-Length: %d\r\n\r\n" % (N, N) + JSON,
    "a list of lengths": OK + b"Content-Length: %d, %d\r\n\r\n" % (N, N) + JSON,
    "two lengths, the longer one right": OK + b"Content-Length: 9\r\nContent-Length: %d\r\n\r\n" % N + JSON,
    "two lengths, the shorter one right": OK + b"Content-Length: 900\r\nContent-Length: %d\r\n\r\n" % N + JSON,
    "a negative length": OK + b"Content-Length: -5\r\n\r\n" + JSON,
    "a length in words": OK + b"Content-Length: many\r\n\r\n" + JSON,
    "a length too short for the document": OK + b"Content-Length: 9\r\n\r\n" + JSON,
    "a name with blanks": OK + b"Bad Header Name: x\r\nContent-Length: %d\r\n\r\n" % N + JSON,
    "a line that is no header": OK + b"oops\r\n: nameless\r\nContent-Length: %d\r\n\r\n" % N + JSON,
    "a blank before the colon": OK + b"Content-Length : %d\r\n\r\n" % N + JSON,
    "a line that goes on": OK + b"X-A: one\r\n two\r\nContent-Length: %d\r\n\r\n" % N + JSON,
    "a first line that goes on": OK + b" folded\r\nContent-Length: %d\r\n\r\n" % N + JSON,
    "control characters": OK + b"X-A: a\x00b\x07c\rd\r\nContent-Length: %d\r\n\r\n" % N + JSON,
    "no ASCII": b"HTTP/1.1 200 \xd0\x9e\xd0\x9a\r\nX-\xe9: y\r\nX: caf\xe9\r\nContent-Length: %d\r\n\r\n" % N + JSON,
    "64 KB in one field": OK + b"X-Csp: %s\r\nContent-Length: %d\r\n\r\n" % (b"a" * 65_536, N) + JSON,
    "64 KB in a thousand fields": OK + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 56) for n in range(1000))
    + b"Content-Length: %d\r\n\r\n" % N + JSON,
    "early hints": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK
    + b"Content-Length: %d\r\n\r\n" % N + JSON,
    "an upgrade offered": OK + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % N + JSON,
    "more than announced": OK + b"Content-Length: %d\r\n\r\n" % N + JSON + b"\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n",
    "more than the last chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED + b"0\r\n\r\nmore",
}  # fmt: skip


@pytest.mark.parametrize("raw", WHOLE.values(), ids=WHOLE)
def test_a_document_is_whole_however_its_server_framed_it(raw):
    for size in (1, 2, 3, 7, 1000, 1_000_000):
        check_whole(raw, size)


def check_whole(raw, size):
    if len(raw) > 60_000 and size < 1000:
        size *= 500
    head, body, ended = through(raw, size)
    assert body == JSON
    assert ended
    assert head is not None
    assert head.status == 200
    for name, value in head.fields:
        assert re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name), name
        assert re.fullmatch(rb"[^\x00-\x08\x0a-\x1f\x7f]*", value), value
        assert name.lower() not in (b"content-length", b"upgrade")


BROKEN = {
    "length too long": (OK + b"Content-Length: %d\r\n\r\n" % (N + 2) + JSON, JSON),
    "no last chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED, JSON),
    "within a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n200\r\n" + JSON, JSON),
    "chunk sizes in characters": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\ncaf\xc3\xa9\r\n0\r\n\r\n",
        b"caf\xc3\xa9\r\n0\r\n\r\n",
    ),
    "no size": (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz", b"abcxyz"),
    "half a size": (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1", b"abc"),
    "plain, where chunks were announced": (OK + b"Transfer-Encoding: chunked\r\n\r\n" + JSON, JSON),
    "nothing": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b""),
}


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("raw", "came"), BROKEN.values(), ids=BROKEN)
def test_what_came_of_a_broken_body_comes_out_without_an_end(raw, came, size):
    _, body, ended = through(raw, size)
    assert body == came
    assert not ended


def test_many_small_chunks_take_no_more_than_their_share_of_time():
    chunks = b"10\r\n0123456789abcdef\r\n" * 100_000 + b"0\r\n\r\n"
    began = time.process_time()
    framing = Framing()
    framing.feed(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    for start in range(0, len(chunks), 262_144):
        framing.feed(chunks[start : start + 262_144])
    assert framing.ended
    assert time.process_time() - began < patience(5)


def test_a_body_has_its_end_before_the_connection_has():
    for name in ("plain", "chunked", "more than announced", "two lengths, the shorter one right"):
        assert through(WHOLE[name], 1, closed=False)[1:] == (JSON, True)


def test_document_longer_than_announced_is_received():
    framing = Framing()
    framing.feed(OK + b"Content-Length: 9\r\n\r\n" + JSON[:9])
    assert framing.surplus
    framing.give_up()
    assert framing.ended
    assert framing.feed(JSON[9:]) == []


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_has_no_body_ends_with_its_head(status):
    head, body, _ = through(b"HTTP/1.1 %d X\r\nContent-Length: 5\r\nX: y\r\n\r\nabcde" % status, 1, closed=False)
    assert head == Head(status, [(b"X", b"y")])
    assert body == b""


NO_HTTP = {
    "mail": b"220 mail.example.com ESMTP\r\n\r\n",
    "a document": JSON,
    "TLS": b"\x15\x03\x01\x00\x02\x02\x28",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a head without end": OK + b"X: " + b"a" * MAX_HEAD,
}


@pytest.mark.parametrize("size", [1, 1_000_000])
@pytest.mark.parametrize("raw", NO_HTTP.values(), ids=NO_HTTP)
def test_what_is_no_answer_is_none(raw, size):
    with pytest.raises(NotHttpError):
        through(raw, size if len(raw) < 10_000 else size + 999)


@given(st.lists(st.sampled_from([*b"HTP/1.20 \r\n:;aZ{}", 0, 255]), max_size=80), st.integers(1, 9), st.booleans())
def test_nothing_that_comes_breaks_the_framing(junk, size, chunked):
    start = OK + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"X: y\r\n")
    try:
        through(start + bytes(junk), size)
    except NotHttpError:
        assert not chunked
