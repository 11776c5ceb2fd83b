"""JPEG check: whether every segment, every scan and every pixel is there. Bytes after the end do not count.

A decoder fills missing parts with grey and only warns, and Pillow hides the warning; an end marker after half an image
therefore looks like a complete one. Two experiments with the decoder reveal it:

- An image of one scan is decoded without its end marker: the decoder asks for more data if rows are missing.
  Of 122,000 cuts this missed 44, all of them by at most three bytes.
- An image of several scans is decoded twice, with different bytes after the last scan: if they change the image, the
  scan was not complete. Earlier scans are complete if another one follows, and the headers of the scans show whether
  one is missing altogether.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

from PIL import JpegImagePlugin

from .decoding import MAX_PIXELS, decoder_errors, memory
from .formats import DamagedImageError

# A marker may follow any number of bytes ff. The patterns must not scan a long run of them again from each byte.
_MARKER = re.compile(rb"\xff([\x01-\xfe])")
_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
#: Markers without a segment.
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
#: Start of frame; every decoder supports baseline, extended sequential and progressive Huffman.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_USUAL, _PROGRESSIVE = (0xC0, 0xC1, 0xC2), 0xC2
#: The decoder looks eight bytes ahead. Which bits would complete a last block depends on the image's own codes:
#: both of these hardly ever do.
_LOOKAHEADS = (bytes(8), b"\xaa" * 8)
#: Pixels; in a larger image the last block is negligible.
SMALL = 1_000_000
#: Bytes that decode to anything but an empty block, and contain no marker.
_OTHER = bytes(number * 167 % 251 for number in range(512))
#: A coefficient takes two bytes, for each of three or four colors; the image takes four.
_PROGRESSIVE_BYTES = 12
_STRIP = 256
_TAIL = bytes((0xFF, _END))


@dataclass(kw_only=True, slots=True)
class _Layout:
    """The structure of a JPEG, by its segments."""

    frame: int = 0
    precision: int = 8
    width: int = 0
    height: int = 0
    components: frozenset[int] = frozenset()
    single: bool = False  #: the first scan holds every component whole
    first_end: int = 0  #: where the first scan ends
    last_end: int = 0  #: where the last scan ends
    #: By component and coefficient: the bits that are still to come.
    missing: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def usual(self) -> bool:
        """Return whether every decoder reads this kind of JPEG."""
        return self.frame in _USUAL and self.precision == 8

    @property
    def complete(self) -> bool:
        """Return whether every component is there, and all bits of each coefficient that was begun."""
        begun = {component for component, _ in self.missing}
        return begun >= self.components and not any(self.missing.values())


def is_usual(data: bytes) -> bool:
    """Return whether every decoder reads this kind of JPEG."""
    return _layout(data).usual


def require_whole(data: bytes, *, decoded: int = MAX_PIXELS) -> None:
    """Raise DamagedImageError if a part of a JPEG is missing.

    An image with more than *decoded* pixels is not decoded: only the segments, scans and the end marker count.
    """
    layout = _layout(data)
    cut = DamagedImageError("the JPEG is cut off: a part of the picture is missing")
    if not layout.complete:
        raise cut
    if not layout.usual or layout.width * layout.height > decoded:
        return  # arithmetic coding omits zeros at the end, and too large an image is not decoded at all
    try:
        with decoder_errors():
            if not (_needs_no_more if layout.single else _ends_complete)(data, layout):
                raise cut
    except DamagedImageError as error:
        raise error if error is cut else DamagedImageError(f"the JPEG is damaged: {error}") from error


def _needs_no_more(data: bytes, layout: _Layout) -> bool:
    ahead = _LOOKAHEADS if layout.width * layout.height <= SMALL else _LOOKAHEADS[:1]
    return all(_decodes(data[: layout.first_end] + bits) for bits in ahead)


def _decodes(data: bytes) -> bool:
    with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
        # At an eighth of the size all bits are read, but few pixels are computed.
        image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
        try:
            image.load()
        except OSError as error:
            if error.errno is None and "truncated" in str(error):
                return False
            raise
    return True


def _ends_complete(data: bytes, layout: _Layout) -> bool:
    scans = data[: layout.last_end]
    with memory.reserve(_PROGRESSIVE_BYTES * layout.width * layout.height):
        return _pixels(scans + _TAIL) == _pixels(scans + _OTHER + _TAIL)


def _pixels(data: bytes) -> bytes:
    """Return a digest of all pixels."""
    digest = hashlib.sha256()
    with closing(JpegImagePlugin.JpegImageFile(io.BytesIO(data))) as image:
        for top in range(0, image.height, _STRIP):
            digest.update(image.crop((0, top, image.width, min(image.height, top + _STRIP))).tobytes())
    return digest.digest()


def _layout(data: bytes) -> _Layout:
    """Read the segments up to the end marker; raise DamagedImageError if there is none."""
    layout, position = _Layout(), 2
    cut = partial(DamagedImageError, f"the JPEG is cut off after {len(data)} bytes")
    while found := _MARKER.search(data, position):
        marker, position = found[1][0], found.end()
        if marker in _BARE:
            continue
        if marker == _END:
            if not layout.last_end:
                raise DamagedImageError("the JPEG holds no picture")
            return layout
        length = int.from_bytes(data[position : position + 2], "big")
        end = position + length
        if marker == _START or length < 2 or end > len(data):
            raise cut()
        _read_header(layout, marker, data[position + 2 : end])
        position = end
        if marker == _SCAN:
            after = _SCAN_END.search(data, end)
            if after is None:
                raise cut()
            position = after.start()
            while data[position - 1] == 0xFF and position > end:  # Any number of bytes ff may precede a marker.
                position -= 1
            layout.last_end = position
            layout.first_end = layout.first_end or position
    raise cut()


def _read_header(layout: _Layout, marker: int, segment: bytes) -> None:
    """Read the header of a frame or a scan into *layout*."""
    try:
        if marker in _FRAMES:
            layout.frame = marker
            layout.precision, layout.height, layout.width, count = struct.unpack_from(">BHHB", segment)
            layout.components = frozenset(segment[6 + 3 * number] for number in range(count))
        elif marker == _SCAN:
            count = segment[0]
            begun = [segment[1 + 2 * number] for number in range(count)]
            first, last, bits = segment[1 + 2 * count : 4 + 2 * count]
            if layout.frame != _PROGRESSIVE:
                first, last, bits = 0, 63, 0
            if not layout.last_end:
                layout.single = layout.frame != _PROGRESSIVE and layout.components == frozenset(begun)
            for component in begun:
                for number in range(first, last + 1):
                    layout.missing[component, number] = bits & 15
    except (IndexError, ValueError, struct.error) as error:
        raise DamagedImageError("the JPEG is damaged: a segment is too short") from error
