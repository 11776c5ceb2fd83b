"""Framing and compression of an answer: chunks, lengths, headers, gzip and deflate."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import replace

from ..values import Package
from .shape import Draft, Shape


def head(package: Package, *lines: str, version: str = "1.1") -> bytes:
    """Return status line and headers; *lines* are those about the length of the body."""
    headers = [f"{name}: {value}" for name, value in package.headers.items()]
    first = f"HTTP/{version} {package.status} OK"
    return "\r\n".join([first, f"Content-Type: {package.mime}", *headers, *lines, "Connection: close", "", ""]).encode()


def chunks(body: bytes, *, size: int = 60_000, last: bool = True) -> bytes:
    """Return a body in chunks, with or without the empty last one."""
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + (b"0\r\n\r\n" if last else b"")


def _length(package: Package, more: int = 0) -> str:
    return f"Content-Length: {len(package.body) + more}"


def _no_last_chunk(package: Package) -> bytes:
    return head(package, "Transfer-Encoding: chunked") + chunks(package.body, last=False)


def _long_length(package: Package) -> bytes:
    return head(package, _length(package, 2)) + package.body


def _both(package: Package) -> bytes:
    return head(package, _length(package), "Transfer-Encoding: chunked") + chunks(package.body)


def _both_wrong(package: Package) -> bytes:
    return head(package, "Content-Length: 10", "Transfer-Encoding: chunked") + chunks(package.body)


def _twice(package: Package) -> bytes:
    return head(package, _length(package), _length(package)) + package.body


def _until_closed(package: Package) -> bytes:
    return head(package, version="1.0") + package.body


def _early_hints(package: Package) -> bytes:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"
    return hints + head(package, _length(package)) + package.body


def _trailing_lines(package: Package) -> bytes:
    return head(package, _length(package)) + package.body + b"\r\n\r\n"


def _odd_header(package: Package) -> bytes:
    return head(package, "Bad Header Name: x", _length(package)) + package.body


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
    "no-last-chunk": Shape(about="chunks without the last one", frame=_no_last_chunk),
    "long-length": Shape(about="Content-Length two bytes too long", frame=_long_length),
    "length-and-chunks": Shape(about="Content-Length and Transfer-Encoding", frame=_both),
    "wrong-length-and-chunks": Shape(about="the same, with a wrong length", frame=_both_wrong),
    "length-twice": Shape(about="Content-Length twice, with the same value", frame=_twice),
    "until-closed": Shape(about="HTTP/1.0 without a length", frame=_until_closed),
    "early-hints": Shape(about="103 before the answer", frame=_early_hints),
    "trailing-lines": Shape(about="blank lines after the body", frame=_trailing_lines),
    "odd-header": Shape(about="a header with spaces in its name", frame=_odd_header),
    "big-header": Shape(about="a header of BYTES", amount=20_000, body=_big_header),
    "gzip": Shape(about="gzip as announced", body=_packed(gzip.compress, "gzip")),
    "gzip-claimed": Shape(about="gzip announced, but plain bytes", body=_packed(bytes, "gzip")),
    "gzip-members": Shape(about="gzip in two members", body=_packed(_members, "gzip")),
    "gzip-unannounced": Shape(about="gzip without an announcement", body=_packed(gzip.compress, None)),
    "deflate": Shape(about="deflate with its zlib header", body=_packed(zlib.compress, "deflate")),
    "raw-deflate": Shape(about="deflate without its zlib header", body=_packed(_raw_deflate, "deflate")),
}
