"""Decompresses bodies, whatever their headers announce.  Pure."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from contextlib import suppress

from .. import redaction
from ..fault import Cause, Charged, Fault, ProviderError

#: How many compressions within each other are undone.
_LAYERS = 5
_STEP = 64 * 1024
_GZIP, _ZLIB, _RAW = 31, 15, -15
_MAGIC = b"\x1f\x8b"
#: Bytes that may stand between the members of a gzip file.
_PADDING = re.compile(rb"\0*+")
#: How a body begins that is compressed in no way: text, JSON, events, images.
_PLAIN = re.compile(rb"\s*[\[{<\"A-Za-z:]|\xef\xbb\xbf|\x89PNG|\xff\xd8\xff|\x00\x00\x00.ftyp", re.DOTALL)
_UNKNOWN = frozenset(("br", "dcb", "zstd", "compress", "x-compress"))
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def decompress(body: bytes, headers: Mapping[str, str], most: int) -> bytes:
    """Return *body* without compression, *most* bytes of it; as it is where it is plain, whatever was announced.

    Raises ProviderError (spoiled) where it is compressed and cannot be read.
    """
    announced = [coding.strip().lower() for coding in headers.get("content-encoding", "").split(",")]
    found = body
    for _ in range(_LAYERS):
        inner = _unpacked(found, announced, most)
        if inner is None:
            break
        found = inner
    unread = [coding for coding in announced if coding in _UNKNOWN]
    if (unread and not _looks_plain(found)) or found.startswith(_ZSTD_MAGIC):
        what = f"the answer is compressed ({', '.join(unread) or 'zstd'}) and cannot be read"
        raise ProviderError(
            Fault(cause=Cause.SPOILED, message=what, charged=Charged.YES, final=True,
                  hint="this compression was not requested; its bytes are kept in the spool")
        )  # fmt: skip
    return found if found is body else redaction.blackout(found, redaction.known())


def _looks_plain(body: bytes) -> bool:
    return _PLAIN.match(body) is not None


def _unpacked(body: bytes, announced: list[str], most: int) -> bytes | None:
    """Return what is in the outermost compression of *body*, or None where there is none."""
    if body.startswith(_MAGIC):
        return _members(body, most)
    deflated = "deflate" in announced
    if len(body) > 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0:
        inner, end = _inflated(body, 0, _ZLIB, most)
        if end is not None or (inner and (deflated or not _looks_plain(body))):
            return inner
    if deflated:
        inner, end = _inflated(body, 0, _RAW, most)
        whole = end is not None and not body[end:].strip()
        if whole or (inner and not _looks_plain(body)):
            return inner
    return None


def _members(body: bytes, most: int) -> bytes | None:
    """Return the content of all members of a gzip file; anything after them is dropped."""
    found = bytearray()
    end: int | None = 0
    while end is not None and (padded := _PADDING.match(body, end)) and body.startswith(_MAGIC, padded.end()):
        end = padded.end()
        inner, end = _inflated(body, end, _GZIP, most - len(found))
        found += inner
    return bytes(found) if found or end is not None else None


def _inflated(body: bytes, at: int, wbits: int, most: int) -> tuple[bytes, int | None]:
    """Return what *body* holds from *at* on, as far as it can be read, and where that ends (None: no end)."""
    unpacker = zlib.decompressobj(wbits=wbits)
    found = bytearray()
    for start in range(at, len(body), _STEP):
        data = body[start : start + _STEP]
        before, length = unpacker.copy(), len(found)
        try:
            _feed(unpacker, data, found, most)
        except zlib.error:  # a wrong checksum, for example: the bytes before it count
            del found[length:]
            with suppress(zlib.error):
                for byte in data:
                    _feed(before, bytes((byte,)), rest := bytearray(), most)
                    found += rest
            return bytes(found), None
        if unpacker.eof:
            return bytes(found), start + len(data) - len(unpacker.unused_data)
    return bytes(found), None


def _feed(unpacker: zlib._Decompress, data: bytes, found: bytearray, most: int) -> None:
    while data and not unpacker.eof:
        found += unpacker.decompress(data, _STEP * 16)
        if len(found) > most:
            raise _bomb(most)
        data = unpacker.unconsumed_tail


def _bomb(most: int) -> ProviderError:
    what = f"the answer is compressed and larger than {most} bytes"
    return ProviderError(Fault(cause=Cause.SPOILED, message=what, charged=Charged.YES, final=True))
