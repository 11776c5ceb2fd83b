"""How a picture is written in base64, and which kind of file it is."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from urllib.parse import quote

from PIL import Image

from .shape import Shape

#: The start of a video as phones append it to a photo.
_VIDEO = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isommp42" + b"\x00\x00\x00\x08mdat" + bytes(range(256)) * 8
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect width="64" height="64"/></svg>'
#: JPEG XL, which Pillow does not decode.
_UNKNOWN = b"\x00\x00\x00\x0cJXL \r\n\x87\n\x00\x00\x00\x14ftypjxl \x00\x00\x00\x00jxl " + bytes(range(256)) * 4


def _encoded(data: bytes, name: str) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as picture:
        quality = {"quality": 92} if name == "JPEG" else {}
        picture.convert("RGB").save(buffer, name, **quality)
    return buffer.getvalue()


def _file(name: str, mime: str) -> Callable[[bytes], tuple[bytes, str]]:
    return lambda data: (_encoded(data, name), mime)


def _trailed(trailer: bytes) -> Callable[[bytes], tuple[bytes, str]]:
    return lambda data: (_encoded(data, "JPEG") + trailer, "image/jpeg")


def _cut_closed(data: bytes) -> tuple[bytes, str]:
    """Return a JPEG whose scan ends in its middle, with an end marker after it."""
    whole = _encoded(data, "JPEG")
    scan = whole.rindex(b"\xff\xda")
    return whole[: (scan + len(whole)) // 2] + b"\xff\xd9", "image/jpeg"


def _uneven(data: bytes) -> tuple[bytes, str]:
    """Return the PNG with a comment that makes its base64 need padding."""
    missing = (1 - (len(data) + 12 + len(b"Comment\0"))) % 3
    content = b"Comment\0" + b"x" * missing
    check = struct.pack(">I", zlib.crc32(b"tEXt" + content))
    chunk = struct.pack(">I", len(content)) + b"tEXt" + content + check
    return data[:33] + chunk + data[33:], "image/png"  # after the signature and IHDR


def _lines(letters: str, _: str) -> str:
    return "\r\n".join(letters[start : start + 76] for start in range(0, len(letters), 76)) + "\n"


def _blanks(letters: str, _: str) -> str:
    return " " + " ".join(letters[start : start + 100] for start in range(0, len(letters), 100)) + "\t"


def _prefixed(letters: str, mime: str) -> str:
    return f"data:{mime};base64,{letters}"


BASE64 = {
    "base64-no-padding": Shape(
        about="without = at its end", image=_uneven, letters=lambda letters, _: letters.rstrip("=")
    ),
    "base64-lines": Shape(about="in lines of 76 letters", letters=_lines),
    "base64-blanks": Shape(about="with blanks in it", letters=_blanks),
    "base64-url-safe": Shape(
        about="with - and _ for + and /", letters=lambda letters, _: letters.replace("+", "-").replace("/", "_")
    ),
    "base64-percent": Shape(about="percent-encoded", letters=lambda letters, _: quote(letters, safe="")),
    "base64-data-url": Shape(about="after data:image/png;base64,", letters=_prefixed),
    "base64-data-url-twice": Shape(
        about="after that prefix twice", letters=lambda letters, mime: _prefixed(_prefixed(letters, mime), mime)
    ),
}
FILES = {
    "jpeg": Shape(about="a JPEG in place of a PNG", image=_file("JPEG", "image/jpeg")),
    "jpeg-video": Shape(about="a JPEG with a video after its end, as phones make it", image=_trailed(_VIDEO)),
    "jpeg-padding": Shape(about="a JPEG with zeros after its end", image=_trailed(bytes(4096))),
    "jpeg-trailer": Shape(
        about="a JPEG with a maker's words after its end", image=_trailed(b"SEFT\xff\xd8\xff trailer")
    ),
    "gif": Shape(about="a GIF", image=_file("GIF", "image/gif")),
    "avif": Shape(about="an AVIF", image=_file("AVIF", "image/avif")),
    "bmp": Shape(about="a BMP", image=_file("BMP", "image/bmp")),
    "tiff": Shape(about="a TIFF", image=_file("TIFF", "image/tiff")),
    "webp": Shape(about="a WebP in place of a PNG", image=_file("WEBP", "image/webp")),
}
#: Charged, and not to be used.
UNUSABLE = {
    "jpeg-cut-closed": Shape(about="half of a JPEG, an end marker after it", image=_cut_closed),
    "svg": Shape(about="an SVG", image=lambda _: (_SVG, "image/svg+xml")),
    "unknown-format": Shape(
        about="a file of a kind that is not known (JPEG XL)", image=lambda _: (_UNKNOWN, "image/jxl")
    ),
}
