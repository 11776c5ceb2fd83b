"""Decompression of bodies, whatever their headers announce."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from contextlib import suppress

from .. import redaction
from ..fault import Cause, Charged, Fault, ProviderError

#: How many nested compressions are undone.
_LAYERS = 5
_STEP = 64 * 1024
_GZIP, _ZLIB, _RAW = 31, 15, -15
_MAGIC = b"\x1f\x8b"
#: Padding between the members of a gzip file.
_PADDING = re.compile(rb"\0*+")
#: First bytes of a body that is not compressed: text, JSON, events, images.
_PLAIN = re.compile(rb"\s*[\[{<\"A-Za-z:]|\xef\xbb\xbf|\x89PNG|\xff\xd8\xff|\x00\x00\x00.ftyp", re.DOTALL)
_UNKNOWN = frozenset(("br", "dcb", "zstd", "compress", "x-compress"))
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def decompress(body: bytes, headers: Mapping[str, str], most: int) -> bytes:
    """Return *body* without compression, up to *most* bytes; a body that is not compressed stays as it is.

    Raises ProviderError (spoiled) for a compression that cannot be read.
    """
    announced = [coding.strip().lower() for coding in headers.get("content-encoding", "").split(",")]
    content = body
    for _ in range(_LAYERS):
        inner = _unpack(content, announced, most)
        if inner is None:
            break
        content = inner
    unknown = [coding for coding in announced if coding in _UNKNOWN]
    if (unknown and not _looks_plain(content)) or content.startswith(_ZSTD_MAGIC):
        message = f"the answer is compressed ({', '.join(unknown) or 'zstd'}) and cannot be read"
        hint = "this compression was not requested; the bytes are kept in the spool"
        raise ProviderError(Fault(cause=Cause.SPOILED, message=message, charged=Charged.YES, final=True, hint=hint))
    return content if content is body else redaction.blackout(content, redaction.known())


def _looks_plain(body: bytes) -> bool:
    return _PLAIN.match(body) is not None


def _unpack(body: bytes, announced: list[str], most: int) -> bytes | None:
    """Undo the outermost compression of *body*; return None if there is none."""
    if body.startswith(_MAGIC):
        return _gunzip(body, most)
    deflated = "deflate" in announced
    if len(body) > 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0:
        inner, end = _inflate(body, 0, _ZLIB, most)
        if end is not None or (inner and (deflated or not _looks_plain(body))):
            return inner
    if deflated:
        inner, end = _inflate(body, 0, _RAW, most)
        whole = end is not None and not body[end:].strip()
        if whole or (inner and not _looks_plain(body)):
            return inner
    return None


def _gunzip(body: bytes, most: int) -> bytes | None:
    """Return the content of all members of a gzip file; anything after them is dropped."""
    content = bytearray()
    end: int | None = 0
    while end is not None and (padded := _PADDING.match(body, end)) and body.startswith(_MAGIC, padded.end()):
        end = padded.end()
        inner, end = _inflate(body, end, _GZIP, most - len(content))
        content += inner
    return bytes(content) if content or end is not None else None


def _inflate(body: bytes, at: int, wbits: int, most: int) -> tuple[bytes, int | None]:
    """Return the readable content of *body* from *at* on, and where it ends (None if its end is missing)."""
    inflater = zlib.decompressobj(wbits=wbits)
    content = bytearray()
    for start in range(at, len(body), _STEP):
        data = body[start : start + _STEP]
        before, length = inflater.copy(), len(content)
        try:
            _feed(inflater, data, content, most)
        except zlib.error:  # a wrong checksum, for example: the bytes before it count
            del content[length:]
            with suppress(zlib.error):
                for byte in data:
                    _feed(before, bytes((byte,)), rest := bytearray(), most)
                    content += rest
            return bytes(content), None
        if inflater.eof:
            return bytes(content), start + len(data) - len(inflater.unused_data)
    return bytes(content), None


def _feed(inflater: zlib._Decompress, data: bytes, content: bytearray, most: int) -> None:
    while data and not inflater.eof:
        content += inflater.decompress(data, _STEP * 16)
        if len(content) > most:
            message = f"the answer is compressed and larger than {most} bytes"
            raise ProviderError(Fault(cause=Cause.SPOILED, message=message, charged=Charged.YES, final=True))
        data = inflater.unconsumed_tail
