"""PNG check: whether every chunk, every checksum and the rows of pixels are there, without decoding an image.

A PNG carries the checksum of each of its chunks, so that every cut and every flipped bit of a finished file shows in
0.6 ms for 2.6 MB, where decoding takes 14. What checksums cannot show is an encoder that wrote fewer rows than it
stated: a small image is inflated to count them, a large one only far enough to see that its pixels are pixels.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from .formats import PNG_MAGIC, DamagedImageError

#: Samples per pixel, by the color type of a PNG.
_CHANNELS = {2: 3, 4: 2, 6: 4}
#: Adam7: the first column and row of each pass of an interlaced PNG, and the steps.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
#: Bytes that are inflated of a larger image.
_BEGINNING = 1 << 16
#: The most bytes that one byte of deflated data can become.
_MOST_INFLATION = 1032
#: The filters of a row of pixels are numbered from 0 on.
_LAST_FILTER = 4


def require_whole(data: bytes) -> None:
    """Raise DamagedImageError if a PNG is cut off, has no pixels, or a chunk fails its checksum."""
    pixels = 0
    for kind, content, checksum in _chunks(data):
        if zlib.crc32(content, zlib.crc32(kind)) != checksum:
            raise DamagedImageError(f"PNG chunk {kind!r} fails its checksum")
        if kind == b"IDAT":
            pixels += len(content)
        if kind == b"IEND":
            if not pixels:
                raise DamagedImageError("the PNG holds no pixels")
            return
    raise DamagedImageError(f"the PNG is cut off after {len(data)} bytes")


def require_pixels(data: bytes, most: int) -> None:
    """Raise DamagedImageError if a PNG holds fewer bytes of pixels than its size requires, or others than pixels.

    If they are more than *most*, only their beginning is inflated, and their number is compared with what the file
    can hold at best.
    """
    passes = _passes(data)
    needed = sum(length * rows for length, rows in passes)
    missing = DamagedImageError("the PNG is cut off: a part of its pixels is missing")
    if needed > _MOST_INFLATION * len(data):
        raise missing
    counted = needed if needed <= most else _BEGINNING
    pixels = _inflated(data, counted)
    if len(pixels) < counted:
        raise missing
    start = 0
    for length, rows in passes:
        filters = pixels[start : start + length * rows : length]
        if filters and max(filters) > _LAST_FILTER:
            raise DamagedImageError("the pixels of the PNG are damaged: unknown filter of a row")
        start += length * rows


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, int]]:
    """Yield kind, content and checksum of each chunk that is there from its beginning to its end."""
    view, position = memoryview(data), len(PNG_MAGIC)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            return
        yield kind, view[position + 8 : end - 4], struct.unpack_from(">I", data, end - 4)[0]
        position = end


def _passes(data: bytes) -> list[tuple[int, int]]:
    """Return the length of a row in bytes, and the number of rows, for each pass over the image."""
    width, height, depth, color, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    bits = depth * _CHANNELS.get(color, 1)
    steps = _PASSES if interlaced else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in steps]
    return [(1 + (columns * bits + 7) // 8, rows) for columns, rows in sizes if columns > 0 and rows > 0]


def _inflated(data: bytes, most: int) -> bytes:
    """Return up to *most* bytes of pixels of a PNG, each row after the number of its filter."""
    inflater, pixels = zlib.decompressobj(), bytearray()
    begun = False
    for kind, content, _ in _chunks(data):
        if kind != b"IDAT" and begun:
            break  # a decoder stops here too
        begun = kind == b"IDAT"
        packed: bytes | memoryview = content if begun else b""
        while packed and len(pixels) < most and not inflater.eof:
            piece, packed = packed[:_BEGINNING], packed[_BEGINNING:]
            while piece and len(pixels) < most and not inflater.eof:
                try:
                    pixels += inflater.decompress(piece, most - len(pixels))
                except zlib.error as error:
                    raise DamagedImageError(f"the pixels of the PNG are damaged: {error}") from error
                piece = inflater.unconsumed_tail
    return bytes(pixels)
