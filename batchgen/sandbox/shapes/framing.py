"""Framing and compression of an answer: chunks, lengths, headers, gzip and deflate."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import replace

from ..values import Package
from .shape import Draft, Shape

_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"


def head(package: Package, *lines: str, version: str = "1.1") -> bytes:
    """Return status line and headers; *lines* are those about the length of the body."""
    headers = [f"{name}: {value}" for name, value in package.headers.items()]
    first = f"HTTP/{version} {package.status} OK"
    return "\r\n".join([first, f"Content-Type: {package.mime}", *headers, *lines, "Connection: close", "", ""]).encode()


def chunks(body: bytes, *, size: int = 60_000, last: bool = True) -> bytes:
    """Return a body in chunks, with or without the empty last one."""
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + (b"0\r\n\r\n" if last else b"")


def _with_length(package: Package, more: int = 0, times: int = 1) -> bytes:
    return head(package, *[f"Content-Length: {len(package.body) + more}"] * times) + package.body


def _in_chunks(package: Package, *lines: str, last: bool = True) -> bytes:
    return head(package, *lines, "Transfer-Encoding: chunked") + chunks(package.body, last=last)


def _odd_header(package: Package) -> bytes:
    return head(package, "Bad Header Name: x", f"Content-Length: {len(package.body)}") + package.body


def _big_header(package: Package, draft: Draft) -> Package:
    policy = {"Content-Security-Policy": "a" * round(draft.amount)}
    return replace(package, headers={**package.headers, **policy})


def _packed(pack: Callable[[bytes], bytes], encoding: str | None) -> Callable[[Package, Draft], Package]:
    """Return a function that compresses a body and announces *encoding*, unless that is None."""

    def packed(package: Package, _: Draft) -> Package:
        headers = {**package.headers, "Content-Encoding": encoding} if encoding else package.headers
        return replace(package, body=pack(package.body), headers=headers)

    return packed


def _members(body: bytes) -> bytes:
    return gzip.compress(body[:100]) + gzip.compress(body[100:])


def _raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


FRAMING = {
    "no-last-chunk": Shape("chunks without the last one", frame=lambda package: _in_chunks(package, last=False)),
    "long-length": Shape("Content-Length two bytes too long", frame=lambda package: _with_length(package, 2)),
    "length-and-chunks": Shape(
        "Content-Length and Transfer-Encoding",
        frame=lambda package: _in_chunks(package, f"Content-Length: {len(package.body)}"),
    ),
    "wrong-length-and-chunks": Shape(
        "the same, with a wrong length", frame=lambda package: _in_chunks(package, "Content-Length: 10")
    ),
    "length-twice": Shape(
        "Content-Length twice, with the same value", frame=lambda package: _with_length(package, times=2)
    ),
    "until-closed": Shape(
        "HTTP/1.0 without a length", frame=lambda package: head(package, version="1.0") + package.body
    ),
    "early-hints": Shape("103 before the answer", frame=lambda package: _HINTS + _with_length(package)),
    "trailing-lines": Shape("blank lines after the body", frame=lambda package: _with_length(package) + b"\r\n\r\n"),
    "odd-header": Shape("a header with spaces in its name", frame=_odd_header),
    "big-header": Shape("a header of BYTES", amount=20_000, body=_big_header),
    "gzip": Shape("gzip as announced", body=_packed(gzip.compress, "gzip")),
    "gzip-claimed": Shape("gzip announced, but plain bytes", body=_packed(bytes, "gzip")),
    "gzip-members": Shape("gzip in two members", body=_packed(_members, "gzip")),
    "gzip-unannounced": Shape("gzip without an announcement", body=_packed(gzip.compress, None)),
    "deflate": Shape("deflate with its zlib header", body=_packed(zlib.compress, "deflate")),
    "raw-deflate": Shape("deflate without its zlib header", body=_packed(_raw_deflate, "deflate")),
}
