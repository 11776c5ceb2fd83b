"""Signed provenance (C2PA): whether a file carries it. Only the container is read, no pixel and no signature."""

from __future__ import annotations

import struct
from collections.abc import Iterator

#: The box of an ISO base media file that holds it.
_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


def carries_c2pa(mime: str, data: bytes) -> bool:
    """Return whether a whole file of a kind carries C2PA."""
    match mime:
        case "image/png":
            return b"caBX" in _png_chunks(data)
        case "image/jpeg":
            return any(marker == 0xEB and b"jumb" in body[:64] and b"c2pa" in body for marker, body in _segments(data))
        case "image/webp":
            return b"C2PA" in _riff_chunks(data)
        case "image/avif" | "image/heic":
            return b"uuid" + _UUID in data
    return False


def _png_chunks(data: bytes) -> Iterator[bytes]:
    position = 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind
        position += 12 + length


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the segments of a JPEG up to its first scan."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        if data[position + 1] == 0xFF:  # any number of bytes ff may precede a marker
            position += 1
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        yield data[position + 1], data[position + 4 : position + 2 + length]
        position += 2 + max(length, 2)


def _riff_chunks(data: bytes) -> Iterator[bytes]:
    position = 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        yield kind
        position += 8 + length + length % 2
