"""What an image really is, by its bytes.  A doer: CPU-bound, runs in worker threads.

No truncated or damaged file passes: the container must end where it says it ends, its checksums must hold,
and every pixel must decode.  ``Image.verify()`` alone lets a JPEG through that was cut in half.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

#: Pixels, not bytes: a few kilobytes can inflate to gigabytes.  The largest size on offer is 8.3 MP.
MAX_PIXELS = 64_000_000

EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
_PILLOW = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
_PNG = b"\x89PNG\r\n\x1a\n"

# Pillow only warns of a size that it thinks too large.  Said once, here: catch_warnings() in many threads at a time
# leaves the whole process with the filters of whichever thread came last.
warnings.simplefilter("error", Image.DecompressionBombWarning)


class DamagedImageError(ValueError):
    """The bytes are no whole image of a kind we take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """What an image turned out to be; width and height in pixels."""

    mime: str
    width: int
    height: int

    @property
    def extension(self) -> str:
        """Return the file extension that matches the content, without a dot."""
        return EXTENSIONS[self.mime]


def sniff(data: bytes) -> str | None:
    """Return the mime type that the first bytes announce, or None if it is none of ours."""
    if data.startswith(_PNG):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def examine(data: bytes) -> Examined:
    """Decode *data* fully and return what it is; raise DamagedImageError where anything is missing or wrong."""
    mime = sniff(data)
    if mime is None:
        start = data[:16].decode("latin-1").encode("unicode_escape").decode()
        raise DamagedImageError(f"not a PNG, JPEG or WebP image ({len(data)} bytes, starting with {start!r})")
    require_whole(mime, data)
    try:
        with Image.open(io.BytesIO(data), formats=(_PILLOW[mime],)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DamagedImageError(f"{image.width}x{image.height} pixels are more than the {MAX_PIXELS} allowed")
            image.load()
            return Examined(mime=mime, width=image.width, height=image.height)
    except DamagedImageError:
        raise
    except Exception as error:
        # Pillow raises OSError, SyntaxError, ValueError, struct.error, ... for broken files, by format
        raise DamagedImageError(f"the image does not decode: {error}") from error


def require_whole(mime: str, data: bytes) -> None:
    """Raise DamagedImageError where the container of an image is cut off or fails a checksum; decodes nothing."""
    _ENDS[mime](data)


def _png_is_whole(data: bytes) -> None:
    position = len(_PNG)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        if zlib.crc32(data[position + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise DamagedImageError(f"PNG chunk {kind!r} fails its checksum")
        if kind == b"IEND":
            return
        position = end
    raise DamagedImageError(f"the PNG is cut off after {len(data)} bytes")


def _jpeg_is_whole(data: bytes) -> None:
    # some encoders pad behind the end marker, none by more than a few bytes
    if b"\xff\xd9" not in data[-64:]:
        raise DamagedImageError(f"the JPEG is cut off after {len(data)} bytes")


def _webp_is_whole(data: bytes) -> None:
    stated = struct.unpack_from("<I", data, 4)[0] + 8
    if len(data) < stated:
        raise DamagedImageError(f"the WebP is cut off: {len(data)} of {stated} bytes")


_ENDS: dict[str, Callable[[bytes], None]] = {
    "image/png": _png_is_whole,
    "image/jpeg": _jpeg_is_whole,
    "image/webp": _webp_is_whole,
}
