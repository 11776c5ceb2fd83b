"""Forms of base64, and formats of picture files."""

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
    """Return a JPEG whose scan is cut in half, with an end marker after it."""
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


def _lines(base64_text: str, _: str) -> str:
    return "\r\n".join(base64_text[start : start + 76] for start in range(0, len(base64_text), 76)) + "\n"


def _blanks(base64_text: str, _: str) -> str:
    return " " + " ".join(base64_text[start : start + 100] for start in range(0, len(base64_text), 100)) + "\t"


def _prefixed(base64_text: str, mime: str) -> str:
    return f"data:{mime};base64,{base64_text}"


BASE64 = {
    "base64-no-padding": Shape(
        "without = at the end", image=_uneven, base64_text=lambda base64_text, _: base64_text.rstrip("=")
    ),
    "base64-lines": Shape("in lines of 76 characters", base64_text=_lines),
    "base64-blanks": Shape("with spaces in it", base64_text=_blanks),
    "base64-url-safe": Shape(
        "with - and _ in place of + and /",
        base64_text=lambda base64_text, _: base64_text.replace("+", "-").replace("/", "_"),
    ),
    "base64-percent": Shape("percent-encoded", base64_text=lambda base64_text, _: quote(base64_text, safe="")),
    "base64-data-url": Shape("after data:image/png;base64,", base64_text=_prefixed),
    "base64-data-url-twice": Shape(
        "after that prefix twice", base64_text=lambda base64_text, mime: _prefixed(_prefixed(base64_text, mime), mime)
    ),
}
FILES = {
    "jpeg": Shape("a JPEG in place of a PNG", image=_file("JPEG", "image/jpeg")),
    "jpeg-video": Shape("a JPEG with a video after its end, as phones make them", image=_trailed(_VIDEO)),
    "jpeg-padding": Shape("a JPEG with zeros after its end", image=_trailed(bytes(4096))),
    "jpeg-trailer": Shape(
        "a JPEG with a manufacturer's data after its end", image=_trailed(b"SEFT\xff\xd8\xff trailer")
    ),
    "gif": Shape("a GIF", image=_file("GIF", "image/gif")),
    "avif": Shape("an AVIF", image=_file("AVIF", "image/avif")),
    "bmp": Shape("a BMP", image=_file("BMP", "image/bmp")),
    "tiff": Shape("a TIFF", image=_file("TIFF", "image/tiff")),
    "webp": Shape("a WebP in place of a PNG", image=_file("WEBP", "image/webp")),
}
#: Charged, but unusable.
UNUSABLE = {
    "jpeg-cut-closed": Shape("half of a JPEG with an end marker", image=_cut_closed),
    "svg": Shape("an SVG", image=lambda _: (_SVG, "image/svg+xml")),
    "unknown-format": Shape("a file in an unknown format (JPEG XL)", image=lambda _: (_UNKNOWN, "image/jxl")),
}
